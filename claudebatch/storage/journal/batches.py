"""Message batches in the journal: an intent before each is made, its id after, and the
rows that are in it.

A batch is *building* while its rows' intents are written: nothing can have been sent,
so a crash undoes it. *Ready* means that it may have been made, whether or not an answer
said so; only its results prove whose it is.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from claudebatch.core.domain import Pico
from claudebatch.core.frozen import value
from claudebatch.core.plurals import counted
from claudebatch.storage.journal.checksums import is_sound, renew_checksums
from claudebatch.storage.journal.schema import AttemptState


# New members go to the end.
class BatchState(IntEnum):
    """The state of a batch; the numbers are in files."""

    BUILDING = 0
    READY = 1
    """Its intents are written down; it may have been made, but its id is not known."""
    MADE = 2
    """Its id is known; until it is `proved`, that of a candidate."""
    COLLECTED = 3
    """Every row of it has its outcome."""
    NOT_MADE = 4
    """The API has no such batch: its rows were never sent."""
    LOST = 5
    """Its results are gone: its rows may have been billed."""


@value
class BatchRow:
    """A message batch, as the journal has it. Times are Unix milliseconds."""

    batch: int
    nonce: str
    """The beginning of each of its custom_ids."""
    state: int
    requests: int
    worst: Pico
    intent_ms: int
    id: str | None = None
    """The API's id; None: not known."""
    proved: bool = False
    """Whether `id` is ours for sure: create gave it, or its results bear the nonce."""
    created_ms: int | None = None
    expires_ms: int | None = None
    ended_ms: int | None = None


_FIELDS = "batch, nonce, state, requests, worst, intent_ms, id, proved, created_ms, expires_ms"
_OPEN = f"SELECT {_FIELDS}, ended_ms FROM batches WHERE state IN (?, ?) ORDER BY batch"

_KEYS = (
    "SELECT r.key FROM attempts a JOIN rows r ON r.row = a.row"
    " WHERE a.batch > 0 AND a.state = ? AND length(r.key) > 0"
)
_ASKED_AS_WELL = (
    "SELECT count(*) FROM rows r WHERE r.live AND r.position < ?"
    " AND r.key IN (SELECT key FROM temp.keys_elsewhere)"
    " AND NOT EXISTS (SELECT 1 FROM results x WHERE x.row = r.row)"
    " AND r.row NOT IN (SELECT a.row FROM attempts a WHERE a.batch > 0 AND a.state = ?)"
)

_WITH_API = (
    "WITH sent AS (SELECT q.row, q.key FROM attempts a JOIN rows q ON q.row = a.row"
    " WHERE a.batch > 0 AND a.state = :in_batch AND q.live)"
    " SELECT count(*) FROM rows r WHERE r.live AND r.position < :end"
    " AND NOT EXISTS (SELECT 1 FROM results x WHERE x.row = r.row)"
    " AND (r.row IN (SELECT row FROM sent) OR"
    " (:shared AND length(r.key) > 0 AND r.key IN (SELECT key FROM sent)))"
)


def begin_batch(journal: sqlite3.Connection, nonce: str, now_ms: int) -> int:
    """Note that a batch is being built; returns its number in this run."""
    return int(
        journal.execute(
            "INSERT INTO batches (nonce, intent_ms) VALUES (?, ?)", (nonce, now_ms)
        ).lastrowid
        or 0
    )


def note_ready(
    journal: sqlite3.Connection, batch: int, *, requests: int, worst: Pico, now_ms: int
) -> BatchRow:
    """All rows of *batch* are written down: from now on it may have been made."""
    # The last commit before the create leaves: whatever happens then, the journal says
    # that there may be such a batch, and what it may cost.
    journal.execute(
        "UPDATE batches SET state = ?, requests = ?, worst = ?, intent_ms = ? WHERE batch = ?",
        (BatchState.READY, requests, worst, now_ms, batch),
    )
    return find_batch(journal, batch)


def note_made(
    journal: sqlite3.Connection,
    batch: int,
    id: str,
    *,
    proved: bool,
    created_ms: int | None,
    expires_ms: int | None,
) -> BatchRow:
    """The API knows *batch* as *id*; not *proved*: perhaps."""
    journal.execute(
        "UPDATE batches SET state = ?, id = ?, proved = ?, created_ms = ?, expires_ms = ?"
        " WHERE batch = ?",
        (BatchState.MADE, id, proved, created_ms, expires_ms, batch),
    )
    return find_batch(journal, batch)


def note_proved(journal: sqlite3.Connection, batch: int) -> None:
    """Its results bear the nonce: it is ours."""
    journal.execute("UPDATE batches SET proved = 1 WHERE batch = ?", (batch,))


