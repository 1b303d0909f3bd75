"""The entry of a run in the spend ledger: its identity when a session begins, its state
when one ends.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from claudebatch.core.domain import Pico
from claudebatch.core.errors import StorageError
from claudebatch.core.reports import RunSummary
from claudebatch.engine.open_run import OpenRun
from claudebatch.models.prices import ModelRates, PriceBook
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.storage.ledger import Dearest, RunEntry, note_end
from claudebatch.storage.ledger.settle import settle_replaced


def begin(run: OpenRun, ledger: Path) -> None:
    """Take the place of the run before, if this one starts over, and release that one's
    holds.
    """
    # Before its journal is replaced: afterwards nothing could tell the ledger which of
    # the old run's holds were never sent.
    settle_replaced(ledger, run.folder)
    run.begin()


def entry(run: OpenRun, options: RunOptions, run_setup: RunSetup, output: str) -> RunEntry:
    """The run that is open, as the ledger knows it."""
    return RunEntry(
        run=run.run_id,
        output=output,
        started=run.folder.meta("started"),
        folder=str(run.folder.path.absolute()),
        input=options.input_name,
        tag=run_setup.settings.tag,
        price_version=run_setup.prices.version,
        dearest=_dearest(run_setup.router.first_choices, run_setup.prices),
    )


def tell_end(ledger: Path, summary: RunSummary, ended: str) -> None:
    """Note the state of the run of *summary* at *ended*. The sums are in already, so an
    error here is ignored.
    """
    try:
        note_end(
            ledger,
            summary.run_id,
            ended=ended,
            rows=summary.rows,
            succeeded=summary.succeeded,
            failed=summary.failed,
            exit_code=summary.exit_code,
        )
    except (sqlite3.Error, StorageError):
        return


def _dearest(models: tuple[str, ...], prices: PriceBook) -> Dearest | None:
    """The dearest of *models*; None where there is no choice, or none with a price."""
    known = [(prices.rates(model), model) for model in models if prices.knows(model)]
    if len(models) < 2 or not known:
        return None
    rates, model = max(known, key=lambda pair: _dearness(*pair))
    return Dearest(model, {**rates.base.prices, "search": rates.search})


def _dearness(rates: ModelRates, _: str) -> tuple[Pico, Pico]:
    return rates.base.output, rates.base.input
