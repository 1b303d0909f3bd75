"""The message batches of all runs of this machine."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from claudebatch.core.errors import StorageError
from claudebatch.core.reports.batch_report import BatchLine, KnownState
from claudebatch.storage.journal.batch_places import BatchPlace, batch_places
from claudebatch.storage.journal.batches import (
    BatchRow,
    BatchState,
    asked_as_well,
    open_batches,
)
from claudebatch.storage.journal.replacement import JOURNAL
from claudebatch.storage.ledger.schema import (
    glance_at_ledger,
    open_ledger,
    read_ledger,
    unreadable,
)

_REMEMBER = (
    "INSERT OR REPLACE INTO batches (id, run, batch, requests, created_ms, expires_ms, ended_ms,"
    " collected, address) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# What is in the column `collected`.
_ENDS: dict[int, int] = {BatchState.COLLECTED: 1, BatchState.LOST: 2}
_STATES: tuple[KnownState, ...] = ("open", "collected", "lost")
# The API's ids have no blank in them.
NOT_KNOWN = "not known: "
"""In the place of the id of a batch that nobody knows to be made."""
_LINES = (
    "SELECT b.id, b.run, b.batch, b.requests, b.created_ms, b.expires_ms, b.ended_ms, b.collected,"
    " coalesce(r.output, ''), coalesce(r.folder, '') FROM batches b"
    " LEFT JOIN runs r ON r.run = b.run"
    " ORDER BY b.created_ms IS NOT NULL, b.created_ms DESC, b.rowid DESC"
)
_KNOWN = "SELECT id FROM batches WHERE run <> ?"
# What has expired is out of the queue, whether or not anybody has collected it.
_QUEUED = (
    "SELECT id, requests FROM batches WHERE run <> ? AND collected = 0 AND ended_ms IS NULL"
    " AND expires_ms > ? AND address = ?"
)
_WAITING = (
    "SELECT DISTINCT r.run, r.folder FROM batches b JOIN runs r ON r.run = b.run"
    " WHERE b.run <> ? AND b.collected = 0 AND r.folder <> ''"
)
_FORGET = "DELETE FROM batches WHERE id IN (?, ?)"
_DURATIONS = (
    "SELECT requests, ended_ms - created_ms FROM batches WHERE ended_ms > created_ms"
    " AND address = ? ORDER BY ended_ms DESC LIMIT ?"
)


def remember_batch(ledger: Path, run: str, row: BatchRow, address: str = "") -> None:
    """Note *row*, a batch of *run* at *address*, in *ledger*: also one of which it is
    not known yet whether it was made. It is in the run's journal already, so an error
    here is ignored.
    """
    placeholder = f"{NOT_KNOWN}{run} {row.batch}"
    facts = (row.requests, row.created_ms, row.expires_ms, row.ended_ms)
    try:
        with closing(open_ledger(ledger)) as connection:
            # Together: a list must not show one batch twice, nor none.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_FORGET, (placeholder, row.id))
            if row.state != BatchState.NOT_MADE:
                name, end = row.id or placeholder, _ENDS.get(row.state, 0)
                connection.execute(_REMEMBER, (name, run, row.batch, *facts, end, address))
            connection.execute("COMMIT")
    except (sqlite3.Error, StorageError):
        return


def note_perhaps_made(ledger: sqlite3.Connection, run: str, journal: sqlite3.Connection) -> None:
    """Let *ledger* have those batches of *run* whose making was not answered, as its
    *journal* has them: of one that was half built a crash may have left a note.
    """
    ledger.execute("DELETE FROM batches WHERE run = ? AND id LIKE ? || '%'", (run, NOT_KNOWN))
    places = batch_places(journal)
    for batch in open_batches(journal):
        if batch.id is None:
            name = f"{NOT_KNOWN}{run} {batch.batch}"
            facts = (batch.requests, None, None, None)
            address = places.get(batch.batch, BatchPlace("")).address
            ledger.execute(_REMEMBER, (name, run, batch.batch, *facts, 0, address))


def known_batches(ledger: Path, *, but: str) -> set[str]:
    """Ids of the batches of all runs *but* one; empty where no ledger can be read."""
    try:
        with closing(open_ledger(ledger)) as connection:
            return {known for (known,) in connection.execute(_KNOWN, (but,))}
    except (sqlite3.Error, StorageError):
        return set()


def queued_batches(ledger: Path, *, but: str, now_ms: int, address: str = "") -> dict[str, int]:
    """Requests of batches of all runs *but* one that may be waiting at the API of
    *address*, by id; empty where no ledger can be read.
    """
    try:
        # Asked often, and a guess is good enough: no other run is waited for.
        connection = glance_at_ledger(ledger)
        if connection is None:
            return {}
        with closing(connection):
            return dict(connection.execute(_QUEUED, (but, now_ms, address)).fetchall())
    except (sqlite3.Error, StorageError):
        return {}


def asked_elsewhere(
    journal: sqlite3.Connection, ledger: Path, *, but: str, limit: int | None
) -> dict[str, int]:
    """How many rows of *journal*, of run *but*, ask for what is in a batch of another
    run, by that run; empty where no ledger can be read.
    """
    try:
        connection = glance_at_ledger(ledger)
        if connection is None:
            return {}
        with closing(connection):
            runs = connection.execute(_WAITING, (but,)).fetchall()
    except (sqlite3.Error, StorageError):
        return {}
    end = 2**62 if limit is None else limit
    found = {run: asked_as_well(journal, Path(folder) / JOURNAL, end) for run, folder in runs}
    return {run: rows for run, rows in found.items() if rows}


def batch_durations(ledger: Path, *, address: str = "", most: int = 200) -> list[tuple[int, float]]:
    """(requests, seconds from making to end) of this machine's last batches at
    *address*, newest first; empty where nothing is known.
    """
    try:
        # Only to read: an estimate must not make a ledger.
        connection = read_ledger(ledger)
        if connection is None:
            return []
        with closing(connection):
            found = connection.execute(_DURATIONS, (address, most)).fetchall()
    except (sqlite3.Error, StorageError):
        return []
    return [(requests, milliseconds / 1000) for requests, milliseconds in found]


def batch_lines(ledger: Path) -> list[BatchLine]:
    """Every batch that this machine knows, the newest first. Raises `StorageError`."""
    try:
        # Runs may be at work: a list must not keep them waiting.
        connection = read_ledger(ledger)
        if connection is None:
            return []
        with closing(connection):
            found = connection.execute(_LINES).fetchall()
    except sqlite3.Error as error:
        raise unreadable(ledger, error) from error
    return [
        BatchLine(
            id="" if name.startswith(NOT_KNOWN) else name,
            run=run,
            number=number,
            requests=requests,
            created_ms=made,
            expires_ms=expires,
            ended_ms=ended,
            state="perhaps made" if name.startswith(NOT_KNOWN) else _STATES[end],
            output=output,
            folder=folder,
        )
        for name, run, number, requests, made, expires, ended, end, output, folder in found
    ]
