"""Answers on their way: how much output they will hold, how long they take, and how
much of it is produced by now.

What is on its way is what is produced a second times the seconds that it takes (J.
Little, 1961). So what is on its way, divided by the mean latency, tells how fast output
is being produced now, long before any of these answers comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

from claudebatch.layers.rate_limit.constants.limiter import SHORTEST_WAIT_S
from claudebatch.layers.rate_limit.constants.usage import MEMORY
from claudebatch.layers.rate_limit.output.constants import OVERDUE_LATENCIES, SIGMAS
from claudebatch.layers.rate_limit.output.speeds import OutputSpeeds


@dataclass(slots=True, eq=False)
class InFlightAnswer:
    """One answer on its way; the fields are for `InFlightOutput` alone."""

    tokens: float
    at: float
    began: float
    produced: float | None = None
    """What it was taken to have produced when it came, or was forgotten."""
    dropped: bool = False


class InFlightOutput:
    """Each answer is taken to be produced evenly over the mean latency of the last
    ones, each weighted by what was expected of it: where all are produced at one speed,
    that comes to their speed, however long they are.
    """

    def __init__(self, now: float) -> None:
        # Mutable, changed by the methods below only. A turn is one mean latency; until
        # that is known, a second.
        self.tokens = 0.0
        """Output on its way, what is produced already and not yet received included."""
        self._clock = 0.0
        self._at = now
        self._underway: dict[InFlightAnswer, None] = {}
        self._speeds = OutputSpeeds()
        self._guessed_s: float | None = None
        # Of those on their way: the turn in which each left, times its tokens.
        self._began = 0.0

    @property
    def latency_s(self) -> float | None:
        """Seconds that a token's answer takes on average; None until the first answer,
        or a guess.
        """
        latency_s = self._speeds.latency_s
        return self._guessed_s if latency_s is None else latency_s

    @property
    def per_s(self) -> float:
        """Tokens that are being produced a second; 0 until anything is known."""
        return self.tokens / self.latency_s if self.latency_s is not None else 0.0

    @property
    def drops_oldest_in_s(self) -> float:
        """Seconds until the oldest one is taken to produce no more."""
        if not self._underway or self.latency_s is None:
            return inf
        return (next(iter(self._underway)).began + OVERDUE_LATENCIES - self._clock) * self.latency_s

    @property
    def produced(self) -> float:
        """Tokens that those on their way are taken to have by now; call `produce`
        first.
        """
        return (
            max(0.0, self.tokens * self._clock - self._began) if self.latency_s is not None else 0.0
        )

    @property
    def uncertainty(self) -> float:
        """Tokens by which that may be too low: each answer by chance, as far as the
        speeds of the last ones differ, three standard deviations of the sum; and all of
        them by a tenth of that.
        """
        if not self._underway:
            return 0.0
        return (
            self.produced
            * self._speeds.spread
            * (SIGMAS * sqrt(1 / len(self._underway) + 1 / MEMORY))
        )

    @property
    def guessed(self) -> bool:
        """Whether the latency is a guess because no answer has come yet."""
        return self._speeds.latency_s is None

    @property
    def answers(self) -> int:
        """How many are on their way."""
        return len(self._underway)

    def guess(self, latency_s: float) -> None:
        """Until the first answer tells: answers may take so long."""
        first = self.latency_s is None
        self._guessed_s = max(SHORTEST_WAIT_S, latency_s)
        if first:
            self._rescale(self._guessed_s)

    def produce(self, now: float) -> float:
        """Time passes: the tokens that were produced since the last call; 0 until
        anything is known.
        """
        turns = max(0.0, now - self._at) / (self.latency_s or 1.0)
        self._clock += turns
        self._at = max(self._at, now)
        if self.latency_s is None:
            return 0.0
        produced = self.tokens * turns
        while (
            self._underway
            and (
                late := self._clock
                - OVERDUE_LATENCIES
                - (oldest := next(iter(self._underway))).began
            )
            >= 0
        ):
            produced -= oldest.tokens * late
            self._drop(oldest, OVERDUE_LATENCIES)
            oldest.dropped = True
        return max(0.0, produced)

    def depart(self, tokens: float, now: float) -> InFlightAnswer:
        """A request leaves that expects *tokens*; call `produce` first, here and
        below.
        """
        answer = InFlightAnswer(tokens, now, self._clock)
        self._underway[answer] = None
        self.tokens += tokens
        self._began += tokens * self._clock
        return answer

    def end(self, answer: InFlightAnswer) -> float | None:
        """It comes no more, or has come: how much of it was taken to be produced; None
        if nothing was known of that.
        """
        if answer.produced is None:
            self._drop(answer, self._clock - answer.began)
        return answer.produced if self.latency_s is not None else None

    def learn(self, answer: InFlightAnswer, tokens: float, now: float) -> None:
        """It has come, with *tokens*."""
        first = self.latency_s is None
        self._speeds.add(answer.tokens, tokens, now - answer.at)
        if first:
            self._rescale(self.latency_s or 1.0)

    def _rescale(self, turn_s: float) -> None:
        """Turns were seconds; from now on they take *turn_s*."""
        self._clock /= turn_s
        self._began /= turn_s
        for other in self._underway:
            other.began /= turn_s

    def _drop(self, answer: InFlightAnswer, turns: float) -> None:
        del self._underway[answer]
        answer.produced = answer.tokens * turns
        self.tokens = self.tokens - answer.tokens if self._underway else 0.0
        self._began = self._began - answer.tokens * answer.began if self._underway else 0.0
