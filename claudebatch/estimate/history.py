"""Token ratios and answer lengths of the user's own earlier answers, by route."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from claudebatch.core.domain import BILLED_KINDS, Usage
from claudebatch.estimate.answer_lengths import AnswerLengths
from claudebatch.storage.ledger.past_answers import PastAnswer

ENOUGH = 10
"""Fewer answers predict worse than the built-in rules."""
# Answers of other inputs are only used to fill up to this number: a trial with the
# first rows of a file predicts the rest better than thousands of unrelated answers.
_NEAR_ENOUGH = 20
# Answers remembered per route. Lengths differ by a factor of ten within one file: so
# many give their mean to two per cent, two hundred to six.
_MEMORY = 4_000


@dataclass(frozen=True, slots=True)
class InputRatios:
    """Counted tokens per estimated token, by the rate at which they were billed."""

    shares: Mapping[str, float]
    """Of each kind of input, by its field of `Usage`."""
    low: float = 1.0
    """The tenth percentile of the total ratio."""
    answers: int = 0

    @property
    def total(self) -> float:
        """All tokens, however they were billed."""
        return sum(self.shares.values())

    def scaled(self, total: float) -> InputRatios:
        """The same mix, with *total* counted tokens per estimated token."""
        by = total / self.total if self.total else 0.0
        shares = {name: share * by for name, share in self.shares.items()}
        return InputRatios(shares, self.low * by, self.answers)


@dataclass(frozen=True, slots=True)
class RouteUsage:
    """The past usage of one model under one rule."""

    inputs: InputRatios
    lengths: AnswerLengths
    web_searches: float
    """Per answer."""
    geo: str | None
    """The region of most answers, in the API's spelling."""


class History:
    """Past usage, by model and rule; empty without answers."""

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

    def habits(self, model: str, rule: str) -> RouteUsage | None:
        """The past usage of *rule* at *model*; None below `ENOUGH` answers."""
        return self._routes.get((model, rule))

    def inputs(self, model: str) -> InputRatios | None:
        """The ratios of *model* over all rules; None below `ENOUGH` answers."""
        return self._models.get(model)


class _Remembered:
    """The remembered answers of one route."""

    __slots__ = ("_nearest", "answers")

    def __init__(self) -> None:
        # Mutable, changed by `add` only.
        self.answers: list[PastAnswer] = []
        self._nearest: int | None = None

    @property
    def enough(self) -> bool:
        """Whether there are enough answers to predict from."""
        return len(self.answers) >= ENOUGH

    def add(self, far: int, answer: PastAnswer) -> None:
        """Add the next answer, the nearest and newest first."""
        # The first answer is the nearest, because they come in that order.
        if self._nearest is None:
            self._nearest = far
        if len(self.answers) < (_MEMORY if far == self._nearest else _NEAR_ENOUGH):
            self.answers.append(answer)


def _habits(answers: Sequence[PastAnswer]) -> RouteUsage:
    places = Counter(answer.usage.inference_geo for answer in answers)
    return RouteUsage(
        _inputs(answers),
        AnswerLengths(answer.usage.output_tokens for answer in answers),
        sum(answer.usage.web_search_requests for answer in answers) / len(answers),
        # A mix of regions has no price of its own; the most frequent one is right for
        # most rows.
        places.most_common(1)[0][0],
    )


def _inputs(answers: Sequence[PastAnswer]) -> InputRatios:
    # A ratio of sums: dollars add up over rows, so a long row must weigh more than a
    # short one.
    estimated = sum(answer.input_estimate for answer in answers) or 1
    ratios = sorted(answer.usage.total_input / max(1, answer.input_estimate) for answer in answers)
    sums = sum((answer.usage for answer in answers), Usage())
    shares = {
        kind.name: getattr(sums, kind.name) / estimated
        for kind in BILLED_KINDS
        if kind.side == "input"
    }
    return InputRatios(shares, low=ratios[len(ratios) // 10], answers=len(answers))
