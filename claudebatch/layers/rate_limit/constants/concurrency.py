"""Numbers of the requests in flight."""

from __future__ import annotations

# A number that nobody tried out proves nothing: more are allowed only while this share
# is in use. A refusal for being one too many leaves this share of what was in flight.
USED_SHARE = 0.8

# Doubling faster than answers come overshoots, and a refused slot that is used again at
# once is refused again.
ROUND_S = 1.0

# Answers may take half a minute: up to so many, a pool that waited for them would stand
# still at its first few requests.
UNPROVEN = 512

# After a refusal, answers to requests sent before it still come in. Counted as proof
# they would undo the smaller number at once.
OLD_ANSWERS_S = 10.0
