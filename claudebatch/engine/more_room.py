"""Whether a smaller `--max-tokens` would let more rows fit under a cap.

A row is only sent where its worst case fits, and most of that is `max_tokens`: answers
that are far shorter leave money that no row may use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import log
from typing import NamedTuple

from claudebatch.core.domain import Call, Pico
from claudebatch.core.events import AttemptFinished, Event
from claudebatch.models.prices import UnknownPrice

# Lengths of answers and prices of rows are kept in steps of so much: a file of a
# million rows must not be held in memory for a hint.
_STEP = 1.05
# The hint must cut no answers off: all but one in fifty were no longer, and there
# is room for half as much again.
_SHARE = 0.98
_ROOM = 1.5
# Fewer answers do not tell how long the others will be.
_ENOUGH = 5
# What people would type.
_ROUND = tuple(lead * 10**zeros for zeros in range(4, 0, -1) for lead in (8, 6, 5, 4, 3, 2, 1))


class RowPrice(NamedTuple):
    """What a row may cost, as far as `max_tokens` decides it. In pico-dollars."""

    input: Pico
    """At most, for everything but the output."""
    token: Pico
    """For each token of `max_tokens`."""
    expected: Pico
    """For the answer that is expected."""


class Room(NamedTuple):
    """A hint: with *max_tokens* about so many of the *rows* that are left fit."""

    max_tokens: int
    rows: int


def smaller_max_tokens(
    rows: Mapping[RowPrice, int], *, left: Pico, longest: int, present: int
) -> Room | None:
    """The largest round `max_tokens` below *present* with which most of *rows* (how
    many of each price) fit under what is *left* of the cap; None where none helps.

    Rows follow one another: each needs its worst case, and leaves what it is expected
    to cost less. *longest* is the length that answers may have: never less is proposed.
    """
    found: Room | None = None
    for tokens in _ROUND:
        if longest <= tokens < present:
            fit = _fitting(rows, left, tokens)
            if fit > (found.rows if found else 0):
                found = Room(tokens, fit)
    return found


def _fitting(rows: Mapping[RowPrice, int], left: Pico, tokens: int) -> int:
    fit = 0
    for price, count in sorted(
        rows.items(), key=lambda item: item[0].input + item[0].token * tokens
    ):
        worst = price.input + price.token * tokens
        expected = max(1, min(price.expected, worst))
        # The last one needs all of its worst case.
        here = min(count, (left - worst) // expected + 1 if left >= worst else 0)
        fit += here
        left -= here * expected
        if here < count:
            break
    return fit


class MoreRoom:
    """Collects the rows that did not fit under the run's cap, and how long answers
    were.
    """

    def __init__(
        self,
        worst: Callable[[Call], Pico],
        expect: Callable[[Call], Pico],
        *,
        max_tokens: int,
    ) -> None:
        """*worst* and *expect* price a call; *max_tokens* is that of rows that do not
        say.
        """
        self._worst = worst
        self._expect = expect
        self._max_tokens = max_tokens
        # Mutable: rows by their price, and answers by their length, both in steps.
        self._rows: Counter[RowPrice] = Counter()
        self._lengths: Counter[int] = Counter()

    def __call__(self, event: Event) -> None:
        """Note how long the answer is, if *event* is one."""
        if not isinstance(event, AttemptFinished) or event.usage is None:
            return
        # Of a request that has no output, the length says nothing.
        if event.call is None or not event.call.prewarms:
            self._lengths[_step(event.usage.output_tokens)] += 1

    def refused(self, call: Call) -> None:
        """Note that *call* does not fit."""
        # Another `max_tokens` changes nothing for rows that bring their own.
        if call.prompt.params.get("max_tokens") != self._max_tokens:
            return
        # Only to price it; thinking that is paid out of `max_tokens` needs it.
        if "budget_tokens" in str(call.prompt.params.get("thinking")):
            return
        bound = call.size.output_bound
        try:
            worst = self._worst(call)
            without = self._worst(replace(call, size=replace(call.size, output_bound=0)))
        except UnknownPrice:
            return
        token = -(-(worst - without) // bound) if bound else 0
        self._rows[RowPrice(_upper(without), token, _upper(self._expect(call)))] += 1

    def hint(self, left: Pico) -> Room | None:
        """What would help with so much *left*; None where nothing would, or nobody
        knows how long answers are.
        """
        answers = self._lengths.total()
        if answers < _ENOUGH:
            return None
        seen = 0
        for length in sorted(self._lengths):
            seen += self._lengths[length]
            if seen >= answers * _SHARE:
                break
        longest = round(_STEP ** (length + 1) * _ROOM)
        return smaller_max_tokens(self._rows, left=left, longest=longest, present=self._max_tokens)


def _step(amount: int) -> int:
    return int(log(max(1, amount), _STEP))


def _upper(amount: Pico) -> Pico:
    """*amount*, rounded up to a step."""
    return round(_STEP ** (_step(amount) + 1))
