"""Means and quantiles of answers' lengths."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from math import sqrt


class AnswerLengths:
    """The lengths of past answers, in tokens, sorted. Pure."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._sorted = sorted(tokens)
        # Running sums make `mean` a search: it is called for every row of a file.
        self._sums = [0, *accumulate(self._sorted)]

    def __len__(self) -> int:
        return len(self._sorted)

    def mean(self, bound: int) -> float:
        """The mean length of answers that are cut at *bound* tokens."""
        below = bisect_right(self._sorted, bound)
        return (self._sums[below] + bound * (len(self._sorted) - below)) / len(self._sorted)

    def error(self, rows: int) -> float:
        """The standard error of a forecast for *rows* more answers, as a share of it.

        It covers chance in these rows and in the past answers, not rows of another
        kind.
        """
        past = len(self._sorted)
        mean = self._sums[-1] / past
        if not (mean and rows) or past < 2:
            return 0.0
        # Chance in the rows to come and in those of the past: a hundred past answers
        # leave an error however many rows follow.
        variance = sum((length - mean) ** 2 for length in self._sorted) / (past - 1)
        return sqrt(variance * (1 / rows + 1 / past)) / mean

    def quantile(self, share: float) -> int:
        """The length below which *share* of the answers stay."""
        return self._sorted[min(len(self._sorted) - 1, int(len(self._sorted) * share))]
