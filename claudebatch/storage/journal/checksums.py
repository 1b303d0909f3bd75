"""Checksums of answers and amounts: a bit that flips on the disk is found out, never
shown and never paid for.

A seal is the first 16 bytes of the SHA-256 of a row's fields. It tells damage, not
forgery: whoever can write the file can seal it again.
"""

from __future__ import annotations

import hashlib
import shlex
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import compress
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

_SEAL_BYTES = 16

_SEALED = (*INTENT_COLUMNS, *OUTCOME_COLUMNS, DIGEST)
ATTEMPT_FIELDS = names(_SEALED)
"""The columns of `attempts` that its seal is made of, in this order; `digest` stands
for the body.
"""
RESULT_FIELDS = names(RESULT_COLUMNS)
"""The columns of `results` that its seal is made of."""

_ATTEMPT = f"SELECT {', '.join(ATTEMPT_FIELDS)}, seal FROM attempts"
_FROM_THE_FIRST = [not column.added for column in _SEALED]
_ADDED = [column.added for column in _SEALED]
_ADDED_FIELDS = [column.name for column in _SEALED if column.added]
_NO_OUTCOME = tuple(column.default for column in (*OUTCOME_COLUMNS, DIGEST))


def body_digest(body: object) -> bytes | None:
    """What an attempt's row says of its *body*, bytes or None; what is neither any more
    has no digest that fits.
    """
    if not isinstance(body, bytes):
        return None if body is None else b""
    return hashlib.sha256(body).digest()[:_SEAL_BYTES]


def intent_seal(values: Iterable[object]) -> bytes:
    """The seal of an attempt that is on its way and whose `INTENT_COLUMNS` are
    *values*.
    """
    return attempt_seal((*values, *_NO_OUTCOME))


def attempt_seal(fields: Sequence[object]) -> bytes:
    """The seal of the attempt whose `ATTEMPT_FIELDS` are *fields*, as they are in the
    table.
    """
    # Two seals are made for every attempt: what nobody added is not looked for.
    sealed = _with_what_was_added(fields) if _ADDED_FIELDS else fields
    return hashlib.sha256(encode_in_order(sealed)).digest()[:_SEAL_BYTES]


def _with_what_was_added(fields: Sequence[object]) -> list[object]:
    """*fields*, but of the columns that were added those that count something.

    Rows of files that are older than a column keep the seals that they have.
    """
    sealed: list[object] = list(compress(fields, _FROM_THE_FIRST))
    for name, count in zip(_ADDED_FIELDS, compress(fields, _ADDED), strict=True):
        if count:
            sealed += (name, count)
    return sealed


def result_seal(fields: Sequence[object]) -> bytes:
    """The seal of the result whose `RESULT_FIELDS` are *fields*, as they are in the
    table.
    """
    row, ok, head, attempt, body, source, saved, day = fields
    text = head if isinstance(head, bytes) else b"?"
    small = encode_in_order((row, ok, attempt, source, saved, day, len(text), body is None))
    return hashlib.sha256(
        b"".join((small, text, body if isinstance(body, bytes) else b""))
    ).digest()[:_SEAL_BYTES]


def fits(
    fields: Sequence[object], seal: object, seal_of: Callable[[Sequence[object]], bytes]
) -> bool:
    """Whether *seal* is that of *fields*; never of what is no text any more."""
    try:
        return seal_of(fields) == seal
    except UnicodeEncodeError:
        return False


def damaged(journal: sqlite3.Connection, what: str) -> StorageError:
    """What a damaged row is raised as, before anybody is shown it or it is paid for
    again.
    """
    path = Path(
        journal.execute("SELECT file FROM pragma_database_list WHERE name = 'main'").fetchone()[0]
    )
    return StorageError(
        f"{path}: {what} is damaged",
        fix=f"mend it: claudebatch runs check --repair {shlex.quote(str(path.parent))}",
    )


def is_sound(journal: sqlite3.Connection, attempt: int) -> bool:
    """Whether the row of *attempt* is as it was written; of its body only the digest is
    looked at.
    """
    try:
        *fields, seal = journal.execute(f"{_ATTEMPT} WHERE attempt = ?", (attempt,)).fetchone()
    except sqlite3.Error:  # bytes that are no text any more
        return False
    return fits(fields, seal, attempt_seal)


def reseal(journal: sqlite3.Connection, attempts: Iterable[int]) -> None:
    """Seal *attempts* as they stand now: for whoever has changed them for a good
    reason.
    """
    for attempt in attempts:
        *fields, _ = journal.execute(f"{_ATTEMPT} WHERE attempt = ?", (attempt,)).fetchone()
        journal.execute(
            "UPDATE attempts SET seal = ? WHERE attempt = ?", (attempt_seal(fields), attempt)
        )


def seal_all(journal: sqlite3.Connection) -> None:
    """Seal every row of a journal that had no seals, inside the caller's
    transaction.
    """
    for attempt, body in journal.execute(
        "SELECT attempt, body FROM attempts WHERE body IS NOT NULL"
    ):
        journal.execute(
            "UPDATE attempts SET digest = ? WHERE attempt = ?", (body_digest(body), attempt)
        )
    reseal(journal, [attempt for (attempt,) in journal.execute("SELECT attempt FROM attempts")])
    for n, *fields in journal.execute(f"SELECT n, {', '.join(RESULT_FIELDS)} FROM results"):
        journal.execute("UPDATE results SET seal = ? WHERE n = ?", (result_seal(fields), n))
