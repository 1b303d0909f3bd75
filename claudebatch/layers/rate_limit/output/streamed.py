"""Answers that are seen while they come: what each has by now, and how fast all of them
go on together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

from claudebatch.layers.rate_limit.constants.usage import MEMORY
from claudebatch.layers.rate_limit.output.constants import (
    ERROR_SHARE,
    FIRST_ANSWERS,
    SIGMAS,
    SILENT_S,
)


@dataclass(slots=True, eq=False)
class StreamedAnswer:
    """One watched answer; the fields are for `StreamedOutput` alone."""

    tokens: float
    """What it had when it was last heard of."""
    shown: float
    """Without what it hides."""
    at: float
    """When that was."""
    first_shown: float
    first_at: float
    """When it was first seen, and what of it."""
    hidden_s: float
    """For so long it had been thinking then."""
    per_s: float
    running: bool = True


class StreamedOutput:
    """Each answer goes on as fast as it has come so far, until it shows more, stands
    still or ends.
    """

    def __init__(self, now: float) -> None:
        # Mutable, changed by the methods below only: the answers that are seen, how
        # many there are, those that run in the order in which they were last heard of,
        # and what they produce a second together.
        self.per_s = 0.0
        self.answers = 0
        # What they had when they were last heard of, added up, and added up in squares;
        # how far it is off, in squares.
        self._shown = self._squares = 0.0
        self._spread = ERROR_SHARE**2
        self._over = 0
        self._running: dict[StreamedAnswer, None] = {}
        self._at = now

    @property
    def mean_per_s(self) -> float | None:
        """Tokens that one of them produces a second, on average; None while none
        runs.
        """
        return self.per_s / len(self._running) if self._running else None

    @property
    def uncertainty(self) -> float:
        """Tokens by which all that was seen may be off: `SIGMAS` standard deviations
        of the sum, where each answer is off by chance, and all of them by what the mean
        of the last ones is off.
        """
        return SIGMAS * sqrt(self._spread * max(0.0, self._squares + self._shown**2 / (MEMORY / 2)))

    @property
    def proven(self) -> bool:
        """Whether enough of them are over to tell what texts come to."""
        return self._over >= FIRST_ANSWERS

    @property
    def stalls_in_s(self) -> float:
        """Seconds until one of them is taken to stand still, unless it shows more."""
        return next(iter(self._running)).at + SILENT_S - self._at if self._running else inf

    def produce(self, now: float) -> float:
        """Time passes: the tokens that were produced since the last call."""
        produced = 0.0
        while self._running and (oldest := next(iter(self._running))).at + SILENT_S <= now:
            stopped = max(self._at, oldest.at + SILENT_S)
            produced += self.per_s * (stopped - self._at)
            self._at = stopped
            self._halt(oldest)
        if now > self._at:
            produced += self.per_s * (now - self._at)
            self._at = now
        return produced

    def appear(
        self, hidden: float, shown: float, left_at: float, now: float, *, hides: bool
    ) -> StreamedAnswer:
        """An answer that left at *left_at* is seen for the first time, with *shown*
        tokens after so many *hidden* ones, if it *hides* some; call `produce` first,
        here and below.
        """
        seconds = max(0.0, now - left_at)
        answer = StreamedAnswer(
            tokens=hidden + shown,
            shown=shown,
            at=now,
            first_shown=shown,
            first_at=now,
            hidden_s=seconds if hides else 0.0,
            per_s=0.0,
            running=False,
        )
        self.answers += 1
        self._count(0.0, answer.tokens)
        self._run(answer, answer.tokens / seconds if seconds else 0.0)
        return answer

    def show(self, answer: StreamedAnswer, tokens: float, now: float) -> float:
        """It has shown *tokens* more since it was last heard of: by how much that is
        more than was estimated.
        """
        estimated, before = self._estimated(answer, now), answer.tokens
        if answer.running:
            self._halt(answer)
        answer.shown += tokens
        answer.at = now
        seconds = now - answer.first_at
        per_s = (answer.shown - answer.first_shown) / seconds if seconds > 0 else answer.per_s
        # A model thinks as fast as it writes.
        answer.tokens = (
            answer.shown + per_s * answer.hidden_s
            if answer.hidden_s and seconds > 0
            else before + tokens
        )
        self._count(before, answer.tokens)
        self._run(answer, per_s)
        return answer.tokens - estimated

    def end(self, answer: StreamedAnswer, now: float) -> float:
        """It is over: what it was taken to have produced."""
        estimated = self._estimated(answer, now)
        if answer.running:
            self._halt(answer)
        self.answers -= 1
        self._count(answer.tokens, 0.0)
        return estimated

    def learn(self, estimated: float, tokens: float) -> None:
        """An answer that was estimated at so much had *tokens*."""
        self._over += 1
        off = min(1.0, abs(estimated - tokens) / max(1.0, tokens))
        self._spread += (off**2 - self._spread) / (MEMORY / 2)

    def _count(self, before: float, after: float) -> None:
        self._shown = self._shown + after - before if self.answers else 0.0
        self._squares = self._squares + after**2 - before**2 if self.answers else 0.0

    def _estimated(self, answer: StreamedAnswer, now: float) -> float:
        return answer.tokens + answer.per_s * min(now - answer.at, SILENT_S)

    def _run(self, answer: StreamedAnswer, per_s: float) -> None:
        answer.per_s, answer.running = per_s, True
        self.per_s += per_s
        self._running[answer] = None

    def _halt(self, answer: StreamedAnswer) -> None:
        answer.running = False
        del self._running[answer]
        # Floats that do not quite cancel out must not go on for ever.
        self.per_s = self.per_s - answer.per_s if self._running else 0.0
