"""What the user's own earlier answers say of those to come: how much input counts for,
how long answers are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt

from claudebatch.storage.ledger.past_answers import PastAnswer

ENOUGH = 10
"""Fewer answers say less than the rules that are built in."""
_NEAR_ENOUGH = 20
"""Where there are answers of the same input or tag, those of other runs only fill them
up to so many: a trial with the first rows of a file says more of it than thousands of
answers to something else.
"""
_MEMORY = 4_000
"""So many answers of a route are remembered. Lengths of answers differ by a factor of
ten within one file: their mean is known to two per cent from so many, and to six from
two hundred.
"""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Tokens that were counted for each estimated one, and how they were billed."""

    fresh: float
    write_5m: float = 0.0
    write_1h: float = 0.0
    read: float = 0.0
    low: float = 1.0
    """One answer in ten counted less than this for each estimated token."""
    answers: int = 0

    @property
    def total(self) -> float:
        """All tokens, however they were billed."""
        return self.fresh + self.write_5m + self.write_1h + self.read

    def scaled(self, total: float) -> Inputs:
        """The same mix, of *total* tokens for each estimated one."""
        by = total / self.total if self.total else 0.0
        return Inputs(
            self.fresh * by,
            self.write_5m * by,
            self.write_1h * by,
            self.read * by,
            self.low * by,
            self.answers,
        )


class Lengths:
    """How long answers were. Pure."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._sorted = sorted(tokens)
        self._sums = [0, *accumulate(self._sorted)]

    def __len__(self) -> int:
        return len(self._sorted)

    def mean(self, bound: int) -> float:
        """The mean length of answers that are cut at *bound* tokens."""
        below = bisect_right(self._sorted, bound)
        return (self._sums[below] + bound * (len(self._sorted) - below)) / len(self._sorted)

    def error(self, rows: int) -> float:
        """The standard error, as a share, of what `mean` says of the sum of *rows* more
        answers.

        Chance in these rows and chance in those that were seen; that the rows are of
        another kind is not in it.
        """
        seen = len(self._sorted)
        mean = self._sums[-1] / seen
        if not (mean and rows) or seen < 2:
            return 0.0
        variance = sum((length - mean) ** 2 for length in self._sorted) / (seen - 1)
        return sqrt(variance * (1 / rows + 1 / seen)) / mean

    def quantile(self, share: float) -> int:
        """The length that *share* of the answers stay below."""
        return self._sorted[min(len(self._sorted) - 1, int(len(self._sorted) * share))]


@dataclass(frozen=True, slots=True)
class Habits:
    """What was learned of one model under one rule."""

    inputs: Inputs
    lengths: Lengths
    web_searches: float
    """Per answer."""
    geo: str | None
    """Where most of the answers were made, as the API says it."""


class History:
    """What was learned, by model and rule. Without answers it knows nothing."""

    def __init__(self, answers: Iterable[tuple[int, PastAnswer]] = ()) -> None:
        """*answers*: as `past_answers` gives them, the nearest and newest first."""
        routes: defaultdict[tuple[str, str], _Remembered] = defaultdict(_Remembered)
        models: defaultdict[str, _Remembered] = defaultdict(_Remembered)
        for far, answer in answers:
            routes[answer.model, answer.rule].add(far, answer)
            models[answer.model].add(far, answer)
        self._routes = {
            route: _habits(seen.answers) for route, seen in routes.items() if seen.enough
        }
        self._models = {
            model: _inputs(seen.answers) for model, seen in models.items() if seen.enough
        }

    def habits(self, model: str, rule: str) -> Habits | None:
        """What *rule*'s rows took at *model*; None where too few were seen."""
        return self._routes.get((model, rule))

    def inputs(self, model: str) -> Inputs | None:
        """How *model* counts, whatever the rule; None where too few answers were seen."""
        return self._models.get(model)


class _Remembered:
    """The answers of one route that count."""

    __slots__ = ("_nearest", "answers")

    def __init__(self) -> None:
        # Mutable, changed by `add` only.
        self.answers: list[PastAnswer] = []
        self._nearest: int | None = None

    @property
    def enough(self) -> bool:
        """Whether anything can be said."""
        return len(self.answers) >= ENOUGH

    def add(self, far: int, answer: PastAnswer) -> None:
        """Take in the next one, the nearest and newest first."""
        if self._nearest is None:
            self._nearest = far
        if len(self.answers) < (_MEMORY if far == self._nearest else _NEAR_ENOUGH):
            self.answers.append(answer)


def _habits(answers: Sequence[PastAnswer]) -> Habits:
    places = Counter(answer.geo for answer in answers)
    return Habits(
        _inputs(answers),
        Lengths(answer.output_tokens for answer in answers),
        sum(answer.web_searches for answer in answers) / len(answers),
        places.most_common(1)[0][0],
    )


def _inputs(answers: Sequence[PastAnswer]) -> Inputs:
    estimated = sum(answer.input_estimate for answer in answers) or 1
    ratios = sorted(_counted(answer) / max(1, answer.input_estimate) for answer in answers)
    return Inputs(
        sum(answer.input_tokens for answer in answers) / estimated,
        sum(answer.cache_write_5m_tokens for answer in answers) / estimated,
        sum(answer.cache_write_1h_tokens for answer in answers) / estimated,
        sum(answer.cache_read_tokens for answer in answers) / estimated,
        ratios[len(ratios) // 10],
        len(answers),
    )


def _counted(answer: PastAnswer) -> int:
    return (
        answer.input_tokens
        + answer.cache_write_5m_tokens
        + answer.cache_write_1h_tokens
        + answer.cache_read_tokens
    )
