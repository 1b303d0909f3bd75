"""The runs that the ledger knows: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from claudebatch.core.domain import BILLED_KINDS, Pico
from claudebatch.storage.columns import names
from claudebatch.storage.ledger.schema import open_ledger
from claudebatch.storage.ledger.tables import RATES


@dataclass(frozen=True, slots=True)
class Dearest:
    """The most expensive model that a run might have asked for every row."""

    model: str
    prices: Mapping[str, Pico]
    """Pico-dollars per token, and per search, by `BilledKind.price`."""


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run as the ledger notes it when a session begins."""

    run: str
    output: str
    """The results file, as the user named it."""
    started: str
    """When its first session began, in ISO 8601."""
    folder: str = ""
    """The run's own folder, absolute: where its journal lies."""
    input: str = ""
    tag: str = ""
    price_version: str = ""
    dearest: Dearest | None = None


_COLUMNS = (
    *("run", "output", "started", "folder", "input", "tag", "price_version", "dearest"),
    *names(RATES),
)
# The beginning stays that of the first session; the end goes, or `runs list` would call
# a run finished that goes on.
_RENEWED = [name for name in _COLUMNS if name not in ("run", "started")]
ENTER = (
    f"INSERT INTO runs ({', '.join(_COLUMNS)})"
    f" VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
    " ON CONFLICT (run) DO UPDATE SET"
    f" {', '.join(f'{name} = excluded.{name}' for name in _RENEWED)},"
    " ended = NULL, exit_code = NULL"
)


def entered(entry: RunEntry) -> dict[str, str | int]:
    """The parameters of `ENTER`."""
    dearest = entry.dearest or Dearest("", {})
    return {
        "run": entry.run,
        "output": entry.output,
        "started": entry.started,
        "folder": entry.folder,
        "input": entry.input,
        "tag": entry.tag,
        "price_version": entry.price_version,
        "dearest": dearest.model,
        **{kind.rate_column: dearest.prices.get(kind.price, 0) for kind in BILLED_KINDS},
    }


def note_end(
    path: Path, run: str, *, ended: str, rows: int, succeeded: int, failed: int, exit_code: int
) -> None:
    """Note in the ledger at *path* how *run* stands at the end of a session; raises
    `sqlite3.Error`.
    """
    connection = open_ledger(path)
    try:
        connection.execute(
            "UPDATE runs SET ended = ?, rows = ?, succeeded = ?, failed = ?, exit_code = ?"
            " WHERE run = ?",
            (ended, rows, succeeded, failed, exit_code, run),
        )
    finally:
        connection.close()
