"""The attempts of a batch, whatever became of them, for one that was made twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from claudebatch.storage.columns import INTENT_COLUMNS, listed, marks, names
from claudebatch.storage.journal.checksums import is_sound
from claudebatch.storage.journal.records import AttemptIntent

_NAMES = names(INTENT_COLUMNS)
_INTENTS = (
    f"SELECT {listed(INTENT_COLUMNS, 'a.')}, r.id FROM attempts a JOIN rows r ON r.row = a.row"
    " WHERE a.batch = ? AND a.attempt IN ({})"
)
_BOOKED = "SELECT row FROM attempts WHERE batch > 0 AND batch = ? AND request_id = ?"


def intents_of(
    journal: sqlite3.Connection, batch: int, attempts: Sequence[int]
) -> list[AttemptIntent]:
    """Those of *attempts* that are *batch*'s and sound."""
    # Far below the number of values that SQLite binds: groups are of some hundreds.
    query = _INTENTS.format(marks(len(attempts)))
    found = journal.execute(query, (batch, *attempts)).fetchall()
    intents = [
        AttemptIntent(**dict(zip(_NAMES, fields, strict=True)), id=name) for *fields, name in found
    ]
    return [intent for intent in intents if is_sound(journal, intent.attempt)]


def booked(journal: sqlite3.Connection, batch: int, id: str) -> set[int]:
    """The rows of *batch* for which the second one, *id*, is booked."""
    return {row for (row,) in journal.execute(_BOOKED, (batch, id))}
