"""The question before an expensive run that has no cap."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal

import typer

from claudebatch.core.domain import Call, Pico, to_usd
from claudebatch.core.errors import ClaudebatchError
from claudebatch.ui.format import money


class CostMeter:
    """Adds up the expected cost of the rows of an input."""

    def __init__(self, expect: Callable[[Call], Pico]) -> None:
        self._expect = expect
        # Mutable: changed by `add` only.
        self.expected: Pico = 0

    def add(self, _: object, call: Call) -> None:
        """Take in one more row."""
        self.expected += self._expect(call)


def confirm_cost(expected: Pico, above: Pico) -> None:
    """Ask whether a run that costs more than *above* may start; raises
    `ClaudebatchError` where the answer is no, or nobody can answer.
    """
    if expected <= above:
        return
    what = f"this run is expected to cost about {money(expected)}"
    # A question in a cron job would wait for ever.
    if not sys.stdin.isatty():
        raise ClaudebatchError(
            f"{what}, more than the {money(above)} that goes without a question, and nobody is "
            f"here to be asked",
            fix=f"add --yes, or a cap: --budget {to_usd(expected).quantize(Decimal(1)) + 1}",
        )
    if not typer.confirm(f"{what}. Go on?", err=True):
        raise ClaudebatchError(
            "not started", fix="look at it first with --dry-run, or set a cap with --budget"
        )
