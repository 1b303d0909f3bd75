"""Questions about a run as a whole, and changes of its journal between two sessions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claudebatch.core.domain import PREWARM, Pico, Usage
from claudebatch.core.endings import Ending
from claudebatch.core.result_lines import line
from claudebatch.storage.columns import COUNTS
from claudebatch.storage.journal.checksums import (
    RESULT_FIELDS,
    body_digest,
    damaged,
    is_sound,
    renew_checksums,
    result_checksum,
)
from claudebatch.storage.journal.schema import AttemptState

PREWARMS = f"(a.rule = '{PREWARM}' AND a.output_bound = 0)"
"""The condition that the attempt `a` only writes to the prompt cache."""
# Attempts without an outcome count at their worst case as well: the last session may
# have died after sending them.
_TOTALS = """
SELECT count(*), coalesce(sum(cost), 0),
  coalesce(sum(CASE WHEN state IN (:sent, :unknown) THEN worst END), 0),
  coalesce(sum(state IN (:sent, :unknown)), 0), coalesce(min(cost_known), 1),
  coalesce(sum(CASE WHEN state = :in_batch THEN worst END), 0),
  coalesce(sum(state = :in_batch), 0)
FROM attempts
"""


@dataclass(frozen=True, slots=True)
class Totals:
    """The journal's sums over all sessions."""

    attempts: int
    spent: Pico
    unknown: Pico
    unknown_attempts: int
    cost_known: bool
    in_batches: Pico = 0
    """Worst cases of the rows that are in message batches now."""
    rows_in_batches: int = 0


def totals(connection: sqlite3.Connection) -> Totals:
    """The spend of all sessions of this run."""
    attempts, spent, unknown, unknown_attempts, known, held, rows = connection.execute(
        _TOTALS,
        {
            "sent": AttemptState.SENT,
            "unknown": AttemptState.UNKNOWN,
            "in_batch": AttemptState.IN_BATCH,
        },
    ).fetchone()
    return Totals(
        attempts,
        spent,
        unknown,
        unknown_attempts,
        bool(known),
        in_batches=held,
        rows_in_batches=rows,
    )


# Billed alike are those of one model, place, speed and tier.
_BILLED_ALIKE = f"""
SELECT model, sum(cost), {PREWARMS} AS prewarms,
  {", ".join(f"sum({column.name})" for column in COUNTS)}
FROM attempts a WHERE attempt > ? AND cost > 0 GROUP BY model, tier, geo, speed, prewarms
"""


@dataclass(frozen=True, slots=True)
class BilledAlike:
    """Answers of one model that were billed in the same way."""

    model: str
    cost: Pico
    usage: Usage
    prewarms: bool = False
    """Whether they only wrote to the prompt cache."""


def last_attempt(connection: sqlite3.Connection) -> int:
    """The number of the last attempt; 0: there was none."""
    (last,) = connection.execute("SELECT coalesce(max(attempt), 0) FROM attempts").fetchone()
    return int(last)


def billed_after(connection: sqlite3.Connection, attempt: int) -> Iterator[BilledAlike]:
    """The answers to attempts after number *attempt*, summed up."""
    for model, cost, prewarms, *counts in connection.execute(_BILLED_ALIKE, (attempt,)):
        yield BilledAlike(model, cost, Usage.of(counts), bool(prewarms))


def of_run_so_far(journal: Path, note: str) -> tuple[Pico, Any]:
    """What the run of *journal* counts against its cap, and its *note*; 0 and None
    where there is none, or none that can be read. Only read.
    """
    query = "SELECT value FROM meta WHERE key = ?"
    try:
        with closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            found, noted = totals(opened), opened.execute(query, (note,)).fetchone()
        value = None if noted is None else json.loads(noted[0])
    except (sqlite3.Error, ValueError, RecursionError):
        # A journal of another version is for the run itself to judge.
        return 0, None
    return found.spent + found.unknown + found.in_batches, value


