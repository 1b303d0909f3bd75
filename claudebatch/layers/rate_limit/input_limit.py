"""The limit of input tokens: what requests are expected to take, and what they may take
while nobody knows yet.

Estimates that earlier runs have corrected are as good as these rows are like those.
Until answers tell, a second picture of the API's bucket counts the most that each
request may take, and lets no more go than what a bucket of five seconds holds: none is
refused when the most is the truth, and who has answers within nine seconds loses
nothing by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from claudebatch.layers.rate_limit.bucket_mirror import BucketMirror
from claudebatch.layers.rate_limit.constants.bucket import HEADER_STEP, SURE_SHARE, USUAL_BUCKET_S
from claudebatch.layers.rate_limit.peak_levels import BucketSnapshot


@dataclass(frozen=True, slots=True)
class InputBooking:
    """What was taken for one request, and where the picture stood then."""

    tokens: float
    mark: BucketSnapshot
    most: float
    """It was expected to take no more than this; 0: nothing was told."""
    surely: BucketMirror | None
    """The second picture, if there was one, from which the most was taken."""


class InputLimit:
    """*per_minute* input tokens a minute; the methods are those of `BucketMirror`."""

    def __init__(self, per_minute: float, *, now: float, share: float) -> None:
        self._expected = BucketMirror(per_minute, now=now, step=HEADER_STEP, share=share)
        # Mutable, changed by the methods below only. The second picture is there while
        # requests are out of which nobody knows what they take, which are counted.
        self._surely: BucketMirror | None = None
        self._out = 0
        self._share = share

    @property
    def per_minute(self) -> float:
        """Tokens a minute."""
        return self._expected.per_minute

    def wait_for(self, tokens: float, now: float, *, most: float = 0.0) -> float:
        """Seconds until a request may leave that is expected to take *tokens*; told
        *most*, no more than that.
        """
        seconds = self._expected.wait_for(tokens, now)
        if self._surely is None:
            return seconds
        return max(seconds, self._surely.wait_for(most or tokens, now))

    def take(self, tokens: float, now: float, *, most: float = 0.0) -> InputBooking:
        """It leaves."""
        if most:
            self._out += 1
            self._surely = self._surely or self._full(now)
        if self._surely is not None:
            self._surely.take(most or tokens, now)
        return InputBooking(tokens, self._expected.take(tokens, now), most, self._surely)

    def settle(self, booking: InputBooking, tokens: float, now: float) -> None:
        """It took *tokens*."""
        self._expected.give_back(booking.tokens - tokens, now, booking.mark)
        if booking.surely is not None:
            booking.surely.give_back((booking.most or booking.tokens) - tokens, now)
        if booking.most:
            self._out -= 1
            if self._out == 0:
                self._surely = None

    def observe(self, booking: InputBooking, remaining: float, now: float) -> None:
        """An answer says that *remaining* were left."""
        self._expected.observe(booking.mark, remaining, now)

    def calm(self, now: float) -> None:
        """Spend nothing of what is saved up for a while."""
        self._expected.calm(now)

    def refused(self, now: float) -> None:
        """The API did not admit what was granted."""
        self._expected.refused(now)
        if self._surely is not None:
            self._surely.refused(now)

    def set_rate(self, per_minute: float, now: float, *, share: float = 1.0) -> None:
        """From *now* on, *per_minute* tokens a minute."""
        self._share = share
        self._expected.set_rate(per_minute, now, share=share)
        if self._surely is not None:
            self._surely.set_rate(per_minute, now, share=share)

    def _full(self, now: float) -> BucketMirror:
        return BucketMirror(
            self.per_minute,
            now=now,
            level=inf,
            room_s=SURE_SHARE * USUAL_BUCKET_S,
            share=self._share,
            shared=False,
        )
