"""Checksums of answers and amounts: a bit that flips on the disk is noticed, never
shown and never paid for.

The checksum of a row is the first 16 bytes of the SHA-256 of its fields; its column is
called `seal`. It detects damage, not forgery: a program that can write the file can
make a new checksum.
"""

from __future__ import annotations

import hashlib
import shlex
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from pathlib import Path

from claudebatch.core.errors import StorageError
from claudebatch.core.jsonl import encode_in_order
from claudebatch.storage.columns import (
    DIGEST,
    INTENT_COLUMNS,
    OUTCOME_COLUMNS,
    RESULT_COLUMNS,
    names,
)

# A damaged row fits by chance once in 2**128; the whole 32 bytes would only make files
# larger.
_CHECKSUM_BYTES = 16

_CHECKED = (*INTENT_COLUMNS, *OUTCOME_COLUMNS, DIGEST)
ATTEMPT_FIELDS = names(_CHECKED)
"""The columns of `attempts` that its checksum is made of, in this order; `digest`
stands for the body.
"""
RESULT_FIELDS = names(RESULT_COLUMNS)
"""The columns of `results` that its checksum is made of."""

_ATTEMPT = f"SELECT {', '.join(ATTEMPT_FIELDS)}, seal FROM attempts"
_from_the_first = itemgetter(*(n for n, column in enumerate(_CHECKED) if not column.added))
_ADDED = [(column.name, n) for n, column in enumerate(_CHECKED) if column.added]
# All but the first, the state.
_NO_OUTCOME = tuple(column.default for column in (*OUTCOME_COLUMNS[1:], DIGEST))


def body_digest(body: object) -> bytes | None:
    """The digest of *body* as an attempt's row has it; b"" fits none, for a body that
    damage has made neither bytes nor None.
    """
    # SQLite stores the type with each value: one flipped bit makes a number out of an
    # answer.
    if not isinstance(body, bytes):
        return None if body is None else b""
    return hashlib.sha256(body).digest()[:_CHECKSUM_BYTES]


def intent_checksum(values: Iterable[object], state: int = 0) -> bytes:
    """The checksum of an attempt that is on its way and whose `INTENT_COLUMNS` are
    *values*.
    """
    return attempt_checksum((*values, int(state), *_NO_OUTCOME))


def attempt_checksum(fields: Sequence[object]) -> bytes:
    """The checksum of the attempt whose `ATTEMPT_FIELDS` are *fields*, as they are in
    the table.
    """
    checked = _from_the_first(fields)
    # Without those of added columns that are 0: rows that were written before a column
    # existed keep their checksums. Exactly 0: damage makes an empty text of it as well.
    for name, place in _ADDED:
        if fields[place] or type(fields[place]) is not int:
            checked += (name, fields[place])
    return hashlib.sha256(encode_in_order(checked)).digest()[:_CHECKSUM_BYTES]


def result_checksum(fields: Sequence[object]) -> bytes:
    """The checksum of the result whose `RESULT_FIELDS` are *fields*, as they are in the
    table.
    """
    row, ok, head, attempt, body, source, saved, day, place = fields
    text = head if isinstance(head, bytes) else b"?"
    # The length of the head goes in: without it a byte that moves from the head to the
    # body would give the same checksum. So does whether there is a body: an empty one
    # is not the same as none.
    small = encode_in_order((row, ok, attempt, source, saved, day, len(text), body is None))
    pieces = [small, text, body if isinstance(body, bytes) else b""]
    # Rows from before there were places keep their checksums.
    if place != b"":
        where = place if isinstance(place, bytes) else b"?"
        pieces += [b"%d" % len(where), where]
    return hashlib.sha256(b"".join(pieces)).digest()[:_CHECKSUM_BYTES]


def fits(
    fields: Sequence[object], checksum: object, checksum_of: Callable[[Sequence[object]], bytes]
) -> bool:
    """Whether *checksum* is that of *fields*; never where a text is damaged UTF-8."""
    try:
        return checksum_of(fields) == checksum
    except UnicodeEncodeError:
        return False


def damaged(journal: sqlite3.Connection, what: str) -> StorageError:
    """The error for a damaged row, raised before it is shown or paid for again."""
    path = Path(
        journal.execute("SELECT file FROM pragma_database_list WHERE name = 'main'").fetchone()[0]
    )
    return StorageError(
        "E614",
        f"{path}: {what} is damaged",
        fix=f"repair it: `claudebatch runs check --repair {shlex.quote(str(path.parent))}",
    )


def is_sound(journal: sqlite3.Connection, attempt: int) -> bool:
    """Whether the row of *attempt* is as it was written; of its body only the digest is
    looked at.
    """
    try:
        *fields, checksum = journal.execute(f"{_ATTEMPT} WHERE attempt = ?", (attempt,)).fetchone()
    except sqlite3.Error:  # bytes that are no text any more
        return False
    return fits(fields, checksum, attempt_checksum)


def renew_checksums(journal: sqlite3.Connection, attempts: Iterable[int]) -> None:
    """Give *attempts* the checksums of their present fields, after a wanted change."""
    for attempt in attempts:
        *fields, _ = journal.execute(f"{_ATTEMPT} WHERE attempt = ?", (attempt,)).fetchone()
        journal.execute(
            "UPDATE attempts SET seal = ? WHERE attempt = ?", (attempt_checksum(fields), attempt)
        )


def add_checksums(journal: sqlite3.Connection) -> None:
    """Give every row of a journal without checksums its own, inside the caller's
    transaction.
    """
    # Digests first: the checksum of a row is made of its digest.
    for attempt, body in journal.execute(
        "SELECT attempt, body FROM attempts WHERE body IS NOT NULL"
    ):
        journal.execute(
            "UPDATE attempts SET digest = ? WHERE attempt = ?", (body_digest(body), attempt)
        )
    renew_checksums(
        journal, [attempt for (attempt,) in journal.execute("SELECT attempt FROM attempts")]
    )
    for n, *fields in journal.execute(f"SELECT n, {', '.join(RESULT_FIELDS)} FROM results"):
        journal.execute("UPDATE results SET seal = ? WHERE n = ?", (result_checksum(fields), n))
