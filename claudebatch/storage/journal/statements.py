"""The statements that write attempts and results into the journal, each row with its
seal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from claudebatch.storage.journal.checksums import (
    attempt_seal,
    body_digest,
    intent_seal,
    result_seal,
)
from claudebatch.storage.journal.records import AttemptIntent, AttemptRecord, ResultRecord

_INTENT = (
    "INSERT INTO attempts (attempt, row, model, worst, sent_ms, day, rule, input_estimate, "
    "output_estimate,"
    " output_bound, seal) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
)
_OUTCOME = (
    "UPDATE attempts SET state=?, cost=?, cost_known=?, input_tokens=?, cache_write_5m_tokens=?,"
    " cache_write_1h_tokens=?, cache_read_tokens=?, output_tokens=?, web_searches=?, tier=?, "
    "geo=?, speed=?,"
    " price_version=?, latency_ms=?, status=?, request_id=?, error=?, body=?, simulated=?, "
    "digest=?, seal=?"
    " WHERE attempt=?"
)
_RESULT = "INSERT INTO results (row, ok, head, attempt, body, source, saved, day, seal) VALUES (?,?,?,?,?,?,?,?,?)"
# Python lets go of its lock and takes it again for every statement; while another
# thread is busy that costs more than the insert itself.
_RESULTS_A_STATEMENT = 500
_RESULTS = _RESULT + ",(?,?,?,?,?,?,?,?,?)" * (_RESULTS_A_STATEMENT - 1)


def write_intents(journal: sqlite3.Connection, intents: Iterable[AttemptIntent]) -> None:
    """Write attempts down that are about to be sent."""
    journal.executemany(_INTENT, ((*intent[:10], intent_seal(intent)) for intent in intents))


def write_outcomes(journal: sqlite3.Connection, outcomes: Iterable[AttemptRecord]) -> None:
    """Write down what became of attempts that were written down before."""
    journal.executemany(_OUTCOME, map(_outcome_row, outcomes))


def write_results(journal: sqlite3.Connection, results: Sequence[ResultRecord]) -> None:
    """Write result lines down, in order."""
    whole = len(results) - len(results) % _RESULTS_A_STATEMENT
    journal.executemany(_RESULTS, _statements(results[:whole]))
    journal.executemany(_RESULT, map(_result_row, results[whole:]))


def _outcome_row(outcome: AttemptRecord) -> tuple[object, ...]:
    digest = body_digest(outcome.body)
    fields = (*outcome[:2], int(outcome.cost_known), *outcome[3:17], int(outcome.simulated), digest)
    seal = attempt_seal((*outcome.intent[:10], *fields))
    return *outcome[:19], digest, seal, outcome.attempt


def _result_row(result: ResultRecord) -> tuple[object, ...]:
    row, ok, *rest = result[:8]
    return *result[:8], result_seal((row, int(ok), *rest))


def _statements(results: Sequence[ResultRecord]) -> Iterator[list[object]]:
    """The values of *results*, a statement's worth at a time."""
    for start in range(0, len(results), _RESULTS_A_STATEMENT):
        yield [
            field
            for result in results[start : start + _RESULTS_A_STATEMENT]
            for field in _result_row(result)
        ]
