"""Nothing is sent that is not written down first; nothing is shown that is not written down for good.

Order, as restic keeps it: the attempt's intent with its worst case is committed, then it is sent; outcome, exact
cost and body go into the same row in one commit; only then the output line is written. Records gather into groups:
one commit, one fsync, some tens of records. The machine-wide ledger hears of holds before the journal and of
settlements after it, so it may count too much for a while and never too little.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from claudebatch.domain import Pico
from claudebatch.errors import JournalFailed, OutputFailed, StopRun
from claudebatch.results import line
from claudebatch.stores.groups import Groups
from claudebatch.stores.journal.records import Intent, Outcome, Record, Result
from claudebatch.stores.journal.schema import State

Answer = TypeVar("Answer")

# A group gathers this long: it adds some milliseconds to answers that take seconds, and makes groups of tens.
_LINGER_S = 0.02
_ENOUGH = 512
# So many results may be unwritten before finishing another one waits: it bounds memory, and what a crash re-derives.
_BACKLOG = 1000

_FIX = "free some space or mend the disk, then run the same command"

_INTENT = "INSERT INTO attempts (attempt, row, model, worst, sent_ms) VALUES (?,?,?,?,?)"
_OUTCOME = (
    "UPDATE attempts SET state=?, cost=?, cost_known=?, input_tokens=?, cache_write_tokens=?, cache_read_tokens=?,"
    " output_tokens=?, latency_ms=?, request_id=?, error=?, body=?, simulated=? WHERE attempt=?"
)
_RESULT = "INSERT INTO results (row, ok, head, attempt, body) VALUES (?,?,?,?,?)"
# Python lets go of its lock and takes it again for every statement; while another thread is busy that costs more
# than the insert itself.
_RESULTS_A_STATEMENT = 500
_RESULTS = _RESULT + ",(?,?,?,?,?)" * (_RESULTS_A_STATEMENT - 1)


class Output(Protocol):
    """Where result lines go."""

    def append(self, lines: list[bytes]) -> None:
        """Write whole lines, in order."""
        ...


class Ledger(Protocol):
    """The machine-wide account of spend."""

    def apply(self, intents: list[Intent], outcomes: list[Outcome]) -> None:
        """Add holds, and turn earlier holds into settlements, in one durable step."""
        ...


@dataclass(frozen=True, slots=True)
class Totals:
    """The journal's sums over all sessions."""

    attempts: int
    spent: Pico
    unknown: Pico
    unknown_attempts: int
    cost_known: bool


class Journal:
    """One run's journal while it goes on. All SQL runs in one thread; all methods are called on the event loop."""

    def __init__(
        self, connection: sqlite3.Connection, *, output: Output, ledger: Ledger, on_failure: Callable[[str], None]
    ) -> None:
        self._connection = connection
        self._output = output
        self._ledger = ledger
        self._on_failure = on_failure
        # Mutable, and the writing thread's: outcomes that the ledger has yet to hear of, and records that could not
        # be written and are tried again with the next ones.
        self._settled: list[Outcome] = []
        self._unwritten: list[Record] = []
        self.failure: StopRun | None = None
        """Why nothing may be sent any more. What was sent is written down all the same, wherever that is possible."""
        (last,) = connection.execute("SELECT coalesce(max(attempt), 0) FROM attempts").fetchone()
        self._last_attempt: int = last
        self._groups: Groups[Record] = Groups(self._write, name="journal", linger_s=_LINGER_S, enough=_ENOUGH)

    def next_attempt(self) -> int:
        """A number that no attempt of this run has had."""
        self._last_attempt += 1
        return self._last_attempt

    async def begin(self, attempt: int, row: int, model: str, worst: Pico, sent_ms: int) -> None:
        """Write an attempt down; when this returns, it is durable and may be sent."""
        written = await self._groups.ask(Intent(attempt, row, model, worst, sent_ms))
        if not written and self.failure is not None:
            raise self.failure

    def settle(self, outcome: Outcome) -> None:
        """Write an attempt's outcome down, soon."""
        self._groups.put(outcome)

    async def finish(self, result: Result) -> None:
        """Write a row's result down, then its output line, soon; waits only while too much is still unwritten."""
        if self._groups.backlog > _BACKLOG:
            await self._groups.ask(result)
        else:
            self._groups.put(result)

    async def finish_all(self, results: Sequence[Result]) -> None:
        """As `finish`, for many rows in one hand-over; waits while those before them are still unwritten."""
        if results and self._groups.backlog:
            await self._groups.ask(results[0])
            results = results[1:]
        self._groups.put_all(results)

    async def read(self, query: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """What *query* finds, between two groups of writes."""
        return await self._groups.call(lambda: query(self._connection))

    async def flush(self) -> None:
        """Wait until everything handed over is written: then `read` sees it."""
        await self._groups.drained()

    async def close(self) -> None:
        """Write everything handed over, tell the ledger, stop the thread. The connection stays open."""
        await self._groups.drained()
        await self._groups.call(self._finish)
        await self._groups.close()

    def _finish(self) -> None:
        if self._unwritten:
            self._write([])
        try:
            self._tell_ledger([])
        except (sqlite3.Error, OSError) as error:
            self.fail(JournalFailed(f"the spend ledger cannot be written: {error}", fix=_FIX))

    def fail(self, failure: StopRun) -> None:
        """Let nothing be sent any more; the first reason is kept."""
        if self.failure is None:
            self.failure = failure
            self._on_failure(failure.message)

    def _write(self, group: list[Record]) -> list[bool]:
        """Whether each of *group* is durable. Answers that were paid for are not given up because one write failed."""
        may_begin = self.failure is None
        records = self._unwritten + [record for record in group if may_begin or type(record) is not Intent]
        try:
            self._commit(records)
        except (sqlite3.Error, OSError) as error:
            self._unwritten = [record for record in records if type(record) is not Intent]
            self.fail(JournalFailed(f"the run's records cannot be written: {error}", fix=_FIX))
            return [False] * len(group)
        self._unwritten = []
        return [may_begin or type(record) is not Intent for record in group]

    def _commit(self, group: list[Record]) -> None:
        intents = [record for record in group if type(record) is Intent]
        outcomes = [record for record in group if type(record) is Outcome]
        results = [record for record in group if type(record) is Result]
        if intents:
            self._tell_ledger(intents)
        execute = self._connection.executemany
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            execute(_INTENT, intents)
            execute(_OUTCOME, ((*outcome[:11], outcome.simulated, outcome.attempt) for outcome in outcomes))
            whole = len(results) - len(results) % _RESULTS_A_STATEMENT
            execute(_RESULTS, _statements(results[:whole]))
            execute(_RESULT, (result[:5] for result in results[whole:]))
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                self._connection.execute("ROLLBACK")
            raise
        self._settled += outcomes
        if results and self.failure is None:
            self._show(results)

    def _show(self, results: list[Result]) -> None:
        try:
            self._output.append([line(result.head, result.message) for result in results])
        except OSError as error:
            # The next session shows them. A line after a lost one would be out of order: no more of them.
            self.fail(OutputFailed(f"the results cannot be written: {error}", fix=_FIX))

    def _tell_ledger(self, intents: list[Intent]) -> None:
        if intents or self._settled:
            settled, self._settled = self._settled, []
            self._ledger.apply(intents, settled)


def _statements(results: list[Result]) -> Iterator[list[object]]:
    """The values of *results*, a statement's worth at a time."""
    for start in range(0, len(results), _RESULTS_A_STATEMENT):
        some = results[start : start + _RESULTS_A_STATEMENT]
        yield [field for result in some for field in result[:5]]


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
