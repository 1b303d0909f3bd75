"""Numbers of the mirrors of the API's token buckets."""

from __future__ import annotations

# The API does not say how much a bucket holds. "60 RPM might be enforced as 1 request
# per second" is the least that its documentation names; we never count on more unseen.
SMALLEST_BUCKET_S = 1.0

# Buckets that others have measured hold five seconds. We save up no more than that for
# answers, and promise no 429 from this size up where estimates are wrong.
USUAL_BUCKET_S = 5.0

# Limits are stated per minute. Without an end, a pool that rested for an hour would
# believe in an hour's allowance.
LARGEST_BUCKET_S = 60.0

# A bucket that should be full lacks what small errors of time and size have taken.
# Counting on all of it is a 429 at the first burst.
SURE_SHARE = 0.9

# Where no header shows the distance, jitter of the network adds up until the mirror is
# ahead of the API. First guesses from earlier runs lean to the safe side by as much.
BLIND_SLACK = 0.015

# After a pause every request is late. Catching up at once is a stampede, which the API
# refuses as steep growth. So much of a rate is also always tried again, however much
# other consumers take.
CATCH_UP_SHARE = 0.04

# A busy event loop lets requests go late and in clumps. A shorter time costs pace, a
# longer one lets the clump through. Levels that differ by no more are noted as one.
CLUMP_S = 0.05

# Headers may be some seconds older than the answer that brings them. Read as new they
# raise the mirror to a level that is gone; spent at once, the difference is a 429.
STALE_HEADER_S = 6.0

# Spent over those seconds, what is saved up for a few rows takes longer than their
# answers. So requests for which allowance is saved up are no further apart than this.
SAVED_GAP_S = 0.005

# `remaining` moves in steps (one request, a thousand tokens). A bucket that never shows
# so many steps is smaller than the rounding, and following it is following noise.
PROOF_STEPS = 4

# Tokens left are rounded to this. Without the half of it that is taken off, a bucket
# rounded up would be overdrawn.
HEADER_STEP = 1000.0

# One late header looks like another consumer. Judged over less than this, our own
# jitter would slow the pool down.
OTHERS_WINDOW_S = 2.0

# Each 429 doubles the margin. Without an end a pool that met a few would never again
# use what is saved up.
REFUSAL_DOUBLINGS = 4

# A margin that stays doubled slows down the hours after one bad moment; given back
# sooner, a limit that is wrong for good meets a 429 every minute.
FORGIVEN_S = 300.0

BLIND_BURST_S = SMALLEST_BUCKET_S / 2
MARGIN_S = SMALLEST_BUCKET_S / 2
OTHERS_SILENCE_S = 2 * OTHERS_WINDOW_S
# Requests of several hosts are late by what their networks and machines take: what was
# not used for so long is made up for, and no more, as buckets may hold a second.
SHARED_SAVED_S = SMALLEST_BUCKET_S / 4
# A shared server that is far away is asked earlier by two round trips, up to this.
FAR_SERVER_S = SMALLEST_BUCKET_S / 2
