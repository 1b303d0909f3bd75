"""The limit of input tokens: what requests are expected to take, and what they may take
while no answer has told.

Estimates that earlier runs have corrected are as good as these rows are like those.
Until answers tell, a second mirror of the API's bucket counts the most that each
request may take, and lets no more go than what a bucket of five seconds holds: none is
refused when the most is the truth, and a pool whose answers come within nine seconds
loses nothing by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from claudebatch.layers.rate_limit.bucket_mirror import BucketMirror
from claudebatch.layers.rate_limit.constants.bucket import HEADER_STEP, SURE_SHARE, USUAL_BUCKET_S
from claudebatch.layers.rate_limit.peak_levels import BucketSnapshot


@dataclass(frozen=True, slots=True)
class InputBooking:
    """What was taken for one request, and where the mirror stood then."""

    tokens: float
    snapshot: BucketSnapshot
    worst_case: float
    """It was expected to take no more than this; 0: not known."""
    worst_case_mirror: BucketMirror | None
    """The second mirror, if there was one, from which the most was taken."""


class InputLimit:
    """*per_minute* input tokens a minute; the methods are those of `BucketMirror`."""

    def __init__(self, per_minute: float, *, now: float, share: float) -> None:
        self._expected = BucketMirror(per_minute, now=now, step=HEADER_STEP, share=share)
        # Mutable, changed by the methods below only. The second mirror is there while
        # requests are out whose worst case was booked; these are counted.
        self._worst_case: BucketMirror | None = None
        self._out = 0
        self._share = share

    @property
    def per_minute(self) -> float:
        """Tokens a minute."""
        return self._expected.per_minute

    def wait_for(self, tokens: float, now: float, *, worst_case: float = 0.0) -> float:
        """Seconds until a request may leave that is expected to take *tokens*; told
        *worst_case*, no more than that.
        """
        seconds = self._expected.wait_for(tokens, now)
        if self._worst_case is None:
            return seconds
        return max(seconds, self._worst_case.wait_for(worst_case or tokens, now))

    def take(self, tokens: float, now: float, *, worst_case: float = 0.0) -> InputBooking:
        """It leaves."""
        if worst_case:
            self._out += 1
            self._worst_case = self._worst_case or self._full(now)
        if self._worst_case is not None:
            self._worst_case.take(worst_case or tokens, now)
        return InputBooking(tokens, self._expected.take(tokens, now), worst_case, self._worst_case)

    def settle(self, booking: InputBooking, tokens: float, now: float) -> None:
        """It took *tokens*."""
        self._expected.give_back(booking.tokens - tokens, now, booking.snapshot)
        if booking.worst_case_mirror is not None:
            booking.worst_case_mirror.give_back(
                (booking.worst_case or booking.tokens) - tokens, now
            )
        if booking.worst_case:
            self._out -= 1
            if self._out == 0:
                self._worst_case = None

    def observe(self, booking: InputBooking, remaining: float, now: float) -> None:
        """An answer says that *remaining* were left."""
        self._expected.observe(booking.snapshot, remaining, now)

    def hold_burst(self, now: float) -> None:
        """Spend nothing of what is saved up for a while."""
        self._expected.hold_burst(now)

    def refused(self, now: float) -> None:
        """The API did not admit what was granted."""
        self._expected.refused(now)
        if self._worst_case is not None:
            self._worst_case.refused(now)

    def set_rate(self, per_minute: float, now: float, *, share: float = 1.0) -> None:
        """From *now* on, *per_minute* tokens a minute."""
        self._share = share
        self._expected.set_rate(per_minute, now, share=share)
        if self._worst_case is not None:
            self._worst_case.set_rate(per_minute, now, share=share)

    def _full(self, now: float) -> BucketMirror:
        return BucketMirror(
            self.per_minute,
            now=now,
            level=inf,
            blind_burst_s=SURE_SHARE * USUAL_BUCKET_S,
            share=self._share,
            shared=False,
        )
