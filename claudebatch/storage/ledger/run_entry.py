"""The runs that the ledger knows: one line each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from claudebatch.core.domain import Pico
from claudebatch.storage.ledger.schema import open_ledger


@dataclass(frozen=True, slots=True)
class Dearest:
    """The model that a run might have asked for every row, and what it takes:
    pico-dollars a token, and a search.
    """

    model: str
    input: Pico
    cache_write_5m: Pico
    cache_write_1h: Pico
    cache_read: Pico
    output: Pico
    search: Pico


@dataclass(frozen=True, slots=True)
class RunEntry:
    """What the ledger is told of a run when a session of it begins."""

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


_DEAREST = ", ".join(
    f"dearest{name}"
    for name in ("", "_input", "_write_5m", "_write_1h", "_read", "_output", "_search")
)
ENTER = (
    # constants
    f"INSERT INTO runs (run, output, started, folder, input, tag, price_version, {_DEAREST})"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (run) DO UPDATE SET output = "
    "excluded.output,"
    " folder = excluded.folder, input = excluded.input, tag = excluded.tag, price_version = "
    "excluded.price_version,"
    f" ({_DEAREST}) = ({', '.join(f'excluded.{name}' for name in _DEAREST.split(', '))}),"
    " ended = NULL, exit_code = NULL"
)


def entered(entry: RunEntry) -> tuple[object, ...]:
    """The values of `ENTER`."""
    d = entry.dearest or Dearest("", 0, 0, 0, 0, 0, 0)
    head = (
        entry.run,
        entry.output,
        entry.started,
        entry.folder,
        entry.input,
        entry.tag,
        entry.price_version,
    )
    rates = (d.input, d.cache_write_5m, d.cache_write_1h, d.cache_read, d.output, d.search)
    return (*head, d.model, *rates)


def note_end(
    path: Path, run: str, *, ended: str, rows: int, succeeded: int, failed: int, exit_code: int
) -> None:
    """Note in the ledger at *path* how *run* stands at the end of a session; raises
    `sqlite3.Error`.
    """
    connection = open_ledger(path)
    try:
        connection.execute(
            "UPDATE runs SET ended = ?, rows = ?, succeeded = ?, failed = ?, exit_code = ? WHERE "
            "run = ?",
            (ended, rows, succeeded, failed, exit_code, run),
        )
    finally:
        connection.close()
