"""The newest result of each row, read without a change to the journal: also while
another process writes to it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from claudebatch.core.errors import StorageError
from claudebatch.core.jsonl import raw_members
from claudebatch.core.result_lines import line
from claudebatch.storage.journal.checksums import (
    RESULT_FIELDS,
    body_digest,
    damaged,
    fits,
    result_checksum,
)
from claudebatch.storage.journal.schema import VERSION

_FROM = " FROM results x JOIN rows r ON r.row = x.row AND r.live"
_NEWEST = (
    f"SELECT x.n{_FROM} WHERE NOT EXISTS"
    " (SELECT 1 FROM results y WHERE y.row = x.row AND y.n > x.n) ORDER BY "
)
_FIELDS = ", ".join(f"x.{name}" for name in RESULT_FIELDS)
_ONE = f"SELECT {_FIELDS}, x.seal, NULL, NULL FROM results x WHERE x.n = ?"
_ONE_WHOLE = (
    f"SELECT {_FIELDS}, x.seal, a.body, a.digest FROM results x"
    " LEFT JOIN attempts a ON a.attempt = x.attempt WHERE x.n = ?"
)


def newest_lines(
    connection: sqlite3.Connection, *, ordered: bool, messages: bool = True
) -> Iterator[bytes]:
    """The result lines of rows in the input, each row's newest only: in order of
    arrival, or in the input's order. Without *messages* they lack the API's message.

    Raises `StorageError` at the first that is not as it was written.
    """
    query = _NEWEST + ("r.position" if ordered else "x.n")  # one of two constants
    one = _ONE_WHOLE if messages else _ONE
    # Numbers first: SQLite would sort whole messages.
    try:
        for number in connection.execute(query):
            found = connection.execute(one, number).fetchone()
            yield _line(connection, found, messages=messages)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # no text any more, or no row
        raise damaged(connection, f"a result ({error})") from error


def newest_line(connection: sqlite3.Connection, row: int) -> bytes | None:
    """The newest result line of one *row*, without the API's message; None without a
    result. Raises `StorageError`.
    """
    (number,) = connection.execute("SELECT max(n) FROM results WHERE row = ?", (row,)).fetchone()
    if number is None:
        return None
    return _line(connection, connection.execute(_ONE, (number,)).fetchone(), messages=False)


def row_fields(connection: sqlite3.Connection) -> Iterator[str]:
    """The names of the rows' own fields, row by row, each as often as rows have it."""
    query = "SELECT columns FROM rows WHERE live AND length(columns) > 0"
    try:
        for (columns,) in connection.execute(query):
            yield from raw_members(columns)
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise damaged(connection, f"the index of rows ({error})") from error


def results_mark(connection: sqlite3.Connection) -> list[int]:
    """Two numbers that differ once results were added to the journal or dropped."""
    found = connection.execute("SELECT coalesce(max(n), 0), count(*) FROM results").fetchone()
    return list(found)


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """The journal at *path* as it is now, read only, whatever a run at work adds to it.
    Raises `StorageError`.
    """
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    try:
        connection.execute("PRAGMA temp_store=FILE")
        connection.execute("BEGIN")
        # The transaction begins with its first look.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise _unreadable(path, error) from error
    try:
        if version != VERSION:
            raise StorageError(
                "E655",
                f"{path}: this journal is of another version of claudebatch",
                fix="wait until its run has ended, then try again",
            )
        yield connection
    finally:
        connection.close()


def _line(journal: sqlite3.Connection, found: Sequence[Any], *, messages: bool) -> bytes:
    *result, checksum, body, digest = found
    row, ok, head, _, own, *_, place = result
    sound = fits(result, checksum, result_checksum)
    message = None
    if messages:
        message = body if own is None else own
        sound = sound and (own is not None or body_digest(body) == digest)
        sound = sound and (message is not None or not ok)
    if not sound:
        raise damaged(journal, f"the result of row {row}")
    return line(head, message, place)


def _unreadable(path: Path, error: sqlite3.Error) -> StorageError:
    return StorageError(
        "E656", f"{path}: the journal cannot be read: {error}", fix="check the path and the disk"
    )
