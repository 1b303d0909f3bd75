"""Rows of a whole run, held against the sample before it: they cost what it said, or
the total is told anew.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import log10
from typing import Any

from claudebatch.core.domain import Call, Pico, usd_text
from claudebatch.core.errors import StorageError
from claudebatch.core.events import AttemptFinished, CostDrift, Emit, Event
from claudebatch.core.notice import Notice
from claudebatch.engine.open_run import OpenRun
from claudebatch.engine.ratio_estimate import RatioEstimate
from claudebatch.setup.run_options import RunOptions
from claudebatch.storage.journal.newest_results import snapshot
from claudebatch.storage.journal.replacement import JOURNAL
from claudebatch.storage.run_folder import beside
from claudebatch.storage.run_meta import read_note

# Of fewer rows a mean says nothing.
_FEWEST = 10
_DIGITS = 3


class DriftWatch:
    """Listens to a run's events; says once that its rows cost otherwise than those of
    the sample.

    It looks when twice as many rows are answered as at its last look, and at the end: a
    look at each row would find a drift by chance in the end.
    """

    def __init__(self, sample: dict[str, Any], weigh: Callable[[Call], Pico], emit: Emit) -> None:
        self._sample = sample
        self._weigh = weigh
        self._emit = emit
        self._estimate = RatioEstimate(
            sample["rows"], sample["weight"], sample["ratio"], sample["spread"]
        )
        # Mutable: changed by `__call__` only.
        self._rows = self._weight = 0
        self._cost: Pico = 0
        self._look = max(sample["rows"], _FEWEST)
        self._told = False

    def __call__(self, event: Event) -> None:
        """Take in one attempt, if *event* is one."""
        if not isinstance(event, AttemptFinished) or event.unknown or event.via == "batch":
            return
        self._cost += event.cost
        # A failed attempt costs, and is no row.
        if event.reply is None or event.call is None:
            return
        self._rows += 1
        self._weight += self._weigh(event.call)
        if self._rows >= self._look:
            self._look *= 2
            self.look()

    def look(self) -> None:
        """Say so if the rows so far do not fit the sample."""
        if self._told or self._rows < _FEWEST or not self._weight:
            return
        if self._estimate.holds(self._rows, self._weight, self._cost):
            return
        self._told = True
        sample = self._sample
        rows = sample["rest_rows"]
        expected, *interval = self._estimate.of_rest(rows, sample["rest_weight"])
        ratio = self._cost / self._weight
        drift = CostDrift(
            rows=self._rows,
            mean=round(ratio * sample["rest_weight"] / rows),
            low=round(interval[0] / rows),
            high=round(interval[1] / rows),
            total=round(sample["cost"] + ratio * sample["rest_weight"]),
            expected_total=sample["cost"] + expected,
        )
        self._emit(drift)
        self._emit(Notice("W071", _words(drift)))


def drift_watch(
    options: RunOptions,
    run: OpenRun,
    weigh: Callable[[Call], Pico],
    emit: Emit,
    *,
    by_batch: bool,
) -> DriftWatch | None:
    """The watch of a run over an input that was sampled before; None where it was not,
    or was asked something else. *by_batch*: rows may go by batch.
    """
    # What a batch costs is half, which is no news, and is known only when all of it is
    # spent.
    if options.selection.sample or by_batch:
        return None
    sample = run.folder.meta("sample") or _of_default_run(options)
    if sample and sample.get("by_batch"):
        return None
    # Rows of a smaller choice need not cost what those of the sample do.
    same = sample and (sample["job"], sample["of"]) == (run.job, options.selection.drawn_from)
    return DriftWatch(sample, weigh, emit) if same and sample["rest_rows"] > 0 else None


def _of_default_run(options: RunOptions) -> Any:
    """The sample of the run that has its results beside the input: `--sample 20`, and
    then the whole with `-o labelled.csv`.
    """
    output = replace(options, output=None).output_path
    if options.output is None or output is None:
        return None
    journal = beside(output) / JOURNAL
    # A file of another user, or one of another version: then there is nothing to say.
    with suppress(StorageError):
        if journal.is_file():
            with snapshot(journal) as connection:
                return read_note(connection, journal.parent, "sample")
    return None


def _words(drift: CostDrift) -> str:
    mean, low, high, total, expected = map(
        _rounded, (drift.mean, drift.low, drift.high, drift.total, drift.expected_total)
    )
    return (
        f"rows cost {mean} on average, and the sample said {low} to {high}: all rows would "
        f"take about {total}, not {expected}"
    )


def _rounded(amount: Pico) -> str:
    digits = _DIGITS - 1 - int(log10(amount)) if amount > 0 else 0
    return f"${usd_text(round(amount, digits))}"
