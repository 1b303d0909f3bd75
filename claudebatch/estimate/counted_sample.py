"""The error of the built-in rule for input tokens, from the API's count of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from claudebatch.estimate.forecast import SampleRatio


class CountedRow(NamedTuple):
    """One row of a sample."""

    model: str
    estimated: int
    """Input tokens by the built-in rule."""
    counted: int
    """Input tokens by the API's count."""


def counted(pairs: Sequence[tuple[int, int]], rows: int) -> SampleRatio | None:
    """The ratio from *pairs* of (estimated, counted) tokens, a random sample of *rows*
    rows; None for an empty sample.

    The ratio of sums, with the standard error of a ratio estimate, which is 0 where all
    rows were counted.
    """
    estimated = sum(pair[0] for pair in pairs)
    if not estimated:
        return None
    factor = sum(pair[1] for pair in pairs) / estimated
    return SampleRatio(factor, _error(pairs, rows, factor) if factor else 0.0, len(pairs))


def _error(pairs: Sequence[tuple[int, int]], rows: int, factor: float) -> float:
    """The standard error of *factor*, as a share of it."""
    sample = len(pairs)
    # All rows were counted: nothing was left to chance.
    if sample >= rows:
        return 0.0
    if sample < 2:
        return 1.0  # the spread of one row is unknown
    # The textbook error of a ratio estimate, with the correction for a finite file.
    squares = sum((count - factor * estimate) ** 2 for estimate, count in pairs)
    mean = sum(count for _, count in pairs) / sample
    return sqrt((1 - sample / rows) * squares / (sample - 1) / sample) / mean
