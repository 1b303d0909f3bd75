"""What a request will take, learned from what others took: input by model, output by route."""

from __future__ import annotations

from collections import deque

from claudebatch.domain import Call, Usage
from claudebatch.pace.pace import Need

_FIRST_FACTOR = 1.25
"""Until answers say better, estimates lean this far to the high side: they may be a third too low."""
_PRIOR_WEIGHT = 3
"""The first guess counts like so many answers."""
_MEMORY = 200
"""So many answers are remembered, in a run whose rows may change their kind on the way."""


class Learned:
    """Expects of each call what calls like it took."""

    def __init__(self) -> None:
        # Mutable, changed by `learn` only.
        self._inputs: dict[str, _Ratio] = {}
        self._outputs: dict[tuple[str, str], _Lengths] = {}

    def expect(self, call: Call) -> Need:
        """What *call* will count against the limits of its pool."""
        ratio = self._inputs.get(call.model)
        factor = ratio.factor if ratio else _FIRST_FACTOR
        lengths = self._outputs.get((call.model, call.route.rule))
        guess = call.size.output_tokens * _FIRST_FACTOR
        usual = lengths.mean(guess) if lengths else guess
        return Need(call.size.input_tokens * factor, min(usual, call.size.output_bound))

    def learn(self, call: Call, usage: Usage) -> None:
        """*call* took this."""
        ratio = self._inputs.get(call.model)
        if ratio is None:
            ratio = self._inputs[call.model] = _Ratio()
        ratio.add(call.size.input_tokens, usage.limited_input)
        key = (call.model, call.route.rule)
        lengths = self._outputs.get(key)
        if lengths is None:
            lengths = self._outputs[key] = _Lengths()
        lengths.add(usage.output_tokens)


class _Ratio:
    """Counted tokens per estimated one, over the last answers."""

    __slots__ = ("_counted", "_estimated", "_pairs", "factor")

    def __init__(self) -> None:
        # Mutable, changed by `add` only.
        self._pairs: deque[tuple[int, int]] = deque()
        self._estimated = self._counted = 0
        self.factor = _FIRST_FACTOR

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
        known = self._estimated + weight
        self.factor = (self._counted + _FIRST_FACTOR * weight) / known if known else _FIRST_FACTOR


class _Lengths:
    """The output lengths of the last answers."""

    __slots__ = ("_recent", "_sum")

    def __init__(self) -> None:
        # Mutable, changed by `add` only.
        self._recent: deque[int] = deque()
        self._sum = 0

    def mean(self, guess: float) -> float:
        """Their mean, and while they are few, of *guess* as well."""
        answers = len(self._recent)
        weight = _weight(answers)
        return (self._sum + guess * weight) / (answers + weight)

    def add(self, length: int) -> None:
        self._recent.append(length)
        self._sum += length
        if len(self._recent) > _MEMORY:
            self._sum -= self._recent.popleft()


def _weight(answers: int) -> float:
    """So many answers the first guess is worth; less and less with each that came."""
    return max(0.0, _PRIOR_WEIGHT - answers / _PRIOR_WEIGHT)
