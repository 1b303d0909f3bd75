"""Numbers of a pool's start, and of the time after a 429."""

from __future__ import annotations

from claudebatch.layers.rate_limit.constants.bucket import SMALLEST_BUCKET_S

# Steep growth of usage is refused by itself (`ramp_limit_exceeded`), whatever the
# limits allow: a pool starts with so many requests a second ...
FIRST_PER_S = 10.0

# ... and doubles them no faster than this. Slower, and fast pools lose their start.
DOUBLING_S = 0.5

# Once an answer has shown what is left, so many may leave at once: one by one, a batch
# of some rows takes longer than its answers.
FIRST_AT_ONCE = 16.0

# Until an answer states the limits, any rate is a guess. 48 requests a minute is below
# every tier that ever was published.
UNKNOWN_LIMITS_GAP_S = 1.25

# A pool that answers nothing but 429s is asked this often at most: else the probes keep
# the bucket empty.
PROBE_GAP_S = 5.0

# A 429 without a `retry-after`: the smallest bucket is full again after so long.
PAUSE_S = SMALLEST_BUCKET_S

# Shorter waits round to zero and would spin the loop.
SHORTEST_WAIT_S = 1e-3

# Processes that met the same 429 would come back in the same moment: each waits longer
# by up to this share, by chance.
HERD_SHARE = 0.1
