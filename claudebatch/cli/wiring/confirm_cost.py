"""The questions before a run: it is expensive and has no cap, or paid answers would
leave its results file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import typer

from claudebatch.core.domain import Call, Pico, to_usd
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.plurals import counted
from claudebatch.ui.format import money


class CostMeter:
    """Adds up the expected cost of the rows of an input."""

    def __init__(self, expect: Callable[[Call], Pico]) -> None:
        self._expect = expect
        # Mutable: changed by `add` only.
        self.expected: Pico = 0

    def add(self, call: Call) -> None:
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
            "E023",
            f"{what}, above confirm_above ({money(above)}), and there is no terminal to ask on",
            fix=f"add --yes, or a cap: --budget {to_usd(expected).quantize(Decimal(1)) + 1}",
        )
    question = f"This run may cost about {money(expected)}, and no cap is set. Start it?"
    if not typer.confirm(question, err=True):
        raise ClaudebatchError(
            "E024", "not started", fix="look at it first with --dry-run, or set a cap with --budget"
        )


def confirm_removal(rows: int, output: Path) -> None:
    """Ask whether the results of *rows* answered rows may be left out of *output*,
    because their lines are no longer in the input; raises `ClaudebatchError` where the
    answer is no, or nobody can answer.
    """
    what = f"{counted(rows, 'answered row')} would be removed from {output}: no longer in the input"
    fix = "--yes removes them, -o FILE writes to another file; nothing was sent"
    if not sys.stdin.isatty():
        raise ClaudebatchError("E025", what, fix=fix)
    rows_are = counted(rows, "answered row is", "answered rows are")
    question = f"{rows_are} no longer in the input. Take their results out of {output}?"
    if not typer.confirm(question, err=True):
        raise ClaudebatchError("E026", "not started", fix=fix)
