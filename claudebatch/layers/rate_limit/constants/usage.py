"""Numbers of the estimates of what a request will take."""

from __future__ import annotations

# Estimates may be a third too low, and the first requests leave before an answer says
# so: until then they lean to the high side.
FIRST_FACTOR = 1.25

# Earlier runs may have had rows of another kind: the first ones may count so many times
# what those counted.
OTHER_ROWS_FACTOR = 1.5

# One odd answer at the start would turn the estimates over. The first guess weighs as
# many answers, and nothing any more once its square of them has come.
FIRST_GUESS_WEIGHT = 3

# What a watched answer shows is text, what counts is tokens: English has 0.32 a byte,
# German and JSON 0.43. Too few let the bucket run empty unseen.
TOKENS_PER_BYTE = 0.4

# Rows may change their kind in the middle of a run: older answers than these no longer
# say what the next one takes.
MEMORY = 200
