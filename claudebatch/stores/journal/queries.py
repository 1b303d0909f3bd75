"""What a journal says of its run as a whole, and what changes in it between two sessions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from claudebatch.domain import Pico
from claudebatch.results import line
from claudebatch.stores.journal.schema import State


@dataclass(frozen=True, slots=True)
class Totals:
    """The journal's sums over all sessions."""

    attempts: int
    spent: Pico
    unknown: Pico
    unknown_attempts: int
    cost_known: bool


def totals(connection: sqlite3.Connection) -> Totals:
    """What all sessions of this run have spent."""
    row = connection.execute(
        "SELECT count(*), coalesce(sum(cost), 0), coalesce(sum(CASE WHEN state IN (?, ?) THEN worst END), 0),"
        " coalesce(sum(state IN (?, ?)), 0), coalesce(min(cost_known), 1) FROM attempts",
        (State.SENT, State.UNKNOWN, State.SENT, State.UNKNOWN),
    ).fetchone()
    return Totals(row[0], row[1], row[2], row[3], bool(row[4]))


def give_up_on_sent(connection: sqlite3.Connection) -> int:
    """Attempts of a dead session without an outcome become unknown, at their worst case; returns how many."""
    cursor = connection.execute("UPDATE attempts SET state = ? WHERE state = ?", (State.UNKNOWN, State.SENT))
    return cursor.rowcount


def decide_unknown(connection: sqlite3.Connection, *, billed: bool) -> int:
    """Unknown attempts cost their worst case from now on, or nothing, because the user says so; returns how many."""
    cost = "worst" if billed else "0"
    cursor = connection.execute(
        f"UPDATE attempts SET state = ?, cost = {cost} WHERE state = ?",  # one of two constants
        (State.SETTLED, State.UNKNOWN),
    )
    return cursor.rowcount


def drop_superseded(connection: sqlite3.Connection) -> int:
    """Forget a row's older results once it has a newer one; returns how many."""
    return connection.execute(
        "DELETE FROM results WHERE EXISTS (SELECT 1 FROM results x WHERE x.row = results.row AND x.n > results.n)"
    ).rowcount


def holds_real_answers(connection: sqlite3.Connection) -> bool:
    """Whether any answer came from the API itself."""
    real = "SELECT 1 FROM attempts WHERE state = ? AND NOT simulated LIMIT 1"
    return connection.execute(real, (State.ANSWERED,)).fetchone() is not None


def drop_simulated(connection: sqlite3.Connection) -> None:
    """Forget what a simulator answered, and keep the real answers beside it."""
    connection.execute("BEGIN IMMEDIATE")
    # The last field of a head; of failures only the head says who refused.
    mark = b',"simulated":true'
    connection.execute("DELETE FROM results WHERE substr(head, ?) = ?", (-len(mark), mark))
    connection.execute("DELETE FROM attempts WHERE simulated")
    connection.execute("COMMIT")


def result_lines(connection: sqlite3.Connection, *, ordered: bool) -> Iterator[bytes]:
    """The lines that the output holds: in order of arrival, or in the input's order."""
    if ordered:
        # Without it SQLite would sort whole messages.
        connection.execute("CREATE INDEX IF NOT EXISTS rows_position ON rows(position)")
    order = "r.position" if ordered else "x.n"
    found = connection.execute(
        "SELECT x.head, coalesce(x.body, a.body) FROM results x JOIN rows r ON r.row = x.row AND r.live"
        f" LEFT JOIN attempts a ON a.attempt = x.attempt ORDER BY {order}"  # one of two constants
    )
    return (line(head, message) for head, message in found)


def unshown_answers(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """(row, attempt) of the answers that were paid for but whose result line was never written."""
    return connection.execute(
        "SELECT a.row, max(a.attempt) FROM attempts a JOIN rows r ON r.row = a.row AND r.live"
        " WHERE a.state = ? AND NOT EXISTS (SELECT 1 FROM results x WHERE x.row = a.row AND x.ok) GROUP BY a.row",
        (State.ANSWERED,),
    ).fetchall()
