"""The limit of output tokens, which count while they are produced: long after their
request was admitted.

Three mirrors of the API's bucket: *booked*: each answer counts whole when its request
leaves. It sets the pace, the same for any latency. *live*: each answer counts while
it is produced, as the API says that it does. *arrived*: each answer counts when it
comes, for an API that counts it then, all at once. A request leaves when all of them
let it; the last two only look whether the API's bucket can be empty now, and where it
holds little, a few answers are enough for that. So while this limit binds, answers are
watched as they come: a limiter that sees what is being produced needs no other mirror.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from claudebatch.layers.rate_limit.bucket_mirror import BucketMirror
from claudebatch.layers.rate_limit.constants.bucket import (
    HEADER_STEP,
    LARGEST_BUCKET_S,
    SMALLEST_BUCKET_S,
    USUAL_BUCKET_S,
)
from claudebatch.layers.rate_limit.output.accounting import CompetingLevels, OutputAccounting
from claudebatch.layers.rate_limit.output.constants import (
    ERROR_SHARE,
    FEW_S,
    FIRST_FEW,
    KEPT_BACK_MOST_S,
    LATE_PER_S,
    LONG_ANSWER_SLACK,
    LOW_SHARE,
    QUICK_S,
    SMALL_SLACK,
    UNSEEN_MOST_SHARE,
    UNSEEN_SHARE,
)
from claudebatch.layers.rate_limit.output.live_output import (
    LiveAnswer,
    LiveOutput,
    smallest_bucket_mirror,
)
from claudebatch.layers.rate_limit.peak_levels import BucketSnapshot


@dataclass(frozen=True, slots=True)
class OutputBooking:
    """What was taken for one answer, and where the mirrors stood then."""

    tokens: float
    booked: BucketSnapshot
    live: LiveAnswer
    arrived: BucketSnapshot
    uncounted: float
    """What was on its way then beyond what is refilled while it comes."""

    @property
    def watched(self) -> bool:
        """Whether the answer is to be seen while it comes."""
        return self.live.view is not None


class OutputLimit:
    """*per_minute* output tokens a minute; the methods are those of `BucketMirror`."""

    def __init__(self, per_minute: float, *, now: float, share: float, watch: bool = True) -> None:
        """*share*: as of `BucketMirror`. *watch*: answers may be watched; else the
        unwatched rule decides alone.
        """
        self._watch = watch
        self._booked = BucketMirror(
            per_minute,
            now=now,
            step=HEADER_STEP,
            share=share,
            blind_burst_s=USUAL_BUCKET_S,
            spaced=True,
            known_from=1,
            soon_s=LARGEST_BUCKET_S / 2,
        )
        self._live = LiveOutput(per_minute, now=now, share=share)
        self._arrived = smallest_bucket_mirror(per_minute, now=now, share=share)
        self._accounting = OutputAccounting()
        # Mutable: what is booked and has not come, however long ago; whether headers
        # come at all; whether the next request has waited for this limit, how many did
        # before it in a row, and when it was last enough of them.
        self._out = 0.0
        self._told = False
        self._waited = False
        self._waiters = 0
        self._bound_at = -inf

    @property
    def per_minute(self) -> float:
        """Tokens a minute."""
        return self._booked.per_minute

    def wait_for(self, tokens: float, now: float) -> float:
        """Seconds until a request may leave whose answer is expected to have
        *tokens*.
        """
        arrived = self._arrived.wait_for(1.0, now)
        produced = (
            0.0 if self._accounting.at_end else self._live.wait_unwatched(self._margin(tokens), now)
        )
        unseen = max(self._booked.wait_for(tokens, now), arrived, produced)
        if unseen <= 0 or not self._watching(now) or self._live.latency_s is None:
            return unseen
        seen = self._live.wait_watched(now, hold_burst=self._booked.holds_burst(now))
        return min(unseen, max(seen, arrived if self._accounting.doubted else 0.0))

    def note_binding(self) -> None:
        """The next request waits for this limit, and for no other as long."""
        self._waited = True

    def take(self, tokens: float, now: float) -> OutputBooking:
        """It leaves."""
        self._out += tokens
        self._waiters, self._waited = self._waiters + 1 if self._waited else 0, False
        if self._waiters >= FIRST_FEW:
            self._bound_at = now
        return OutputBooking(
            tokens,
            self._booked.take(tokens, now),
            self._live.depart(tokens, now, watched=self._watching(now)),
            self._arrived.snapshot(now),
            self._uncounted(),
        )

    def showed(self, booking: OutputBooking, tokens: float, now: float) -> None:
        """The answer has grown by about so many *tokens*."""
        self._live.showed(booking.live, tokens, now)

    def hides(self, booking: OutputBooking) -> None:
        """The answer grows by tokens that are not shown."""
        self._live.hides(booking.live)

    def settle(self, booking: OutputBooking, tokens: float, now: float, *, answered: bool) -> None:
        """It had *tokens*; *answered*: and took as long as answers take."""
        self._out = max(0.0, self._out - booking.tokens)
        self._live.end(booking.live, tokens, now, answered=answered)
        if answered:
            self._tune(self._live.latency_s or 0.0, booking.tokens)
        self._booked.give_back(booking.tokens - tokens, now, booking.booked)
        self._arrived.give_back(-tokens, now)

    def observe(self, booking: OutputBooking, remaining: float, now: float) -> None:
        """An answer says that *remaining* were left."""
        self._live.produce(now)
        self._told = True
        if booking.watched and self._live.sees and self._live.bucket.known:
            self._accounting.weigh(
                remaining,
                produced=self._live.guess(now),
                arrived=CompetingLevels(self._arrived.snapshot(now).level, self._arrived.margin),
                step=HEADER_STEP,
                holds=min(self._live.bucket.guaranteed_capacity, FEW_S * self.per_minute / 60),
            )
        self._booked.keep_margin(self._uncertainty_s())
        self._arrived.observe(booking.arrived, remaining, now, uncounted=(0.0, 0.0))
        moved = self._live.observe(booking.live, remaining, now)
        # Less is left than either way of counting explains.
        taken = max(moved, remaining - self._arrived.snapshot(now).level)
        if taken < 0:
            self._booked.adjust(taken)
        else:
            self._booked.observe(
                booking.booked, remaining, now, uncounted=(booking.uncounted, self._uncounted())
            )

    def hold_burst(self, now: float) -> None:
        """Spend nothing of what is saved up for a while."""
        self._booked.hold_burst(now)

    def refused(self, now: float) -> None:
        """The API did not admit what was granted."""
        self._live.produce(now)
        if self._accounting.explains(
            produced=self._live.bucket.snapshot(now).level,
            arrived=self._arrived.snapshot(now).level,
        ):
            return
        for mirror in self._mirrors:
            mirror.refused(now)

    def set_rate(self, per_minute: float, now: float, *, share: float = 1.0) -> None:
        """From *now* on, *per_minute* tokens a minute."""
        self._live.produce(now)
        for mirror in self._mirrors:
            mirror.set_rate(per_minute, now, share=share)

    @property
    def _mirrors(self) -> tuple[BucketMirror, ...]:
        return self._booked, self._live.bucket, self._arrived

    def _watching(self, now: float) -> bool:
        latency_s = self._live.latency_s
        return (
            self._watch
            and now - self._bound_at < LARGEST_BUCKET_S
            and (latency_s is None or latency_s > QUICK_S)
            and not self._accounting.at_end
        )

    def _answer_share(self, tokens: float) -> float:
        """The share of an answer of *tokens* in what a small bucket holds; 0 where none
        has been shown to be small.
        """
        small = self._told and self._live.small
        return tokens / self._live.bucket.guaranteed_capacity if small else 0.0

    def _margin(self, tokens: float) -> float:
        """What must be left of what is being produced, before *tokens* are asked
        for.
        """
        capacity = self._live.bucket.guaranteed_capacity
        share = UNSEEN_SHARE + (1 + ERROR_SHARE) * self._answer_share(tokens)
        return min(
            self.per_minute / 60 * self._uncertainty_s(), capacity * min(share, UNSEEN_MOST_SHARE)
        )

    def _tune(self, latency_s: float, tokens: float) -> None:
        self._booked.tune(
            blind_burst_s=max(1.0, USUAL_BUCKET_S / max(1.0, latency_s)),
            slack=self._slack(latency_s, tokens) if self._live.small else 0.0,
            spaced=latency_s > FEW_S,
        )

    def _slack(self, latency_s: float, tokens: float) -> float:
        by_share = LONG_ANSWER_SLACK * self._answer_share(tokens) * (latency_s - QUICK_S)
        return min(LOW_SHARE, max(SMALL_SLACK * latency_s**2, by_share))

    def _uncertainty_s(self) -> float:
        """Seconds of allowance by which the mirrors may be wrong."""
        rounding_s = min(SMALLEST_BUCKET_S, HEADER_STEP / 2 / (self.per_minute / 60))
        late_s = LATE_PER_S * (self._live.latency_s or 0.0)
        return min(KEPT_BACK_MOST_S, SMALLEST_BUCKET_S + rounding_s + late_s)

    def _uncounted(self) -> float:
        """What is on its way beyond what is refilled while it comes: the API has not
        counted it yet, and will.
        """
        return max(0.0, self._out - self.per_minute / 60 * (self._live.latency_s or 0.0))
