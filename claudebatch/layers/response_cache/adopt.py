"""Entries that no table tells of: of an earlier version, or of a run that was killed
between an answer and its note. They are described by what the answer says.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeAlias

from claudebatch.core.domain import Pico, Reply, Usage
from claudebatch.core.message import BadAnswer, parse_message
from claudebatch.layers.response_cache.about_tables import name_number
from claudebatch.layers.response_cache.sound_value import sound_value

Worth: TypeAlias = Callable[[str, Usage], Pico]
"""What an answer of a model with so much usage costs."""

# Another run must not wait for the lock for long, and an interruption loses little.
_AT_ONCE = 500
ANSWER = "→ "
"""Stands before the words of an answer, where those of the prompt are not known."""
_WORDS = 120
_UNDESCRIBED = (
    "SELECT rowid, store_time, expire_time, size + coalesce(length(value), 0) FROM Cache"
    " WHERE rowid > ? AND rowid NOT IN (SELECT entry FROM About) ORDER BY rowid LIMIT ?"
)


def undescribed(connection: sqlite3.Connection) -> int:
    """How many entries no table tells of."""
    (entries,) = connection.execute("SELECT value FROM Settings WHERE key = 'count'").fetchone()
    (told,) = connection.execute("SELECT count(*) FROM About").fetchone()
    return max(0, int(entries) - int(told))


def adopt(cache: Any, connection: sqlite3.Connection, *, worth: Worth) -> int:
    """Describe the entries of diskcache's *cache* that no table tells of; returns how
    many there were. Raises `sqlite3.Error`.
    """
    # By counts, as nearly always all are described: to look for others takes a second.
    if not undescribed(connection):
        return 0
    after, adopted = 0, 0
    while rows := connection.execute(_UNDESCRIBED, (after, _AT_ONCE)).fetchall():
        after = rows[-1][0]
        # Outside of the transaction: others wait for its end.
        read = [(*row, sound_value(cache, connection, row[0])) for row in rows]
        connection.execute("BEGIN IMMEDIATE")
        try:
            for entry, stored, expires, size, value in read:
                _describe(connection, (entry, stored, expires, size), _reply(value), worth)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        adopted += len(rows)
    return adopted


def _reply(value: bytes | None) -> Reply | None:
    if value is None:
        return None
    try:
        return parse_message(value, source="cache", via=None, attempts=0)
    except BadAnswer:
        return None


def _describe(
    connection: sqlite3.Connection,
    facts: tuple[int, float, float | None, int],
    reply: Reply | None,
    worth: Worth,
) -> None:
    model = tokens_in = tokens_out = price = None
    # Told of all the same: else it would be read again by each command.
    words = "(damaged)"
    if reply is not None:
        usage = reply.usage
        model = name_number(connection, reply.model)
        tokens_in, tokens_out = usage.total_input, usage.output_tokens
        price = worth(reply.model, usage)
        words = ANSWER + " ".join(reply.text[: _WORDS * 4].split())[:_WORDS]
    # OR IGNORE: a run may have noted it meanwhile. Only of what is still there: else it
    # would be told of for ever.
    connection.execute(
        "INSERT OR IGNORE INTO About(entry, stored, expires, size, model, input, output, worth)"
        " SELECT rowid, ?, ?, ?, ?, ?, ?, ? FROM Cache WHERE rowid = ?",
        (*facts[1:], model, tokens_in, tokens_out, price, facts[0]),
    )
    connection.execute(
        "INSERT OR IGNORE INTO AboutText SELECT rowid, ?, '' FROM Cache WHERE rowid = ?",
        (words, facts[0]),
    )
