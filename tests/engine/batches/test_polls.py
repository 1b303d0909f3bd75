"""When a batch is asked about next."""

from __future__ import annotations

from claudebatch.core.errors import AttemptError, BatchNotFound
from claudebatch.engine.batches.polls import Polls

NOT_FOUND = BatchNotFound("no such batch", type="not_found_error", status=404)


def waits(count: int, retry_after: float | None = 10.0) -> list[float]:
    polls, now, found = Polls(0.0), 0.0, []
    for _ in range(count):
        found.append(polls.due - now)
        now = polls.due
        polls.answered(now, retry_after)
    return found


def test_it_begins_with_ten_seconds_and_ends_with_a_minute():
    found = waits(10)
    assert found[0] == 10.0
    assert found == sorted(found)
    assert found[-1] == 60.0


def test_the_api_may_ask_for_longer():
    assert waits(3, retry_after=300.0)[1:] == [300.0, 300.0]


def test_no_wait_that_the_api_asks_for_outlasts_an_outage():
    away = AttemptError("busy", type="overloaded_error", status=503, retry_after=1e9)
    polls = Polls(0.0, max_outage_s=15.0)
    polls.failed(10.0, away)
    assert polls.due == 25.0
    polls.answered(25.0, 1e9)
    # The usual wait of an answered question is not an outage's.
    assert polls.due == 25.0 + 22.5
    polls.failed(50.0, away)
    assert polls.due == 65.0
    assert waits(2, retry_after=1e9)[1] == 900.0


def test_a_404_is_patience_for_a_quarter_of_an_hour():
    polls, now = Polls(0.0), 0.0
    believed = []
    while now < 1000.0:
        now = polls.due
        believed.append((now, polls.failed(now, NOT_FOUND)))
    first = believed[0][0]
    assert all(said == (at - first >= 900.0) for at, said in believed)
    assert believed[-1][1]


def test_an_answer_in_between_begins_the_patience_anew():
    polls = Polls(0.0)
    assert not polls.failed(10.0, NOT_FOUND)
    polls.answered(500.0, None)
    assert not polls.failed(950.0, NOT_FOUND)
    assert not polls.failed(1700.0, NOT_FOUND)
    assert polls.failed(1900.0, NOT_FOUND)


def test_other_faults_never_make_a_batch_vanish():
    polls = Polls(0.0)
    error = AttemptError("busy", type="overloaded_error", status=529, retryable=True)
    assert not any(polls.failed(at * 1000.0, error) for at in range(20))