def give_up_on_sent(connection: sqlite3.Connection) -> int:
    """Attempts of a dead session without an outcome become unknown, at their worst
    case; returns how many.
    """
    return _change(connection, AttemptState.SENT, AttemptState.UNKNOWN)


# A row with an answer from another attempt is decided: asking is not needed there.
_UNDECIDED = (
    " FROM attempts a JOIN rows r ON r.row = a.row AND r.live WHERE a.state IN (?, ?)"
    " AND a.body IS NULL AND NOT EXISTS (SELECT 1 FROM results x WHERE x.row = a.row AND x.ok)"
    # It was no request for the row's answer.
    f" AND NOT {PREWARMS}"
)


def undecided(connection: sqlite3.Connection) -> tuple[int, Pico]:
    """The number of rows without an answer that may have been billed, and the worst
    case of their requests.
    """
    query = f"SELECT count(DISTINCT a.row), coalesce(sum(a.worst), 0){_UNDECIDED}"
    rows, worst = connection.execute(query, (AttemptState.SENT, AttemptState.UNKNOWN)).fetchone()
    return rows, worst


def leave_out_unknown(connection: sqlite3.Connection) -> int:
    """Have `pending_rows` leave the rows of `undecided` out while *connection* is open;
    returns how many.

    With them go the rows whose request is the same: asking for those would ask for it
    again.
    """
    connection.execute("CREATE TEMP TABLE left_out (row INTEGER PRIMARY KEY)")
    into = f"INSERT INTO temp.left_out SELECT DISTINCT a.row{_UNDECIDED}"
    left = connection.execute(into, (AttemptState.SENT, AttemptState.UNKNOWN)).rowcount
    connection.execute(
        "INSERT OR IGNORE INTO temp.left_out SELECT row FROM rows WHERE length(key) > 0"
        " AND key IN (SELECT r.key FROM rows r JOIN temp.left_out l ON l.row = r.row)"
    )
    return left


def decide_unknown(connection: sqlite3.Connection, *, billed: bool) -> int:
    """Unknown attempts cost their worst case from now on, or nothing, because the user
    says so; returns how many. Those that brought an answer are answered from now on.
    """
    return _change(
        connection,
        AttemptState.UNKNOWN,
        AttemptState.SETTLED,
        cost="worst" if billed else "0",
        with_body=AttemptState.ANSWERED,
    )


def _change(
    connection: sqlite3.Connection,
    before: AttemptState,
    after: AttemptState,
    *,
    cost: str = "cost",
    with_body: AttemptState | None = None,
) -> int:
    own = not connection.in_transaction
    if own:
        connection.execute("BEGIN IMMEDIATE")
    which = [
        attempt
        for (attempt,) in connection.execute(
            "SELECT attempt FROM attempts WHERE state = ?", (before,)
        )
    ]
    # A damaged row gets no new checksum: it would pass for sound from now on.
    sound = [attempt for attempt in which if is_sound(connection, attempt)]
    query = (  # the cost is one of three constants
        f"UPDATE attempts SET state = CASE WHEN body IS NULL THEN ? ELSE ? END, cost = {cost}"
        " WHERE state = ?"
    )
    connection.execute(query, (after, after if with_body is None else with_body, before))
    renew_checksums(connection, sound)
    if own:
        connection.execute("COMMIT")
    return len(which)


def live_rows(connection: sqlite3.Connection) -> int:
    """The number of rows in the input."""
    (count,) = connection.execute("SELECT count(*) FROM rows WHERE live = 1").fetchone()
    return int(count)


def finished_rows(
    connection: sqlite3.Connection, *, limit: int | None, retry_failed: bool, retry_cut: bool
) -> int | None:
    """The number of answered rows, where no row of the input is left to be done; else
    None.
    """
    answered, rows = connection.execute(
        "SELECT coalesce(sum(ok), 0), count(*) FILTER (WHERE NOT done) FROM ("
        "  SELECT EXISTS (SELECT 1 FROM results x WHERE x.row = r.row AND x.ok) AS ok,"
        "    EXISTS (SELECT 1 FROM results x WHERE x.row = r.row AND"
        "      (CASE x.ok WHEN 0 THEN NOT ? WHEN 5 THEN NOT ? WHEN 2 THEN NOT ? ELSE 1 END)"
        "      ) AS done"
        "  FROM rows r WHERE r.live AND (? IS NULL OR r.position < ?))",
        (retry_failed, retry_failed, retry_cut, limit, limit),
    ).fetchone()
    return None if rows else int(answered)


