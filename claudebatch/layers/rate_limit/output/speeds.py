"""How long the last answers took, and how even the speed is at which they were
produced.

Where a model writes about as many tokens in any second of any answer, what is on its
way tells next to exactly what is being produced, seen or not. Where speeds differ as
lengths do, it tells little. Answers say which of it is true.
"""

from __future__ import annotations

from collections import deque
from math import sqrt

from claudebatch.layers.rate_limit.constants.limiter import SHORTEST_WAIT_S
from claudebatch.layers.rate_limit.constants.usage import MEMORY
from claudebatch.layers.rate_limit.output.constants import UNLIKE_ANSWERS


class OutputSpeeds:
    """Of the last `MEMORY` answers."""

    def __init__(self) -> None:
        # Mutable, changed by `add` only: of each answer what was expected, tokens and
        # seconds, and the sums of expected tokens, of these times seconds, of tokens,
        # of seconds, and of squared tokens over seconds.
        self._last: deque[tuple[float, float, float]] = deque()
        self._expected = self._expected_s = self._tokens = self._seconds = self._squares = 0.0

    @property
    def latency_s(self) -> float | None:
        """Seconds that an expected token's answer takes on average; None until one
        came.
        """
        return max(SHORTEST_WAIT_S, self._expected_s / self._expected) if self._last else None

    @property
    def spread(self) -> float:
        """Standard deviation of an answer's tokens a second, over their mean, each
        second counted once; 1 at most.
        """
        answers = len(self._last)
        if not self._tokens:
            return 1.0
        variance = max(0.0, self._squares * self._seconds / self._tokens**2 - 1)
        return min(1.0, sqrt((variance * answers + UNLIKE_ANSWERS) / (answers + UNLIKE_ANSWERS)))

    def add(self, expected: float, tokens: float, seconds: float) -> None:
        """An answer from which so many tokens were *expected* has come."""
        self._last.append((max(1.0, expected), tokens, max(SHORTEST_WAIT_S, seconds)))
        self._count(*self._last[-1], 1.0)
        if len(self._last) > MEMORY:
            self._count(*self._last.popleft(), -1.0)

    def _count(self, expected: float, tokens: float, seconds: float, times: float) -> None:
        self._expected += times * expected
        self._expected_s += times * expected * seconds
        self._tokens += times * tokens
        self._seconds += times * seconds
        self._squares += times * tokens**2 / seconds
