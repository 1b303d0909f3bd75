"""A run's part of the ledger, put together again from its journal."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from itertools import zip_longest

from claudebatch.core.endings import ANSWER_ENDINGS
from claudebatch.core.errors import StorageError
from claudebatch.storage.columns import LEDGER_COLUMNS, names
from claudebatch.storage.journal.audit import damaged_attempts
from claudebatch.storage.journal.checksums import damaged
from claudebatch.storage.journal.records import AnswerSource
from claudebatch.storage.journal.schema import AttemptState
from claudebatch.storage.ledger.known_batches import note_perhaps_made
from claudebatch.storage.ledger.sums import Sums, SumsKey, add_sums, no_sums
from claudebatch.storage.ledger.tables import ADD_ATTEMPT, ADD_SUMS, DROP_HOLDS, SET_HOLD, SUMS

# Summed by SQL: reading every record into Python would make each start of a long run
# slow.
_OF_ATTEMPTS = {
    "attempts": "count(*)",
    "answers": "sum(state = :answered)",
    "unknown_attempts": "sum(state = :unknown)",
    "unpriced": "sum(NOT cost_known)",
    "spent": "sum(cost)",
    "unknown": "sum(CASE WHEN state = :unknown THEN worst ELSE 0 END)",
    "cached": "0",
    "shared": "0",
    "saved_cache": "0",
    **{end.label: f"sum(state = :answered AND ending = {int(end)})" for end in ANSWER_ENDINGS},
}
_OF_RESULTS = {
    "cached": "sum(x.source = :cache)",
    "shared": "sum(x.source = :duplicate)",
    "saved_cache": "sum(x.saved)",
}
_PARAMETERS = {
    "answered": AttemptState.ANSWERED,
    "unknown": AttemptState.UNKNOWN,
    "sent": AttemptState.SENT,
    "in_batch": AttemptState.IN_BATCH,
    "cache": AnswerSource.CACHE,
    "duplicate": AnswerSource.DUPLICATE,
}
# SENT is left out: the last session may still be sending it, and its hold stands for
# it. So does that of a batch, until it is collected.
_WHICH = "state NOT IN (:sent, :in_batch) AND (:rehearsal OR NOT simulated)"
_IN_BATCHES = "SELECT day, sum(worst) FROM attempts WHERE state = ? AND batch > 0 GROUP BY day"
_ATTEMPT_SUMS = (
    "SELECT day, model, rule,"
    f" {', '.join(_OF_ATTEMPTS.get(name, f'sum({name})') for name in SUMS)}"
    f" FROM attempts WHERE {_WHICH} GROUP BY day, model, rule"
)
# Only rows without a request of their own: the cost of all others is in the attempts.
_RESULT_SUMS = (
    f"SELECT x.day, r.model, r.rule, {', '.join(_OF_RESULTS.get(name, '0') for name in SUMS)}"
    " FROM results x JOIN rows r ON r.row = x.row WHERE x.source IN (:cache, :duplicate)"
    " GROUP BY 1, 2, 3"
)
_LEDGER = names(LEDGER_COLUMNS)
_FROM = {name: f"a.{name}" for name in _LEDGER} | {"id": "coalesce(r.id, '')"}
_DETAILS = (
    f"SELECT {', '.join(_FROM[name] for name in _LEDGER)}"
    " FROM attempts a LEFT JOIN rows r ON r.row = a.row"
    f" WHERE a.{_WHICH} ORDER BY a.attempt"
)
# More rows at a time only take memory; fewer cost a step of Python each.
_AT_ONCE = 1000


def rebuild(
    ledger: sqlite3.Connection,
    run: str,
    journal: sqlite3.Connection,
    *,
    rehearsal: bool,
    anew: bool = False,
) -> None:
    """Replace what *ledger* says of *run* by what its *journal* says, and hold nothing
    for it but the worst cases of its message batches, in one transaction.

    Attempts of the journal without an outcome are left out: the caller has given them
    up before. Where the sums agree already nothing is written, unless *anew*, so that a
    long run is opened again at once.
    """
    parameters = {**_PARAMETERS, "rehearsal": rehearsal}
    sums = _sums(journal, parameters)
    if anew or _ledger_sums(ledger, run) != sums:
        # Before the ledger is locked: it may take seconds, and all other runs would
        # wait.
        _require_sound(journal)
    ledger.execute("BEGIN IMMEDIATE")
    try:
        if anew or _ledger_sums(ledger, run) != sums:
            ledger.execute("DELETE FROM spend WHERE run = ?", (run,))
            ledger.execute("DELETE FROM attempts WHERE run = ?", (run,))
            ledger.executemany(ADD_SUMS, (add_sums(run, key, some) for key, some in sums.items()))
            ledger.executemany(ADD_ATTEMPT, _details(journal, run, parameters))
        # The journal says now what became of all that was held.
        ledger.execute(DROP_HOLDS, (run,))
        note_perhaps_made(ledger, run, journal)
        # What is in batches now may still cost its worst case, whoever runs meanwhile.
        ledger.executemany(SET_HOLD, ((run, *held) for held in held_for_batches(journal)))
        ledger.execute("COMMIT")
    except BaseException:
        if ledger.in_transaction:
            ledger.execute("ROLLBACK")
        raise


def held_for_batches(journal: sqlite3.Connection) -> list[tuple[str, int]]:
    """(UTC day, worst cases) of the rows that are in message batches now."""
    return journal.execute(_IN_BATCHES, (AttemptState.IN_BATCH,)).fetchall()


def agrees(
    ledger: sqlite3.Connection, run: str, journal: sqlite3.Connection, *, rehearsal: bool
) -> bool:
    """Whether *ledger* says of *run* exactly what its *journal* says, in every sum and
    every attempt.
    """
    parameters = {**_PARAMETERS, "rehearsal": rehearsal}
    said = ledger.execute(
        f"SELECT run, {', '.join(_LEDGER)} FROM attempts WHERE run = ? ORDER BY attempt", (run,)
    )
    pairs = zip_longest(said, _details(journal, run, parameters))
    return _ledger_sums(ledger, run) == _sums(journal, parameters) and all(a == b for a, b in pairs)


def _sums(journal: sqlite3.Connection, parameters: dict[str, int]) -> dict[SumsKey, Sums]:
    found = journal.execute(_ATTEMPT_SUMS, parameters).fetchall()
    found += journal.execute(_RESULT_SUMS, parameters).fetchall()
    sums: defaultdict[SumsKey, Sums] = defaultdict(no_sums)
    for day, model, rule, *amounts in found:
        # A flipped type bit, or a sum beyond 64 bits, comes back as a float: never add
        # those up.
        if not all(type(amount) is int for amount in amounts):
            raise _damaged(journal)
        some = sums[day, model, rule]
        for name, amount in zip(SUMS, amounts, strict=True):
            some[name] += amount
    return dict(sums)


def _damaged(journal: sqlite3.Connection) -> StorageError:
    (path,) = journal.execute(
        "SELECT file FROM pragma_database_list WHERE name = 'main'"
    ).fetchone()
    return StorageError(
        "E621",
        f"{path}: this run's records are damaged: what it spent cannot be added up",
        fix="restore the folder from a copy, or start over with --fresh",
    )


def _require_sound(journal: sqlite3.Connection) -> None:
    """Raise `StorageError` before a damaged amount replaces a sound one."""
    attempt = next(damaged_attempts(journal), None)
    if attempt is not None:
        raise damaged(journal, f"what is written down of request {attempt}")


def _ledger_sums(ledger: sqlite3.Connection, run: str) -> dict[SumsKey, Sums] | None:
    """The sums that the ledger has; None when its details are not of as many
    attempts.
    """
    found = ledger.execute(
        f"SELECT day, model, rule, {', '.join(SUMS)} FROM spend WHERE run = ?", (run,)
    )
    sums: dict[SumsKey, Sums] = {
        (day, model, rule): dict(zip(SUMS, amounts, strict=True))
        for day, model, rule, *amounts in found
    }
    # A purged run has sums and no details; and sums alone would not show that details
    # are missing.
    (details,) = ledger.execute("SELECT count(*) FROM attempts WHERE run = ?", (run,)).fetchone()
    return sums if details == sum(some["attempts"] for some in sums.values()) else None


def _details(
    journal: sqlite3.Connection, run: str, parameters: dict[str, int]
) -> Iterator[tuple[object, ...]]:
    cursor = journal.execute(_DETAILS, parameters)
    while some := cursor.fetchmany(_AT_ONCE):
        yield from ((run, *values) for values in some)
