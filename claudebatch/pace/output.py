"""The limit of output tokens, which count while they are produced: long after their request was admitted.

Three pictures of the API's bucket, and a request leaves when all of them let it:
*booked*: each answer counts whole when its request leaves. It sets the pace, the same for any latency.
*streamed*: each answer counts evenly over the mean latency, as the API says that it does ("in real time").
*arrived*: each answer counts when it comes, for an API that counts it then, all at once.
The last two only look whether the API's bucket can be empty now: where it holds little, a few answers are enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from claudebatch.pace.bucket import RESERVE_S, Bucket, Mark
from claudebatch.pace.flight import Flight, Underway

_STEP = 1000.0
"""As in `pace`: what headers say is rounded to this."""
_ROOM_S = 5.0
"""So much may be made up for after answers that came together kept the API's bucket below zero; of answers that take
longer than a second, the less the longer they take."""
_SMALLEST_S = 0.9
"""Of its smallest bucket so much is thought to be there."""
_DOUBT_S = 0.8
_DOUBT_PER_S = 0.08
_DOUBT_MOST_S = 3.0
_ROUNDING_MOST_S = 1.0
"""Seconds of allowance by which the pictures may be wrong: the longer answers take, the later a mistake about them
shows, and headers are rounded. So much is kept behind the API's bucket, and so much must be left by the picture in
which what is produced is a guess."""
_MARGIN_SHARE = 0.25
_MARGIN_LUMPS = 1.1
_MARGIN_MOST_SHARE = 0.7
"""But never more than this share of what the bucket holds must be left; of a small one, and so many answers more."""
_GUESS_BEHIND_S = 0.25
"""What headers raise that picture to stays so far below what they say."""
_SMALL_S = 2.0
_SLACK = 0.02
_SLACK_MOST = 0.15
_SLACK_LUMPS = 0.4
_SLACK_FROM_S = 0.2
"""A bucket of less than `_SMALL_S` cannot make up for such mistakes, nor one that no header has shown: there we stay
below the rate, by `_SLACK` times the square of the seconds that answers take. One long answer that is produced fast
empties such a bucket: so at least by `_SLACK_LUMPS` times its share of what is held, times the seconds that answers
take beyond `_SLACK_FROM_S`. `_SLACK_MOST` is the most."""
_SPACED_FROM_S = 2.0
"""Where answers take longer, requests leave one by one at the rate and never to catch up, because what leaves together
comes together, and too late to learn from it."""


@dataclass(frozen=True, slots=True)
class OutputBooking:
    """What was taken for one answer, and where the pictures stood then."""

    tokens: float
    answer: Underway
    booked: Mark
    streamed: Mark
    arrived: Mark
    ahead: float
    """What was on its way then beyond what is refilled while it comes."""


class Output:
    """*per_minute* output tokens a minute; the methods are those of `Bucket`."""

    def __init__(self, per_minute: float, *, now: float, share: float) -> None:
        self._booked = Bucket(per_minute, now=now, step=_STEP, share=share, room_s=_ROOM_S, spaced=True, known_from=1)
        self._streamed = _full(per_minute, now, share, reserve_s=_GUESS_BEHIND_S)
        self._arrived = _full(per_minute, now, share)
        self._flight = Flight(now)
        # Mutable: what is booked and has not come, however long ago, and whether headers come at all.
        self._out = 0.0
        self._told = False

    @property
    def per_minute(self) -> float:
        """Tokens a minute."""
        return self._booked.per_minute

    def wait_for(self, tokens: float, now: float) -> float:
        """Seconds until a request may leave whose answer is expected to have *tokens*."""
        self._produce(now)
        return max(
            self._booked.wait_for(tokens, now),
            self._arrived.wait_for(1.0, now),
            min(self._streamed.wait_for(self._margin(tokens), now), self._flight.forgets_in_s)
            if self._flight.tokens
            else 0.0,
        )

    def take(self, tokens: float, now: float) -> OutputBooking:
        """It leaves."""
        self._produce(now)
        self._out += tokens
        booking = OutputBooking(
            tokens,
            self._flight.depart(tokens, now),
            self._booked.take(tokens, now),
            self._streamed.mark(now),
            self._arrived.mark(now),
            self._ahead(),
        )
        self._produce(now)
        return booking

    def settle(self, booking: OutputBooking, tokens: float, now: float, *, answered: bool) -> None:
        """It had *tokens*; *answered*: and took as long as answers take."""
        self._produce(now)
        self._out = max(0.0, self._out - booking.tokens)
        produced = self._flight.end(booking.answer)
        if answered:
            self._flight.learn(booking.answer, tokens, now)
            self._ease(self._flight.latency_s or 0.0, booking.tokens)
        self._booked.give_back(booking.tokens - tokens, now, booking.booked)
        self._arrived.give_back(-tokens, now)
        if produced is not None:
            self._streamed.give_back(produced - tokens, now)
        self._produce(now)

    def observe(self, booking: OutputBooking, remaining: float, now: float) -> None:
        """An answer says that *remaining* were left."""
        self._produce(now)
        self._told = True
        self._booked.keep_behind(self._doubt_s())
        self._arrived.observe(booking.arrived, remaining, now, ahead=(0.0, 0.0))
        moved = self._streamed.observe(booking.streamed, remaining, now)
        if self._small:
            # A few answers empty it: the last header is believed, and one that is older only makes us more careful.
            self._streamed.shift(min(0.0, remaining + _STEP / 2 - self._streamed.mark(now).level))
        # Less is left than either way of counting explains.
        taken = max(moved, remaining - self._arrived.mark(now).level)
        if taken < 0:
            self._booked.shift(taken)
        else:
            self._booked.observe(booking.booked, remaining, now, ahead=(booking.ahead, self._ahead()))

    def calm(self, now: float) -> None:
        """Spend nothing of what is saved up for a while."""
        self._booked.calm(now)

    def refused(self, now: float) -> None:
        """The API did not admit what was granted."""
        self._produce(now)
        for picture in (self._booked, self._streamed, self._arrived):
            picture.refused(now)

    def set_rate(self, per_minute: float, now: float, *, share: float = 1.0) -> None:
        """From *now* on, *per_minute* tokens a minute."""
        self._produce(now)
        for picture in (self._booked, self._streamed, self._arrived):
            picture.set_rate(per_minute, now, share=share)

    @property
    def _small(self) -> bool:
        return self._streamed.surely < _SMALL_S * self.per_minute / 60

    def _lump(self, tokens: float) -> float:
        """The share of an answer of *tokens* in what a small bucket holds; 0 where none was told to be small."""
        return tokens / self._streamed.surely if self._told and self._small else 0.0

    def _margin(self, tokens: float) -> float:
        """What must be left of what is being produced, before *tokens* are asked for."""
        surely = self._streamed.surely
        share = _MARGIN_SHARE + _MARGIN_LUMPS * self._lump(tokens)
        return min(self.per_minute / 60 * self._doubt_s(), surely * min(share, _MARGIN_MOST_SHARE))

    def _ease(self, latency_s: float, tokens: float) -> None:
        self._booked.ease(
            room_s=max(1.0, _ROOM_S / max(1.0, latency_s)),
            slack=self._slack(latency_s, tokens) if self._small else 0.0,
            spaced=latency_s > _SPACED_FROM_S,
        )

    def _slack(self, latency_s: float, tokens: float) -> float:
        lumps = _SLACK_LUMPS * self._lump(tokens) * (latency_s - _SLACK_FROM_S)
        return min(_SLACK_MOST, max(_SLACK * latency_s**2, lumps))

    def _produce(self, now: float) -> None:
        """Time passes."""
        self._streamed.drain(self._flight.produce(now), now, then_per_s=self._flight.per_s)

    def _doubt_s(self) -> float:
        """Seconds of allowance by which the pictures may be wrong."""
        rounding_s = min(_ROUNDING_MOST_S, _STEP / 2 / (self.per_minute / 60))
        return min(_DOUBT_MOST_S, _DOUBT_S + rounding_s + _DOUBT_PER_S * (self._flight.latency_s or 0.0))

    def _ahead(self) -> float:
        """What is on its way beyond what is refilled while it comes: the API has not counted it yet, and will."""
        return max(0.0, self._out - self.per_minute / 60 * (self._flight.latency_s or 0.0))


def _full(per_minute: float, now: float, share: float, *, reserve_s: float = RESERVE_S) -> Bucket:
    """A picture of the smallest bucket there may be, full as the API's is at first."""
    return Bucket(
        per_minute,
        now=now,
        step=_STEP,
        share=share,
        level=inf,
        room_s=_SMALLEST_S,
        shared=False,
        reserve_s=reserve_s,
        known_from=1,
    )
