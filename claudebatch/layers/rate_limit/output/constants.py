"""Numbers of the limit of output tokens."""

from __future__ import annotations

from claudebatch.layers.rate_limit.constants.bucket import SMALLEST_BUCKET_S
from claudebatch.layers.rate_limit.constants.usage import FIRST_GUESS_WEIGHT

# How output counts. A single odd header must not turn the rule over, and small
# contradictions must not add up: each weighs less with every header after it.
FADING = 0.95

# A mirror is off by this share of what the bucket holds without being wrong, and what a
# watched answer has shown is off by as much until answers are over.
ERROR_SHARE = 0.1

# Sums of guesses are off by chance. With fewer standard deviations kept back, one
# request in some hundred meets a 429.
SIGMAS = 3.0

# A connection that hangs would count as being produced for ever, and block the pool.
OVERDUE_LATENCIES = 3.0

# A bucket that is almost empty cannot take a mistake: so much of it is always left, and
# no more may be unseen where headers are to prove how output counts.
LOW_SHARE = 0.15

# The first requests leave before anything is known of answers: no more of them are out
# unseen, and one or two that had to wait are no reason to watch.
FIRST_FEW = 2

# Where less is produced than may be, requests would leave all at once and come back all
# at once: they leave at most so many times as fast as in the long run.
RUSH = 20.0

# The longer answers take, the later a mistake shows: seconds of allowance that are kept
# back for each second that they take.
LATE_PER_S = 0.08

# Unwatched, so much of the bucket must be left when a request leaves, plus its own
# share of it: an answer that is produced faster than the mean overdraws a small one.
UNSEEN_SHARE = 0.25

# A bucket of some answers cannot make up for a mistake: below the rate by this, times
# the square of the seconds that answers take.
SMALL_SLACK = 0.02

# One long answer that is produced fast empties such a bucket: below the rate by this
# share of its own share of the bucket for each second.
LONG_ANSWER_SLACK = 0.4

# Streams cost 1.7 times the CPU, and of answers quicker than this they show nothing.
QUICK_S = 0.125

# An answer that has shown nothing for so long stands still. Counting on, it would slow
# down the pool for a connection that hangs.
SILENT_S = 2.0

# A few answers that happen to be alike prove no speed: as many are taken to have been
# off by all that they are.
UNLIKE_ANSWERS = 5.0

FEW_S = 2 * SMALLEST_BUCKET_S
KEPT_BACK_MOST_S = FEW_S + SMALLEST_BUCKET_S
UNSEEN_MOST_SHARE = 1 - 2 * LOW_SHARE
LOOK_AGAIN_S = SMALLEST_BUCKET_S / 4
FIRST_ANSWERS = FIRST_GUESS_WEIGHT**2
REFUTED = 2 * FADING
"""Two full contradictions, as the first one fades: output counts at its end."""
SETTLED = 2 * REFUTED
"""What is known for sure takes as long to be refuted again, and no longer."""