def let_go(journal: sqlite3.Connection, batch: int, foreign: str | None) -> BatchRow:
    """The candidate of *batch* is another one: its own id is not known again. *foreign*
    is the candidate's id where it belongs to no batch of this run that looks for its
    own.
    """
    # Together: an id that was let go and is forgotten would be tried again for ever.
    journal.execute("BEGIN IMMEDIATE")
    if foreign is not None:
        journal.execute(
            "INSERT OR IGNORE INTO meta (key, value) VALUES ('foreign batch ' || ?, '1')",
            (foreign,),
        )
    journal.execute(
        "UPDATE batches SET state = ?, id = NULL, proved = 0, created_ms = NULL,"
        " expires_ms = NULL WHERE batch = ?",
        (BatchState.READY, batch),
    )
    journal.execute("COMMIT")
    return find_batch(journal, batch)


def foreign_batches(journal: sqlite3.Connection) -> set[str]:
    """Ids that turned out not to be ours."""
    found = journal.execute("SELECT key FROM meta WHERE key LIKE 'foreign batch %'")
    return {key.removeprefix("foreign batch ") for (key,) in found}


def note_foreign(journal: sqlite3.Connection, id: str) -> None:
    """*id* is no batch of ours, or all of it is known."""
    journal.execute(
        "INSERT OR IGNORE INTO meta (key, value) VALUES ('foreign batch ' || ?, '1')", (id,)
    )


def own_batches(journal: sqlite3.Connection, nonce: str = "") -> set[str]:
    """The ids of this run's batches, as far as they are known for sure; with *nonce*:
    of those that bear it.
    """
    query = "SELECT id FROM batches WHERE proved AND id IS NOT NULL AND (? = '' OR nonce = ?)"
    found = journal.execute(query, (nonce, nonce))
    return {known for (known,) in found}


def collected_since(journal: sqlite3.Connection, created_ms: int) -> list[BatchRow]:
    """Collected batches that were made after that moment."""
    query = f"SELECT {_FIELDS}, ended_ms FROM batches WHERE state = ? AND created_ms > ?"
    return [_row(found) for found in journal.execute(query, (BatchState.COLLECTED, created_ms))]


def of_nonce(journal: sqlite3.Connection, nonce: str) -> BatchRow | None:
    """The batch with that nonce whose id is known for sure."""
    query = f"SELECT {_FIELDS}, ended_ms FROM batches WHERE nonce = ? AND proved AND id IS NOT NULL"
    found = journal.execute(query, (nonce,)).fetchone()
    return None if found is None else _row(found)


def bears_nonce(journal: sqlite3.Connection, nonce: str) -> bool:
    """Whether a batch of this run that is with the API, may be, or is collected has
    that nonce.
    """
    states = (BatchState.READY, BatchState.MADE, BatchState.COLLECTED)
    query = "SELECT 1 FROM batches WHERE nonce = ? AND state IN (?, ?, ?)"
    return journal.execute(query, (nonce, *states)).fetchone() is not None


def run_id_of(journal: sqlite3.Connection) -> str:
    """The id of the run that it is the journal of."""
    found = journal.execute("SELECT value FROM meta WHERE key = 'run_id'").fetchone()
    return str(json.loads(found[0]))


def nonce_of(journal: Path, batch: int) -> str | None:
    """The nonce of *batch* in the journal of another run; None where it has none."""
    if not journal.is_file():
        return None
    with closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True)) as opened:
        found = opened.execute("SELECT nonce FROM batches WHERE batch = ?", (batch,)).fetchone()
    return None if found is None else str(found[0])


def has_collected(journal: Path, id: str) -> bool:
    """Whether the journal of a run has all answers of the batch *id*."""
    if not journal.is_file():
        return False
    query = "SELECT 1 FROM batches WHERE id = ? AND state = ?"
    try:
        uri = f"{journal.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as opened:
            return opened.execute(query, (id, BatchState.COLLECTED)).fetchone() is not None
    except sqlite3.Error:
        return False


