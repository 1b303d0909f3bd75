"""The API's bucket if output counts while it is produced, as its documentation has it
("in real time").

An answer that is not watched is taken to be produced evenly over the mean latency
(`InFlightOutput`). One that is watched is followed by what it shows (`StreamedOutput`):
then this mirror is wrong by little, and how fast all answers go on together tells what
will be left in a while. With that even a bucket of one second, two or three
answers, is used in full.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from claudebatch.layers.rate_limit.bucket_mirror import BucketMirror
from claudebatch.layers.rate_limit.constants.bucket import (
    BLIND_SLACK,
    HEADER_STEP,
    MARGIN_S,
    SMALLEST_BUCKET_S,
    SURE_SHARE,
    USUAL_BUCKET_S,
)
from claudebatch.layers.rate_limit.output.accounting import CompetingLevels
from claudebatch.layers.rate_limit.output.constants import (
    FEW_S,
    FIRST_FEW,
    LOOK_AGAIN_S,
    LOW_SHARE,
    RUSH,
)
from claudebatch.layers.rate_limit.output.in_flight import InFlightAnswer, InFlightOutput
from claudebatch.layers.rate_limit.output.streamed import StreamedAnswer, StreamedOutput
from claudebatch.layers.rate_limit.peak_levels import BucketSnapshot


@dataclass(slots=True, eq=False)
class AnswerView:
    """What is seen of one answer; the fields are for `LiveOutput` alone."""

    growing: StreamedAnswer | None = None
    hides: bool = False
    snapshots: list[tuple[float, BucketSnapshot]] = field(default_factory=list)
    """Where the mirror stood when the answer was seen, each time when it was out twice
    as long as the time before.
    """


@dataclass(frozen=True, slots=True)
class LiveAnswer:
    """One answer that is being produced, and where the mirror stood when its request
    left.
    """

    in_flight: InFlightAnswer
    snapshot: BucketSnapshot
    view: AnswerView | None
    """None: it is not watched."""

    @property
    def growing(self) -> StreamedAnswer | None:
        """The part of it that has been seen."""
        return self.view.growing if self.view is not None else None


def smallest_bucket_mirror(
    per_minute: float,
    *,
    now: float,
    share: float,
    margin_s: float = MARGIN_S,
    blind_margin: float = BLIND_SLACK,
) -> BucketMirror:
    """A mirror of the smallest bucket that the API may have for output, full at first;
    arguments as of `BucketMirror`.
    """
    return BucketMirror(
        per_minute,
        now=now,
        step=HEADER_STEP,
        share=share,
        level=inf,
        blind_burst_s=SURE_SHARE * SMALLEST_BUCKET_S,
        shared=False,
        margin_s=margin_s,
        known_from=1,
        blind_margin=blind_margin,
    )


class LiveOutput:
    """*per_minute* output tokens a minute. Levels are in tokens, moments and waits in
    seconds of one clock.
    """

    def __init__(self, per_minute: float, *, now: float, share: float) -> None:
        self.bucket = smallest_bucket_mirror(
            per_minute, now=now, share=share, margin_s=MARGIN_S / 2, blind_margin=0.0
        )
        """Full at first, as the API's is, and as small as that may be."""
        self._in_flight = InFlightOutput(now)
        self._streamed = StreamedOutput(now)
        # Mutable, changed by the methods below only: when the next request may leave,
        # and when the last header came that said how much is left.
        self._free_at = now
        self._last_header_at = -inf

    @property
    def latency_s(self) -> float | None:
        """Seconds that a token's answer takes on average; None until anything is
        known.
        """
        return self._in_flight.latency_s

    @property
    def small(self) -> bool:
        """Whether the bucket holds no more than a few answers, for all that is
        known.
        """
        return self.bucket.guaranteed_capacity < FEW_S * self._per_s

    @property
    def sees(self) -> bool:
        """Whether next to all that is produced is seen, and known for what it is."""
        known = self._in_flight.latency_s is not None and self._streamed.proven
        return known and self._in_flight.produced <= LOW_SHARE * self.bucket.guaranteed_capacity

    def guess(self, now: float) -> CompetingLevels:
        """What is left."""
        return CompetingLevels(self.bucket.snapshot(now).level, self.bucket.margin)

    def wait_unwatched(self, margin: float, now: float) -> float:
        """Seconds until *margin* is left, with which a request may leave even if
        nothing is seen.
        """
        self.produce(now)
        if not self._in_flight.tokens and not self._streamed.answers:
            return 0.0
        return min(
            self.bucket.wait_for(margin, now),
            self._in_flight.drops_oldest_in_s,
            self._streamed.stalls_in_s,
        )

    def wait_watched(self, now: float, *, hold_burst: bool) -> float:
        """Seconds until one more may leave, by what is seen being produced, or until to
        look again. *hold_burst*: and spend nothing of what is saved up.
        """
        self.produce(now)
        level, gains_per_s = self.bucket.snapshot(now).level, self.bucket.gains_per_s
        latency_s = self._in_flight.latency_s or 0.0
        holds_s = self.bucket.guaranteed_capacity / self._per_s
        ahead_s = max(latency_s, SMALLEST_BUCKET_S, min(holds_s, USUAL_BUCKET_S))
        usable_s = min(USUAL_BUCKET_S, SMALLEST_BUCKET_S + 2 * latency_s)
        usable = min(self.bucket.guaranteed_capacity, usable_s * self._per_s)
        low = LOW_SHARE * usable + self._in_flight.uncertainty + self._streamed.uncertainty
        left = max(low, level if hold_burst else usable / 2)
        if self._in_flight.guessed and self._in_flight.answers > max(
            FIRST_FEW, self._streamed.answers
        ):
            return LOOK_AGAIN_S
        if level >= low and level + gains_per_s * ahead_s >= left:
            return max(0.0, self._free_at - now)
        if gains_per_s <= 0:
            return LOOK_AGAIN_S
        return min(
            LOOK_AGAIN_S, max((low - level) / gains_per_s, (left - level) / gains_per_s - ahead_s)
        )

    def depart(self, tokens: float, now: float, *, watched: bool) -> LiveAnswer:
        """A request leaves whose answer is expected to have *tokens*."""
        self.produce(now)
        self._free_at = now + tokens / (self._per_s * RUSH)
        answer = LiveAnswer(
            self._in_flight.depart(tokens, now),
            self.bucket.snapshot(now),
            AnswerView() if watched else None,
        )
        self.produce(now)
        return answer

    def showed(self, answer: LiveAnswer, tokens: float, now: float) -> None:
        """An answer has grown by about so many *tokens*."""
        view, left_at = answer.view, answer.in_flight.at
        if view is None:
            return
        self.produce(now)
        if view.growing is None:
            estimated = self._in_flight.end(answer.in_flight) or 0.0
            hidden = estimated if view.hides else 0.0
            view.growing = self._streamed.appear(hidden, tokens, left_at, now, hides=view.hides)
            more = hidden + tokens - estimated
        else:
            more = self._streamed.show(view.growing, tokens, now)
            if self._streamed.mean_per_s:
                self._in_flight.guess(answer.in_flight.tokens / self._streamed.mean_per_s)
        self.bucket.give_back(-more, now)
        self._go_on()
        if now - left_at >= 2 * (view.snapshots[-1][0] - left_at if view.snapshots else 0.0):
            view.snapshots.append((now, self.bucket.snapshot(now)))

    def hides(self, answer: LiveAnswer) -> None:
        """An answer grows by tokens that are not shown."""
        if answer.view is not None:
            answer.view.hides = True

    def end(self, answer: LiveAnswer, tokens: float, now: float, *, answered: bool) -> None:
        """An answer had *tokens*; *answered*: and took as long as answers take."""
        self.produce(now)
        growing = answer.growing
        estimated = (
            self._streamed.end(growing, now)
            if growing is not None
            else self._in_flight.end(answer.in_flight)
        )
        if answered:
            self._in_flight.learn(answer.in_flight, tokens, now)
            if growing is not None and estimated is not None:
                self._streamed.learn(estimated, tokens)
        if estimated is not None:
            self._correct(answer, estimated - tokens, now)
        self._go_on()

    def observe(self, answer: LiveAnswer, remaining: float, now: float) -> float:
        """An answer says that *remaining* were left; returns by how much that moved the
        mirror.
        """
        self.produce(now)
        moved = self.bucket.observe(answer.snapshot, remaining, now)
        if self.bucket.known and self.bucket.guaranteed_capacity > HEADER_STEP:
            self._last_header_at = now
        if self.small:
            # A few answers empty it: the last header is believed, and one that is older
            # only makes us more careful.
            self.bucket.adjust(
                min(0.0, remaining + HEADER_STEP / 2 - self.bucket.snapshot(now).level)
            )
        return moved

    def produce(self, now: float) -> None:
        """Time passes."""
        produced = self._in_flight.produce(now) + self._streamed.produce(now)
        self.bucket.drain(produced, now)
        self._go_on()

    def _go_on(self) -> None:
        self.bucket.set_drain_rate(self._in_flight.per_s + self._streamed.per_s)

    @property
    def _per_s(self) -> float:
        return self.bucket.per_minute / 60

    def _correct(self, answer: LiveAnswer, units: float, now: float) -> None:
        """An answer was estimated to have *units* more than it has.

        If it was seen, or was so late that it was forgotten, what a header has put
        right since it left is not put right again; and where no header has, what would
        have run over is lost. The others are off by chance, both ways.
        """
        left_at = answer.in_flight.at
        far = answer.growing is not None or answer.in_flight.dropped
        if far and units > 0 and now > left_at:
            if self._last_header_at > left_at:
                units *= (now - self._last_header_at) / (now - left_at)
            else:
                units -= min(units, self._lost(answer, units, now))
        self.bucket.give_back(units, now)

    def _lost(self, answer: LiveAnswer, units: float, now: float) -> float:
        """What would have run over if *units* less had been taken, evenly, since it
        left.
        """
        left_at, capacity = answer.in_flight.at, self.bucket.guaranteed_capacity
        stood = [
            (left_at, answer.snapshot),
            *(answer.view.snapshots if answer.view is not None else ()),
        ]
        ends = [*(at for at, _ in stood[1:]), now]
        over: list[float] = [
            self.bucket.peak_since(snapshot) + units * (end - left_at) / (now - left_at) - capacity
            for (_, snapshot), end in zip(stood, ends, strict=True)
        ]
        return max(0.0, *over)
