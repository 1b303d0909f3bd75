"""The statements that write attempts and results into the journal, each row with its
checksum.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from claudebatch.storage.columns import (
    BODY,
    CHECKSUM,
    DIGEST,
    INTENT_COLUMNS,
    OUTCOME_COLUMNS,
    RESULT_COLUMNS,
    assigned,
    listed,
    marks,
    values_of,
)
from claudebatch.storage.journal.checksums import (
    attempt_checksum,
    body_digest,
    intent_checksum,
    result_checksum,
)
from claudebatch.storage.journal.records import AttemptIntent, AttemptRecord, ResultRecord
from claudebatch.storage.journal.schema import AttemptState

# The intent's columns are not written again: what was said before the request was sent
# must not change with its outcome.
_OUTCOME = (*OUTCOME_COLUMNS, DIGEST, BODY, CHECKSUM)
_WRITTEN_RESULT = (*RESULT_COLUMNS, CHECKSUM)
_INSERT_INTENT = (
    f"INSERT INTO attempts ({listed((*INTENT_COLUMNS, CHECKSUM))})"
    f" VALUES ({marks(len(INTENT_COLUMNS) + 1)})"
)
_INSERT_IN_BATCH = (
    f"INSERT INTO attempts ({listed((*INTENT_COLUMNS, CHECKSUM))}, state)"
    f" VALUES ({marks(len(INTENT_COLUMNS) + 1)}, {AttemptState.IN_BATCH:d})"
)
_UPDATE_OUTCOME = f"UPDATE attempts SET {assigned(_OUTCOME)} WHERE attempt = ?"
_RESULT_MARKS = f"({marks(len(_WRITTEN_RESULT))})"
_INSERT_RESULT = f"INSERT INTO results ({listed(_WRITTEN_RESULT)}) VALUES {_RESULT_MARKS}"
# Python's `sqlite3` releases and takes the interpreter's lock for every statement;
# while the event loop is busy that costs more than the insert itself.
_RESULTS_A_STATEMENT = 500
_INSERT_RESULTS = _INSERT_RESULT + f", {_RESULT_MARKS}" * (_RESULTS_A_STATEMENT - 1)

_intent_values = values_of(INTENT_COLUMNS)
_outcome_values = values_of(OUTCOME_COLUMNS)
_result_values = values_of(RESULT_COLUMNS)


def write_intents(journal: sqlite3.Connection, intents: Iterable[AttemptIntent]) -> None:
    """Write down attempts that are about to be sent, by themselves or in a batch."""
    alone, in_batch = [], []
    for intent in intents:
        values = _intent_values(intent)
        if intent.batch:
            in_batch.append((*values, intent_checksum(values, AttemptState.IN_BATCH)))
        else:
            alone.append((*values, intent_checksum(values)))
    journal.executemany(_INSERT_INTENT, alone)
    journal.executemany(_INSERT_IN_BATCH, in_batch)


def write_outcomes(journal: sqlite3.Connection, outcomes: Iterable[AttemptRecord]) -> None:
    """Write down the outcomes of attempts whose intents are there already."""
    journal.executemany(_UPDATE_OUTCOME, map(_outcome_row, outcomes))


def write_results(journal: sqlite3.Connection, results: Sequence[ResultRecord]) -> None:
    """Write result lines down, in order."""
    # Full statements first, the rest one by one: a statement for every length would be
    # parsed anew each time.
    whole = len(results) - len(results) % _RESULTS_A_STATEMENT
    journal.executemany(_INSERT_RESULTS, _statements(results[:whole]))
    journal.executemany(_INSERT_RESULT, map(_result_row, results[whole:]))


def _outcome_row(outcome: AttemptRecord) -> tuple[object, ...]:
    """The parameters of `_UPDATE_OUTCOME`."""
    # The digest stands for the body, so that a check of amounts need not read every
    # answer.
    digest, values = body_digest(outcome.body), _outcome_values(outcome)
    checksum = attempt_checksum((*_intent_values(outcome.intent), *values, digest))
    return (*values, digest, outcome.body, checksum, outcome.attempt)


def _result_row(result: ResultRecord) -> tuple[object, ...]:
    values = _result_values(result)
    return (*values, result_checksum(values))


def _statements(results: Sequence[ResultRecord]) -> Iterator[list[object]]:
    """The values of *results*, a statement's worth at a time."""
    for start in range(0, len(results), _RESULTS_A_STATEMENT):
        yield [
            field
            for result in results[start : start + _RESULTS_A_STATEMENT]
            for field in _result_row(result)
        ]
