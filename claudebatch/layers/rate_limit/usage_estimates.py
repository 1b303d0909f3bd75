"""What a request will take, learned from what others took: input by model, output by
route.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from claudebatch.core.domain import Call, Usage
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.constants.bucket import BLIND_SLACK
from claudebatch.layers.rate_limit.constants.usage import (
    FIRST_FACTOR,
    FIRST_GUESS_WEIGHT,
    MEMORY,
    OTHER_ROWS_FACTOR,
    TOKENS_PER_BYTE,
)


class PastUsage(Protocol):
    """What earlier runs tell; None where they tell nothing."""

    def input_factor(self, model: str) -> float | None:
        """Tokens that *model* counted for each estimated one."""
        ...

    def mean_output(self, model: str, rule: str, bound: int) -> float | None:
        """The mean length of answers to *rule*'s rows that are cut at *bound*
        tokens.
        """
        ...


class UsageEstimates:
    """Expects of each call what calls like it took: in this run, and while those are
    few, in earlier ones.
    """

    def __init__(self, before: PastUsage | None = None) -> None:
        self._before = before
        # Mutable, changed by the methods below only.
        self._inputs: dict[str, _Ratio] = {}
        self._outputs: dict[tuple[str, str], _Lengths] = {}
        self._densities: dict[tuple[str, str], _Ratio] = {}

    def expect(self, call: Call) -> ExpectedUsage:
        """What *call* will count against the limits of its pool."""
        size = call.size
        ratio = self._inputs.get(call.model) or self._ratio(call.model)
        lengths = self._outputs.get((call.model, call.route.rule)) or self._lengths(call)
        usual = lengths.mean(size.output_tokens * FIRST_FACTOR)
        worst_case = size.input_tokens * ratio.worst_case if ratio.worst_case else 0.0
        density = self._densities.get((call.model, call.route.rule))
        per_byte = density.factor if density is not None else TOKENS_PER_BYTE
        return ExpectedUsage(
            size.input_tokens * ratio.factor,
            min(usual, size.output_bound),
            worst_case,
            per_byte,
            proven=ratio.proven,
            streamed=call.watch is not None,
        )

    def read(self, call: Call, input_tokens: int) -> None:
        """*call*'s prompt counted as so many tokens; its answer is still to come, and
        is told as *read*.
        """
        (self._inputs.get(call.model) or self._ratio(call.model)).add(
            call.size.input_tokens, input_tokens
        )

    def learn(self, call: Call, usage: Usage, *, shown: int = 0, read: bool = False) -> None:
        """*call* took this; *shown*: for an answer that has so many bytes besides
        thoughts.
        """
        if shown:
            density = self._densities.setdefault(
                (call.model, call.route.rule), _Ratio(TOKENS_PER_BYTE, 0.0)
            )
            density.add(shown, max(0, usage.output_tokens - usage.thinking_tokens))
        if not read:
            self.read(call, usage.limited_input)
        (self._outputs.get((call.model, call.route.rule)) or self._lengths(call)).add(
            usage.output_tokens
        )

    def _ratio(self, model: str) -> _Ratio:
        known = self._before.input_factor(model) if self._before else None
        made = (
            _Ratio(known * (1 + BLIND_SLACK), known * OTHER_ROWS_FACTOR)
            if known
            else _Ratio(FIRST_FACTOR, 0.0)
        )
        self._inputs[model] = made
        return made

    def _lengths(self, call: Call) -> _Lengths:
        model, rule = call.model, call.route.rule
        known = (
            self._before.mean_output(model, rule, call.size.output_bound) if self._before else None
        )
        made = self._outputs[model, rule] = _Lengths(known * FIRST_FACTOR if known else None)
        return made


class _Ratio:
    """Counted tokens per estimated one, over the last answers; *first* and *worst_case*
    are guesses for the first ones.
    """

    __slots__ = (
        "_counted",
        "_estimated",
        "_first",
        "_first_worst_case",
        "_pairs",
        "factor",
        "proven",
        "worst_case",
    )

    def __init__(self, first: float, worst_case: float) -> None:
        """*worst_case*: it may be so much; 0 where *first* leans to the high side
        itself.
        """
        self._first, self._first_worst_case = first, worst_case
        # Mutable, changed by `add` only.
        self._pairs: deque[tuple[int, int]] = deque()
        self._estimated = self._counted = 0
        self.proven = False
        self.factor = first
        self.worst_case = worst_case

    def add(self, estimated: int, counted: int) -> None:
        self._pairs.append((estimated, counted))
        self._estimated += estimated
        self._counted += counted
        if len(self._pairs) > MEMORY:
            estimated, counted = self._pairs.popleft()
            self._estimated -= estimated
            self._counted -= counted
        answers = len(self._pairs)
        weight = _weight(answers) * self._estimated / answers
        self.proven = weight == 0
        known = self._estimated + weight
        self.factor = (self._counted + self._first * weight) / known if known else self._first
        self.worst_case = (
            (self._counted + self._first_worst_case * weight) / known
            if weight and self._first_worst_case
            else 0.0
        )


class _Lengths:
    """The output lengths of the last answers; *first* is a guess for the first ones."""

    __slots__ = ("_first", "_recent", "_sum")

    def __init__(self, first: float | None) -> None:
        self._first = first
        # Mutable, changed by `add` only.
        self._recent: deque[int] = deque()
        self._sum = 0

    def mean(self, guess: float) -> float:
        """Their mean, and while they are few, of the first guess as well: without one,
        of *guess*.
        """
        answers = len(self._recent)
        weight = _weight(answers)
        if self._first is not None:
            guess = self._first
        return (self._sum + guess * weight) / (answers + weight)

    def add(self, length: int) -> None:
        self._recent.append(length)
        self._sum += length
        if len(self._recent) > MEMORY:
            self._sum -= self._recent.popleft()


def _weight(answers: int) -> float:
    """So many answers the first guess is worth; less and less with each that came."""
    return max(0.0, FIRST_GUESS_WEIGHT - answers / FIRST_GUESS_WEIGHT)
