"""One run's writer in the machine-wide ledger.

What it may have spent is in the file before it is sent: as a hold of the run. What
became of it is written later, many attempts at once: their details, the sums, and the
hold less them, in one transaction.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from claudebatch.core.domain import Pico
from claudebatch.storage.journal.records import AttemptIntent, AttemptRecord, ResultRecord
from claudebatch.storage.journal.schema import AnswerSource, AttemptState
from claudebatch.storage.ledger.rebuild import rebuild
from claudebatch.storage.ledger.run_entry import ENTER, RunEntry, entered
from claudebatch.storage.ledger.schema import open_ledger, unusable
from claudebatch.storage.ledger.tables import (
    ADD_ATTEMPT,
    ADD_SUMS,
    DROP_HOLDS,
    SET_HOLD,
    SUMS,
    TAKE_FROM_HOLD,
)

# A hold is written this many times as large as it must be: the next holds then need no
# write of their own. While a run goes on the ledger shows that much more as held; when
# it ends, or is opened again, nothing of it is left.
_AHEAD = 4
# So many attempts are written at the latest: it bounds memory, and what `spend` does
# not show of a run that goes on.
_ENOUGH = 512
_SUM = {name: place for place, name in enumerate(SUMS)}
_UNKNOWN_ATTEMPTS, _SPENT, _UNKNOWN = _SUM["unknown_attempts"], _SUM["spent"], _SUM["unknown"]
_CACHED, _SHARED, _SAVED = _SUM["cached"], _SUM["shared"], _SUM["saved_cache"]

Key = tuple[str, str, str]
"""Day, model and rule: what one line of sums is of."""


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
        # and what has become free since the last write. Then the attempts and the sums
        # that the next write adds.
        self._written: defaultdict[str, Pico] = defaultdict(int)
        self._needed: defaultdict[str, Pico] = defaultdict(int)
        self._freed: defaultdict[str, Pico] = defaultdict(int)
        self._outcomes: list[AttemptRecord] = []
        self._sums: defaultdict[Key, list[int]] = defaultdict(lambda: [0] * len(SUMS))

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

    def apply(self, intents: Sequence[AttemptIntent], outcomes: Sequence[AttemptRecord]) -> None:
        """Hear of *outcomes*, and make sure that the holds of *intents* are durable
        before they are sent.
        """
        for intent in intents:
            self._needed[intent.day] += intent.worst
        for outcome in outcomes:
            intent = outcome.intent
            self._needed[intent.day] -= intent.worst
            self._freed[intent.day] += max(intent.worst, outcome.cost)
            if self._rehearsal or not outcome.simulated:
                self._outcomes.append(outcome)
        # A hold that is free again stands for its cost until that is written.
        short = [
            day
            for day, needed in self._needed.items()
            if needed + self._freed[day] > self._written[day]
        ]
        if (short and not self._shared_budget) or len(self._outcomes) >= _ENOUGH:
            self._write({day: self._needed[day] * _AHEAD for day in short})

    def keep(self, results: Iterable[ResultRecord]) -> None:
        """Hear of results, some of which cost nothing; they are written with what
        follows.
        """
        for result in results:
            if result.source:  # not asked of the API
                line = self._sums[result.day, result.model, result.rule]
                line[_CACHED if result.source == AnswerSource.CACHE else _SHARED] += 1
                line[_SAVED] += result.saved

    def flush(self) -> None:
        """Write everything heard of now: others under the same caps see it as spent,
        and not as held.
        """
        self._write({})

    def close(self) -> None:
        """Write what is left, hold only what is still without an outcome, and close the
        file.

        A shared budget must have released the run's holds by then: they are set to that,
        too.
        """
        self._write({day: self._needed[day] for day in {*self._needed, *self._written}}, last=True)
        self._connection.close()

    def _write(self, targets: Mapping[str, Pico], *, last: bool = False) -> None:
        """Write everything heard of, and the holds of *targets* as large as they say;
        the *last* are the only ones.
        """
        sums = {key: list(line) for key, line in self._sums.items()}
        for outcome in self._outcomes:
            intent = outcome.intent
            key = (intent.day, intent.model, intent.rule)
            _count(sums.setdefault(key, [0] * len(SUMS)), outcome)
        self._commit(sums, targets, last=last)
        # Only now: after a write that failed, the ledger must not take for written what
        # is not.
        self._written.update(targets)
        self._outcomes.clear()
        self._sums.clear()
        self._freed.clear()

    def _commit(
        self, sums: Mapping[Key, Sequence[int]], targets: Mapping[str, Pico], *, last: bool
    ) -> None:
        run, execute = self._run_id, self._connection.executemany
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            execute(ADD_ATTEMPT, (attempt_values(run, outcome) for outcome in self._outcomes))
            execute(ADD_SUMS, ((run, *key, *line) for key, line in sums.items()))
            if last:
                self._connection.execute(DROP_HOLDS, (run,))
            if last or not self._shared_budget:
                execute(
                    SET_HOLD,
                    ((run, day, amount) for day, amount in targets.items() if amount or not last),
                )
            else:
                execute(
                    TAKE_FROM_HOLD,
                    ((line[_SPENT] + line[_UNKNOWN], run, key[0]) for key, line in sums.items()),
                )
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                self._connection.execute("ROLLBACK")
            raise


def attempt_values(run: str, outcome: AttemptRecord) -> tuple[object, ...]:
    """The line of *outcome* in the table `attempts`."""
    (
        state,
        cost,
        cost_known,
        fresh,
        write_5m,
        write_1h,
        read,
        out,
        searches,
        tier,
        geo,
        speed,
        price_version,
        latency_ms,
        status,
        request_id,
        error,
        _,
        _,
        attempt,
        intent,
    ) = outcome
    return (
        run,
        attempt,
        intent.row,
        intent.id,
        intent.day,
        intent.sent_ms,
        intent.model,
        intent.rule,
        tier,
        fresh,
        write_5m,
        write_1h,
        read,
        out,
        searches,
        geo,
        speed,
        price_version,
        cost,
        cost_known,
        intent.worst,
        state,
        request_id,
        error,
        status,
        latency_ms,
        intent.input_estimate,
        intent.output_estimate,
        intent.output_bound,
    )


def _count(line: list[int], outcome: AttemptRecord) -> None:
    """Add *outcome* to the sums of *line*."""
    line[0] += 1
    if outcome.state == AttemptState.ANSWERED:
        line[1] += 1
    elif outcome.state == AttemptState.UNKNOWN:
        line[_UNKNOWN_ATTEMPTS] += 1
        line[_UNKNOWN] += outcome.intent.worst
    if not outcome.cost_known:
        line[3] += 1
    line[4] += outcome.input_tokens
    line[5] += outcome.cache_write_5m_tokens
    line[6] += outcome.cache_write_1h_tokens
    line[7] += outcome.cache_read_tokens
    line[8] += outcome.output_tokens
    line[9] += outcome.web_searches
    line[10] += outcome.cost