def asked_as_well(journal: sqlite3.Connection, other: Path, end: int) -> int:
    """How many of the first *end* rows, unanswered and in no batch, ask for what is in
    a batch of the run whose journal is *other*.
    """
    if not other.is_file():
        return 0
    in_batch = (AttemptState.IN_BATCH,)
    journal.execute("CREATE TEMP TABLE keys_elsewhere (key BLOB PRIMARY KEY) WITHOUT ROWID")
    try:
        with closing(sqlite3.connect(f"{other.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            keys = opened.execute(_KEYS, in_batch)
            journal.executemany("INSERT OR IGNORE INTO temp.keys_elsewhere VALUES (?)", keys)
        return int(journal.execute(_ASKED_AS_WELL, (end, *in_batch)).fetchone()[0])
    except sqlite3.Error:
        # A journal of another version is for its own run to judge.
        return 0
    finally:
        journal.execute("DROP TABLE temp.keys_elsewhere")


def note_over(
    journal: sqlite3.Connection, batch: int, state: BatchState, ended_ms: int | None = None
) -> None:
    """*batch* needs nothing more: it was collected, was never made, or is lost."""
    journal.execute(
        "UPDATE batches SET state = ?, ended_ms = coalesce(?, ended_ms) WHERE batch = ?",
        (state, ended_ms, batch),
    )


def find_batch(journal: sqlite3.Connection, batch: int) -> BatchRow:
    """The batch of that number."""
    query = f"SELECT {_FIELDS}, ended_ms FROM batches WHERE batch = ?"
    return _row(journal.execute(query, (batch,)).fetchone())


def open_batches(journal: sqlite3.Connection) -> list[BatchRow]:
    """Those that are, or may be, with the API and are not collected, oldest first."""
    return [_row(found) for found in journal.execute(_OPEN, (BatchState.READY, BatchState.MADE))]


def waiting(batches: Sequence[BatchRow]) -> str:
    """Says how much of a run is, or may be, with the API."""
    rows = counted(sum(batch.requests for batch in batches), "row")
    goes = "is" if len(batches) == 1 else "are"
    return f"{counted(len(batches), 'batch', 'batches')} with {rows} {goes} with the API"


def held_by_batches(journal: sqlite3.Connection, batch: int) -> list[tuple[str, Pico]]:
    """(UTC day, worst cases) of the rows of *batch* that have no outcome."""
    return journal.execute(
        "SELECT day, sum(worst) FROM attempts WHERE batch = ? AND batch > 0 AND state = ?"
        " GROUP BY day",
        (batch, AttemptState.IN_BATCH),
    ).fetchall()


def rows_with_api(journal: sqlite3.Connection, end: int, *, shared: bool) -> int:
    """How many of the first *end* rows of the input have no result and get one from a
    batch; *shared*: also those that ask for the same as a row of one.
    """
    parameters = {"end": end, "in_batch": AttemptState.IN_BATCH, "shared": shared}
    return int(journal.execute(_WITH_API, parameters).fetchone()[0])


def undo_building(journal: sqlite3.Connection) -> int:
    """Batches that a crash left half built were never sent: their rows are free again;
    returns how many.
    """
    # In one transaction with the state: half of it undone would look like a batch that
    # was made without some of its rows.
    which = "batch > 0 AND batch IN (SELECT batch FROM batches WHERE state = ?) AND state = ?"
    parameters = (BatchState.BUILDING, AttemptState.IN_BATCH)
    undone = _end(journal, which, parameters, AttemptState.FAILED, "not sent")
    journal.execute(
        "UPDATE batches SET state = ? WHERE state = ?", (BatchState.NOT_MADE, BatchState.BUILDING)
    )
    return undone


def give_up_on_batches(journal: sqlite3.Connection) -> int:
    """Whatever is in batches now may be billed, and nobody will ask: it counts at its
    worst case; returns how many rows.
    """
    which, parameters = "batch > 0 AND state = ?", (AttemptState.IN_BATCH,)
    given_up = _end(journal, which, parameters, AttemptState.UNKNOWN, "batch given up")
    journal.execute(
        "UPDATE batches SET state = ? WHERE state IN (?, ?)",
        (BatchState.LOST, BatchState.READY, BatchState.MADE),
    )
    return given_up


def _end(
    journal: sqlite3.Connection,
    which: str,
    parameters: Iterable[int],
    state: AttemptState,
    error: str,
) -> int:
    query = f"SELECT attempt FROM attempts WHERE {which}"
    attempts = [attempt for (attempt,) in journal.execute(query, tuple(parameters))]
    # A damaged row gets no new checksum: it would pass for sound from now on.
    sound = [attempt for attempt in attempts if is_sound(journal, attempt)]
    # The caller may have a transaction of its own, of which this is a part.
    own = not journal.in_transaction
    if own:
        journal.execute("BEGIN IMMEDIATE")
    journal.execute(
        f"UPDATE attempts SET state = ?, error = ? WHERE {which}",
        (state, error, *parameters),
    )
    renew_checksums(journal, sound)
    if own:
        journal.execute("COMMIT")
    return len(attempts)


def _row(fields: Sequence[Any]) -> BatchRow:
    batch = BatchRow(*fields)
    return replace(batch, proved=bool(batch.proved))