def drop_superseded(connection: sqlite3.Connection) -> int:
    """Forget a row's older results once it has a newer one; returns how many."""
    return connection.execute(
        # Only in the journal's results: the answers stay in their attempts, as what
        # they cost does.
        "DELETE FROM results WHERE EXISTS (SELECT 1 FROM results x WHERE x.row = results.row AND "
        "x.n > results.n)"
    ).rowcount


def holds_real_answers(connection: sqlite3.Connection) -> bool:
    """Whether any answer came from the API itself."""
    real = "SELECT 1 FROM attempts WHERE body IS NOT NULL AND NOT simulated LIMIT 1"
    return connection.execute(real).fetchone() is not None


def holds_answers(connection: sqlite3.Connection) -> bool:
    """Whether any request was answered, by the API or a simulator."""
    any_answer = "SELECT 1 FROM attempts WHERE state = ? LIMIT 1"
    return connection.execute(any_answer, (AttemptState.ANSWERED,)).fetchone() is not None


def drop_simulated(connection: sqlite3.Connection) -> None:
    """Forget what a simulator answered, and keep the real answers beside it."""
    connection.execute("BEGIN IMMEDIATE")
    # The last field of a head. Failures have no attempt that says so: only their head.
    mark = b',"simulated":true'
    connection.execute("DELETE FROM results WHERE substr(head, ?) = ?", (-len(mark), mark))
    connection.execute("DELETE FROM attempts WHERE simulated")
    connection.execute("COMMIT")


def result_lines(connection: sqlite3.Connection, *, ordered: bool) -> Iterator[bytes]:
    """The lines that the output holds: in order of arrival, or in the input's order.

    Raises `StorageError` at the first that is not as it was written.
    """
    if ordered:
        # Without it SQLite would sort whole messages, on disk, for every look at them.
        connection.execute("CREATE INDEX IF NOT EXISTS rows_position ON rows(position)")
    order = "r.position" if ordered else "x.n"
    fields = ", ".join(f"x.{name}" for name in RESULT_FIELDS)
    found = connection.execute(
        f"SELECT {fields}, x.seal, a.body, a.digest FROM results x JOIN rows r ON r.row = x.row "
        f"AND r.live"
        f" LEFT JOIN attempts a ON a.attempt = x.attempt ORDER BY {order}"  # one of two constants
    )
    try:
        for *result, checksum, body, digest in found:
            row, ok, head, _, own, *_, place = result
            message = body if own is None else own
            if (
                result_checksum(result) != checksum
                or (own is None and body_digest(body) != digest)
                or (ok and message is None)
            ):
                raise damaged(connection, f"the result of row {row}")
            yield line(head, message, place)
    except (
        sqlite3.Error,
        UnicodeDecodeError,
    ) as error:  # bytes that are no text any more, or no row
        raise damaged(connection, f"a result ({error})") from error


def unshown_answers(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """(row, attempt) of the answers that were paid for but whose result line was never
    written: the newest of each row.
    """
    return connection.execute(
        "SELECT a.row, max(a.attempt) FROM attempts a JOIN rows r ON r.row = a.row AND r.live"
        " WHERE a.state IN (?, ?) AND a.body IS NOT NULL"
        # Of a row whose answer was invalid, a later answer is news: it was asked again.
        " AND NOT EXISTS (SELECT 1 FROM results x WHERE x.row = a.row AND x.ok"
        "  AND NOT (x.ok = ? AND coalesce(x.attempt, a.attempt) < a.attempt)) GROUP BY a.row",
        (AttemptState.ANSWERED, AttemptState.UNKNOWN, Ending.INVALID),
    ).fetchall()
