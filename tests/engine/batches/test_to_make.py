"""When a batch that the API does not take now is tried again."""

from __future__ import annotations

from claudebatch.core.errors import AttemptError, RateLimited
from claudebatch.engine.batches.build import BuiltBatch
from claudebatch.engine.batches.to_make import ToMake
from claudebatch.storage.journal.batch_places import BatchPlace
from claudebatch.storage.journal.batches import BatchRow, BatchState

FULL = RateLimited("the queue is full", type="rate_limit_error", status=429, retry_after=7.0)
AWAY = AttemptError("no answer", type="connection_error", retryable=True)
WRONG = AttemptError("not that way", type="odd_error", status=418)


def waiting(tmp_path) -> ToMake:
    row = BatchRow(1, "nonce", BatchState.READY, 20, 0, 0)
    return ToMake(BuiltBatch(row, tmp_path / "body", (), BatchPlace("")), 0.0)


def test_a_full_queue_is_waited_for_however_long_and_as_long_as_the_api_asks(tmp_path):
    one, now, waits = waiting(tmp_path), 0.0, []
    for _ in range(8):
        assert one.refused(now, FULL, max_outage_s=1.0)
        waits.append(one.due - now)
        now = one.due
    assert waits == [7.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0, 60.0]


def test_no_wait_that_the_api_asks_for_outlasts_an_outage(tmp_path):
    for kind, due in ((RateLimited, 60.0), (AttemptError, 15.0)):
        error = kind("later", type="odd_error", status=503, retryable=True, retry_after=1e9)
        one = waiting(tmp_path)
        assert one.refused(0.0, error, max_outage_s=15.0)
        assert one.due == due


def test_an_outage_is_waited_for_as_long_as_is_set(tmp_path):
    one = waiting(tmp_path)
    assert one.refused(0.0, AWAY, max_outage_s=10.0)
    assert one.refused(10.0, AWAY, max_outage_s=10.0)
    assert not one.refused(10.1, AWAY, max_outage_s=10.0)
    assert not waiting(tmp_path).refused(0.0, WRONG, max_outage_s=10.0)


def test_an_outage_begins_with_its_first_failure_however_long_the_queue_was_full(tmp_path):
    one = waiting(tmp_path)
    assert one.refused(5000.0, FULL, max_outage_s=10.0)
    assert one.refused(5100.0, AWAY, max_outage_s=10.0)
    assert not one.refused(5110.1, AWAY, max_outage_s=10.0)
