"""What a request will take, learned from what others took: input by model, output by
route.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from claudebatch.core.domain import Call, Usage
from claudebatch.layers.rate_limit.limiter import ExpectedUsage

_FIRST_FACTOR = 1.25
"""Until answers say better, estimates lean this far to the high side: they may be a
third too low.
"""
_REMEMBERED_FACTOR = 1.02
"""What earlier runs counted needs less: their sum was a mean of many, and this one
differs by chance.
"""
_DOUBT = 1.5
"""But these rows may be of another kind: so many times as much may be counted for them.
"""
_PRIOR_WEIGHT = 3
"""The first guess counts like so many answers."""
_FIRST_TOKENS_PER_BYTE = 0.4
"""Of an answer's text: English has 0.32, German and JSON 0.43."""
_MEMORY = 200
"""So many answers are remembered, in a run whose rows may change their kind on the way.
"""


class PastUsage(Protocol):
    """What earlier runs tell; None where they tell nothing."""

    def input_factor(self, model: str) -> float | None:
        """Tokens that *model* counted for each estimated one."""
        ...

    def mean_output(self, model: str, rule: str, bound: int) -> float | None:
        """The mean length of answers to *rule*'s rows that are cut at *bound* tokens."""
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
        usual = lengths.mean(size.output_tokens * _FIRST_FACTOR)
        most = size.input_tokens * ratio.most if ratio.most else 0.0
        density = self._densities.get((call.model, call.route.rule))
        per_byte = density.factor if density is not None else _FIRST_TOKENS_PER_BYTE
        return ExpectedUsage(
            size.input_tokens * ratio.factor,
            min(usual, size.output_bound),
            most,
            per_byte,
            proven=ratio.proven,
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
                (call.model, call.route.rule), _Ratio(_FIRST_TOKENS_PER_BYTE, 0.0)
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
            _Ratio(known * _REMEMBERED_FACTOR, known * _DOUBT)
            if known
            else _Ratio(_FIRST_FACTOR, 0.0)
        )
        self._inputs[model] = made
        return made

    def _lengths(self, call: Call) -> _Lengths:
        model, rule = call.model, call.route.rule
        known = (
            self._before.mean_output(model, rule, call.size.output_bound) if self._before else None
        )
        made = self._outputs[model, rule] = _Lengths(known * _FIRST_FACTOR if known else None)
        return made


class _Ratio:
    """Counted tokens per estimated one, over the last answers; *first* and *most* are
    guesses for the first ones.
    """

    __slots__ = (
        "_counted",
        "_estimated",
        "_first",
        "_first_most",
        "_pairs",
        "factor",
        "most",
        "proven",
    )

    def __init__(self, first: float, most: float) -> None:
        """*most*: it may be so much; 0 where *first* leans to the high side itself."""
        self._first, self._first_most = first, most
        # Mutable, changed by `add` only.
        self._pairs: deque[tuple[int, int]] = deque()
        self._estimated = self._counted = 0
        self.proven = False
        self.factor = first
        self.most = most

    def add(self, estimated: int, counted: int) -> None:
        self._pairs.append((estimated, counted))
        self._estimated += estimated
        self._counted += counted
        if len(self._pairs) > _MEMORY:
            estimated, counted = self._pairs.popleft()
            self._estimated -= estimated
            self._counted -= counted
        answers = len(self._pairs)
        weight = _weight(answers) * self._estimated / answers
        self.proven = weight == 0
        known = self._estimated + weight
        self.factor = (self._counted + self._first * weight) / known if known else self._first
        self.most = (
            (self._counted + self._first_most * weight) / known
            if weight and self._first_most
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
        if len(self._recent) > _MEMORY:
            self._sum -= self._recent.popleft()


def _weight(answers: int) -> float:
    """So many answers the first guess is worth; less and less with each that came."""
    return max(0.0, _PRIOR_WEIGHT - answers / _PRIOR_WEIGHT)
