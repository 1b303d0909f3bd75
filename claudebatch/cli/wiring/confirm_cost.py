"""The questions before a run: it is expensive and has no cap, or paid answers would
leave its results file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import typer

from claudebatch.core.domain import Call, Pico, Via, to_usd
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.plurals import counted
from claudebatch.core.send_via import BatchSettings, fits_a_batch
from claudebatch.estimate.forecast import Forecast
from claudebatch.ui.format import money

_LIVE, _BATCH = "expected", "expected_by_batch"


class CostMeter:
    """Adds up the expected cost of the rows of an input, each by the road that it goes:
    by batch it is half.
    """

    def __init__(self, known: Forecast, settings: BatchSettings) -> None:
        self._known = known
        self._settings = settings
        # Mutable: changed by `add` only.
        self._expected: dict[Via, Pico] = {"live": 0, "batch": 0}

    def add(self, call: Call) -> None:
        """Take in one more row."""
        live = self._known.cost_of(call)
        batch = self._known.batch_cost_of(call) if fits_a_batch(call.prompt) else live
        # Both, because the input is looked at once, and another session may ask for the
        # other road.
        for via in self._expected:
            road = self._settings.road(call.route.rule, via=via)
            self._expected[via] += batch if road == "batch" else live

    def notes(self) -> dict[str, Pico]:
        """What a run's folder keeps of it."""
        return {_LIVE: self._expected["live"], _BATCH: self._expected["batch"]}


def noted_cost(note: Callable[[str], Pico | None], settings: BatchSettings) -> Pico:
    """The expected cost by what *note* gives, which `CostMeter` left, for a session
    with *settings*.
    """
    # Rules that send some rows by batch are in both sums.
    live = note(_LIVE) or 0
    if settings.via == "live":
        return live
    # A folder of before there were batches knows the higher sum only.
    batch = note(_BATCH)
    return live if batch is None else batch


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
