"""What the attempts of earlier sessions count for, as a table."""

from __future__ import annotations

import pytest

from claudebatch.core.tries import RowLimited
from claudebatch.engine.earlier_tries import earlier_429s, earlier_tries
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy
from claudebatch.storage.journal.failed_attempts import FailedAttempt, LimitedAttempt

MODEL = "claude-haiku-5-5"
POLICY = BreakerPolicy(minimum_calls=4)


def failed(row: int, *moments: int, ended: bool = False, rows: bool = True) -> list[FailedAttempt]:
    return [FailedAttempt(row, MODEL, 1000 * at, ended, rows) for at in moments]


OUTAGE = [attempt for row in range(10, 14) for attempt in failed(row, 50, 60)]
CASES = {
    "others were answered after": (failed(1, 10, 20), [15], 1, 2, True),
    "nobody was answered after": (failed(1, 10, 20), [5], 1, 2, False),
    "given up before: all attempts again": (failed(1, 10, 20, ended=True), [15], 1, 0, True),
    "an outage counts for nobody": (OUTAGE, [40, 100], 10, 0, False),
    "an outage at the end of a session": (OUTAGE, [40], 10, 0, False),
    "but for a row that was bad before": (failed(1, 10, 55) + OUTAGE, [40], 1, 2, True),
    "bad rows alone are no outage": (
        [attempt for row in range(4) for attempt in failed(row, 10, 50, 60)],
        [15],
        2,
        3,
        True,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_attempts_of_earlier_sessions(case):
    failures, answers, row, count, bad = CASES[case]
    answered_ms = [1000 * at for at in answers]
    tries = earlier_tries([(failures, answered_ms)], policy=POLICY, left=100).get(row)
    found = (tries.earlier(MODEL), tries.was_bad(MODEL)) if tries else (0, False)
    assert found == (count, bad)


@pytest.mark.parametrize(
    ("left", "answers", "rows", "found"),
    [
        (4, 8, True, (2, True)),
        (4, 7, True, (0, False)),
        (5, 100, True, (0, False)),
        (4, 8, False, (0, False)),
    ],
    ids=["all that are left", "few were answered", "another was not asked", "as no row fails"],
)
def test_rows_that_all_failed_after_the_last_of_many_answers_are_bad(left, answers, rows, found):
    failures = OUTAGE[:-1] + failed(13, 60, rows=rows)
    tries = earlier_tries([(failures, list(range(answers)))], policy=POLICY, left=left)[10]
    assert (tries.earlier(MODEL), tries.was_bad(MODEL)) == found


@pytest.mark.parametrize(
    ("refused_ms", "let_in_ms", "found"),
    [
        ([10, 20, 30], [15, 25, 40], RowLimited(0, 2, others_served=True)),
        ([10, 20, 30], [5, 15], RowLimited(0, 1, others_served=True)),
        ([10, 20, 30], [40], RowLimited(0, 0, others_served=True)),
        ([10, 20, 30], [5, 10], RowLimited(0, 0)),
        ([10], [], RowLimited(0, 0)),
    ],
    ids=["others each time", "others once", "others after", "others before", "no others"],
)
def test_429s_of_earlier_sessions(refused_ms, let_in_ms, found):
    attempts = [LimitedAttempt(7, MODEL, at) for at in refused_ms]
    assert earlier_429s(attempts, {MODEL: let_in_ms}) == {7: {MODEL: found}}
