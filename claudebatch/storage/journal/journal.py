"""Nothing is sent that is not written down first; nothing is shown that is not written
down for good.

Order, as restic keeps it: the attempt's intent with its worst case is committed, then
it is sent; outcome, exact cost and body go into the same row in one commit; only then
the output line is written. Records gather into groups: one commit, one fsync, some tens
of records. The machine-wide ledger gets holds before the journal and settlements after
it, so it may count too much for a while and never too little.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from claudebatch.core.errors import JournalFailed, OutputFailed, ReaderLeft, StopRun
from claudebatch.core.os_faults import os_fault
from claudebatch.core.result_lines import line
from claudebatch.storage.batch_writer import BatchWriter
from claudebatch.storage.journal.records import AttemptIntent, AttemptRecord, Record, ResultRecord
from claudebatch.storage.journal.statements import write_intents, write_outcomes, write_results

Answer = TypeVar("Answer")

# A group gathers this long. It adds some milliseconds to answers that take seconds, and
# saves tens of fsyncs: one for each record would bound the run by the disk.
_LINGER_S = 0.02
# At 512 records a group goes without a wait: a larger one would make the answers in it
# wait for each other's commit.
_ENOUGH = 512
# More unwritten results make the next row wait. Without this bound a slow disk would
# let answers pile up in memory, and a crash would lose all of them.
_BACKLOG = 1000

_READER_FIX = "run the same command again to get the rest: nothing is paid twice"


class ResultsOutput(Protocol):
    """The destination of result lines."""

    def append(self, lines: list[bytes]) -> None:
        """Write whole lines, in order."""
        ...


# Not awaited: the journal's thread calls it between two commits, so the order of
# hold, intent and settlement is that of the calls.
class LedgerSink(Protocol):
    """The machine-wide account of spend."""

    def apply(self, intents: list[AttemptIntent], outcomes: list[AttemptRecord]) -> None:
        """Add holds, durably; turn earlier holds into settlements, soon."""
        ...

    def keep(self, results: list[ResultRecord]) -> None:
        """Count results, some of which cost nothing, without writing anything."""
        ...

    def flush(self) -> None:
        """Write everything that was handed over."""
        ...


class Journal:
    """One run's journal while it goes on. All SQL runs in one thread; all methods are
    called on the event loop.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        output: ResultsOutput,
        ledger: LedgerSink,
        on_failure: Callable[[str], None],
        rescue: Callable[[list[AttemptRecord]], object] | None = None,
    ) -> None:
        """*rescue* takes outcomes that could not be written to the end."""
        self._connection = connection
        self._output = output
        self._ledger = ledger
        self._on_failure = on_failure
        self._rescue = rescue
        # Mutable, and the writing thread's: outcomes that the ledger lacks yet, and
        # records that could not be written and are tried again with the next ones.
        self._settled: list[AttemptRecord] = []
        self._unwritten: list[Record] = []
        self.failure: StopRun | None = None
        """Why nothing may be sent any more. Answers of what was sent are still written
        down, wherever that is possible.
        """
        # Numbers go on where earlier sessions ended: a number used twice would put an
        # outcome into the row of another attempt.
        (last,) = connection.execute("SELECT coalesce(max(attempt), 0) FROM attempts").fetchone()
        self._last_attempt: int = last
        self._groups: BatchWriter[Record] = BatchWriter(
            self._write, name="journal", linger_s=_LINGER_S, enough=_ENOUGH
        )

    def next_attempt(self) -> int:
        """A number that no attempt of this run has had."""
        self._last_attempt += 1
        return self._last_attempt

    async def begin(self, intent: AttemptIntent) -> None:
        """Write an attempt down; when this returns, it is durable and may be sent."""
        written = await self._groups.ask(intent)
        # The group may have failed for a reason of its own, or the journal before it:
        # in both cases this attempt is in no file, and to send it would spend money
        # that nothing shows.
        if not written and self.failure is not None:
            raise self.failure

    async def begin_all(self, intents: Sequence[AttemptIntent]) -> None:
        """As `begin`, for many at once: when this returns, all of them are durable."""
        if intents:
            self._groups.put_all(intents[:-1])
            await self.begin(intents[-1])

    def settle(self, outcome: AttemptRecord) -> None:
        """Write an attempt's outcome down, soon."""
        self._groups.put(outcome)

    async def record(self, outcomes: Sequence[AttemptRecord]) -> None:
        """Write down attempts that nobody began here, each with its intent, whole or
        not at all; when this returns, they are durable.
        """
        # In one group: an intent without its outcome would be held for ever.
        self._groups.put_all([record for one in outcomes for record in (one.intent, one)])
        await self.flush()

    def after(self, then: Callable[[], None]) -> None:
        """Call *then* once what was handed over so far is written down, or could not
        be.
        """
        self._groups.after(then)

    async def finish(self, result: ResultRecord) -> None:
        """Write a row's result down, then its output line, soon; waits only while too
        much is still unwritten.
        """
        # Only this hand-over waits: a worker that holds an answer may not be held up by
        # every commit, or the disk would set the pace.
        if self._groups.backlog > _BACKLOG:
            await self._groups.ask(result)
        else:
            self._groups.put(result)

    async def finish_all(self, results: Sequence[ResultRecord]) -> None:
        """As `finish`, for many rows in one hand-over; waits while those before them
        are still unwritten.
        """
        if results and self._groups.backlog:
            await self._groups.ask(results[0])
            results = results[1:]
        self._groups.put_all(results)

    async def read(self, query: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """The result of *query*, run between two groups of writes."""
        # In the writing thread, because one connection must not be used by two threads
        # at once.
        return await self._groups.call(lambda: query(self._connection))

    async def flush(self) -> None:
        """Wait until everything handed over is written: then `read` sees it."""
        await self._groups.drained()

    async def flush_ledger(self) -> None:
        """Write the known outcomes of attempts into the ledger; not those that are
        still being handed over.
        """
        await self._groups.call(self._flush_ledger)

    async def close(self) -> None:
        """Write everything handed over, update the ledger, stop the thread. The
        connection stays open.
        """
        await self._groups.drained()
        await self._groups.call(self._finish)
        await self._groups.close()

    def _finish(self) -> None:
        # One more try: the disk may have been full only for a while.
        if self._unwritten:
            self._write([])
        # Only outcomes are rescued: they hold answers that are paid for. Results are
        # made from them again, and intents among the unwritten were never sent.
        if self._unwritten and self._rescue is not None:
            self._rescue([record for record in self._unwritten if type(record) is AttemptRecord])
        try:
            self._update_ledger([])
        except (sqlite3.Error, OSError) as error:
            self.fail(
                JournalFailed(
                    "E712",
                    f"the spend ledger cannot be written: {os_fault(error).reason}",
                    fix=os_fault(error).fix,
                )
            )

    def fail(self, failure: StopRun) -> None:
        """Let nothing be sent any more; the first reason is kept."""
        if self.failure is None:
            # Later failures follow from the first one and would hide its cause.
            self.failure = failure
            self._on_failure(failure.message)

    def _write(self, group: list[Record]) -> list[bool]:
        """Whether each of *group* is durable. Answers that were paid for are not given
        up because one write failed.
        """
        # After a failure no new attempt may begin, but outcomes of those in flight
        # still count.
        may_begin = self.failure is None
        records = self._unwritten + [
            record for record in group if may_begin or type(record) is not AttemptIntent
        ]
        try:
            self._commit(records)
        except (sqlite3.Error, OSError) as error:
            # Intents are dropped here: their senders hear of the failure and do not
            # send.
            self._unwritten = [record for record in records if type(record) is not AttemptIntent]
            self.fail(
                JournalFailed(
                    "E713",
                    f"the run's records cannot be written: {os_fault(error).reason}",
                    fix=os_fault(error).fix,
                )
            )
            return [False] * len(group)
        self._unwritten = []
        return [may_begin or type(record) is not AttemptIntent for record in group]

    def _commit(self, group: list[Record]) -> None:
        intents = [record for record in group if type(record) is AttemptIntent]
        outcomes = [record for record in group if type(record) is AttemptRecord]
        results = [record for record in group if type(record) is ResultRecord]
        # Before the transaction of the journal: a crash between the two leaves money
        # held for an attempt that does not exist, never an attempt whose money is not
        # held. Where a batch is collected there are no intents: its answers must not
        # pile up in memory.
        if intents or len(self._settled) >= _ENOUGH:
            self._update_ledger(intents)
        # IMMEDIATE takes the lock for writing at once: a deferred one could fail in its
        # middle.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            write_intents(self._connection, intents)
            write_outcomes(self._connection, outcomes)
            write_results(self._connection, results)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                self._connection.execute("ROLLBACK")
            raise
        # Below the commit: the ledger must not count a cost that the journal may still
        # lose.
        self._settled += outcomes
        if results:
            self._ledger.keep(results)
        # A line on the screen whose answer is not durable could be lost by a power cut,
        # and asked and paid for again with another text.
        if results and self.failure is None:
            self._show(results)

    def _show(self, results: list[ResultRecord]) -> None:
        try:
            self._output.append(
                [line(result.head, result.message, result.place) for result in results]
            )
        except OSError as error:
            # The next session writes them. A line after a lost one would be out of
            # order, and the file no true beginning of the journal's lines any more.
            self.fail(_not_written(error))

    def _flush_ledger(self) -> None:
        try:
            self._update_ledger([])
            self._ledger.flush()
        except (sqlite3.Error, OSError) as error:
            self.fail(
                JournalFailed(
                    "E714",
                    f"the spend ledger cannot be written: {os_fault(error).reason}",
                    fix=os_fault(error).fix,
                )
            )

    def _update_ledger(self, intents: list[AttemptIntent]) -> None:
        if intents or self._settled:
            # Taken before the call: if the ledger fails, its own list still holds them,
            # and a second hand-over would count them twice.
            settled, self._settled = self._settled, []
            self._ledger.apply(intents, settled)


def _not_written(error: OSError) -> OutputFailed:
    if isinstance(error, BrokenPipeError):
        return ReaderLeft("E715", "standard output was closed early (broken pipe)", fix=_READER_FIX)
    return OutputFailed(
        "E716", f"the results cannot be written: {os_fault(error).reason}", fix=os_fault(error).fix
    )


def _journal_failed(what: str, error: Exception) -> JournalFailed:
    fault = os_fault(error)
    return JournalFailed("E717", f"{what} cannot be written: {fault.reason}", fix=fault.fix)
