"""One run's writer in the machine-wide ledger.

The worst case of an attempt is in the file before it is sent: as a hold of the run. Its
outcome is written later, many attempts at once: their details, the sums, and the hold
less them, in one transaction.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from claudebatch.core.domain import Pico
from claudebatch.storage.columns import LEDGER_COLUMNS, values_of
from claudebatch.storage.journal.records import (
    AnswerSource,
    AttemptIntent,
    AttemptRecord,
    ResultRecord,
)
from claudebatch.storage.ledger.rebuild import held_for_batches, rebuild
from claudebatch.storage.ledger.run_entry import ENTER, RunEntry, entered
from claudebatch.storage.ledger.schema import open_ledger, unusable
from claudebatch.storage.ledger.sums import (
    Sums,
    SumsKey,
    add_sums,
    count_attempt,
    count_free,
    no_sums,
)
from claudebatch.storage.ledger.tables import (
    ADD_ATTEMPT,
    ADD_SUMS,
    DROP_HOLDS,
    SET_HOLD,
    TAKE_FROM_HOLD,
)

# A hold is written this many times as large as it must be: otherwise every group of
# attempts would wait for a commit of the ledger, which takes three fsyncs. While a run
# goes on the ledger shows that much more as held; nothing of it is left at the end.
_AHEAD = 4
# At the latest after so many attempts they are written: otherwise memory would grow,
# and `spend` would show less and less of a run that goes on.
_ENOUGH = 512
_attempt_values = values_of(LEDGER_COLUMNS)


class LedgerWriter:
    """Writes one run into the ledger. Touched by one thread at a time: the journal's,
    while the run goes on.

    Holds are written ahead, in larger sums than are needed at once, and outcomes are
    gathered until the next write: what the file says is spent, unknown and held is
    never less than what is spent, unknown and in flight.

    Under a *shared_budget*, which takes holds out of shared caps, the budget writes the
    holds. The writer only moves money from the run's hold to its spend, as much as an
    attempt cost, so the sum of both stays what the budget has taken.
    """

    def __init__(
        self, connection: sqlite3.Connection, run_id: str, *, rehearsal: bool, shared_budget: bool
    ) -> None:
        self._connection = connection
        self._run_id = run_id
        self._rehearsal = rehearsal
        self._shared_budget = shared_budget
        # Mutable. By day: what is written as held, what is held for attempts in flight,
        # what has become free since the last write, and what of the need is for message
        # batches. Then the attempts and the sums
        # that the next write adds.
        self._written: defaultdict[str, Pico] = defaultdict(int)
        self._needed: defaultdict[str, Pico] = defaultdict(int)
        self._freed: defaultdict[str, Pico] = defaultdict(int)
        self._in_batches: defaultdict[str, Pico] = defaultdict(int)
        self._outcomes: list[AttemptRecord] = []
        self._sums: defaultdict[SumsKey, Sums] = defaultdict(no_sums)

    @classmethod
    def open(
        cls, path: Path, entry: RunEntry, *, rehearsal: bool = False, shared_budget: bool = False
    ) -> LedgerWriter:
        """The ledger at *path*, with the run of *entry* entered; raises `StorageError`.

        Of a *rehearsal* simulated answers count at what they pretend to cost; otherwise
        they are left out.
        """
        connection = open_ledger(path)
        try:
            connection.execute(ENTER, entered(entry))
        except sqlite3.Error as error:
            connection.close()
            raise unusable(path, error, "written") from error
        except BaseException:
            connection.close()
            raise
        return cls(connection, entry.run, rehearsal=rehearsal, shared_budget=shared_budget)

    def rebuild(self, journal: sqlite3.Connection) -> None:
        """Make the ledger say of this run what its journal says, and hold nothing for
        it.
        """
        rebuild(self._connection, self._run_id, journal, rehearsal=self._rehearsal)
        for day, worst in held_for_batches(journal):
            self._written[day] = self._needed[day] = self._in_batches[day] = worst

    def apply(self, intents: Sequence[AttemptIntent], outcomes: Sequence[AttemptRecord]) -> None:
        """Count *outcomes*, and make sure that the holds of *intents* are durable
        before they are sent.
        """
        for intent in intents:
            self._needed[intent.day] += intent.worst
            if intent.batch:
                self._in_batches[intent.day] += intent.worst
        for outcome in outcomes:
            intent = outcome.intent
            self._needed[intent.day] -= intent.worst
            if intent.batch:
                self._in_batches[intent.day] -= intent.worst
            # An answer may cost more than its worst case, by a wrong price: the larger
            # sum stays held until the cost is written.
            self._freed[intent.day] += max(intent.worst, outcome.price.cost)
            # In a real ledger a rehearsal's pretended cost would use up caps.
            if self._rehearsal or not outcome.simulated:
                self._outcomes.append(outcome)
        # A hold that is free again stands for its cost until that is written.
        short = [
            day
            for day, needed in self._needed.items()
            if needed + self._freed[day] > self._written[day]
        ]
        if (short and not self._shared_budget) or len(self._outcomes) >= _ENOUGH:
            self._write({day: self._ahead(day) for day in short})

    def _ahead(self, day: str) -> Pico:
        # A batch is written down once, not attempt by attempt: nothing ahead of it.
        in_batches = self._in_batches[day]
        return (self._needed[day] - in_batches) * _AHEAD + in_batches

    def keep(self, results: Iterable[ResultRecord]) -> None:
        """Count results, some of which cost nothing; they are written with the next
        attempts.
        """
        for result in results:
            free = result.free
            if free.source != AnswerSource.API:
                count_free(self._sums[free.day, free.model, free.rule], free)

    def flush(self) -> None:
        """Write everything now: other runs under the same caps see it as spent, and not
        as held.
        """
        self._write({})

    def close(self) -> None:
        """Write the rest, hold only the attempts without an outcome, and close the
        file.

        A shared budget must have released the run's holds by then: they are set to
        that, too.
        """
        self._write({day: self._needed[day] for day in {*self._needed, *self._written}}, last=True)
        self._connection.close()

    def _write(self, targets: Mapping[str, Pico], *, last: bool = False) -> None:
        """Write everything, and set the holds to *targets*; with *last*, no other hold
        is left.
        """
        # A copy: after a commit that failed, the same outcomes are counted again.
        sums = defaultdict(no_sums, {key: dict(some) for key, some in self._sums.items()})
        for outcome in self._outcomes:
            intent = outcome.intent
            count_attempt(sums[intent.day, intent.model, intent.rule], outcome)
        self._commit(sums, targets, last=last)
        # Below the commit: after a failure nothing of it may pass for written, or it
        # would never be.
        self._written.update(targets)
        self._outcomes.clear()
        self._sums.clear()
        self._freed.clear()

    def _commit(
        self, sums: Mapping[SumsKey, Sums], targets: Mapping[str, Pico], *, last: bool
    ) -> None:
        run, execute = self._run_id, self._connection.executemany
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            execute(ADD_ATTEMPT, ((run, *_attempt_values(outcome)) for outcome in self._outcomes))
            execute(ADD_SUMS, (add_sums(run, key, some) for key, some in sums.items()))
            if last:
                # Holds of days without a target would stay for ever.
                self._connection.execute(DROP_HOLDS, (run,))
            if last or not self._shared_budget:
                execute(
                    SET_HOLD,
                    ((run, day, amount) for day, amount in targets.items() if amount or not last),
                )
            else:
                gone = (
                    (some["spent"] + some["unknown"], day) for (day, _, _), some in sums.items()
                )
                # In the transaction that adds the spend: between two, a cap would count
                # the money twice or not at all.
                execute(TAKE_FROM_HOLD, ((amount, run, day) for amount, day in gone))
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                self._connection.execute("ROLLBACK")
            raise
