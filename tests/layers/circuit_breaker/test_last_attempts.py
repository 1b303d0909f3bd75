"""When a row's last attempt is made while its pool serves nobody."""

from __future__ import annotations

import pytest

from claudebatch.layers.circuit_breaker.breaker import Breaker, Permit
from claudebatch.layers.circuit_breaker.last_attempts import LastAttempts
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy

POLICY = BreakerPolicy(minimum_calls=4, wait_open_s=10)


def waiting(*rows: int) -> LastAttempts:
    """Trouble that began at 0, and rows that have only their last attempt."""
    last = LastAttempts(POLICY)
    last.failed(99, 0.0, spent=False)
    for row in rows:
        last.asks(row, is_probe=False)
    return last


@pytest.mark.parametrize(
    ("failed_at", "due_at"), [((), 10), ((2,), 10), ((10,), 30), ((10, 30), 90), ((66,), 198)]
)
def test_it_is_due_when_the_trouble_is_three_times_as_old_as_at_the_last_failure(failed_at, due_at):
    last = waiting(1)
    for at in failed_at:
        last.failed(99, at, spent=True)
    assert not last.is_due(due_at - 0.1, 1) and last.is_due(due_at, 1)


def test_after_200_seconds_none_is_due():
    last = waiting(1)
    last.failed(99, 67, spent=True)
    assert not last.is_due(299, 1)


def test_none_is_while_a_row_has_attempts_to_spare_or_more_are_to_come():
    last = waiting(1, 2)
    assert not last.is_due(10, 3) and not last.is_due(10, None) and last.is_due(10, 2)
    last.asks(2, is_probe=True)
    assert not last.is_due(10, 2), "it was given more"


def test_an_answer_ends_the_trouble():
    last = waiting(1)
    last.failed(99, 60, spent=True)
    last.served(2, 65)
    last.closed()
    last.failed(99, 70, spent=False)
    last.asks(1, is_probe=False)
    assert last.spent == 0 and not last.is_due(79.9, 1) and last.is_due(80, 1)


def test_late_answers_may_be_the_last_that_is_heard():
    last = waiting(1)
    last.served(2, 3.0)
    assert not last.is_due(12.9, 1) and last.is_due(13, 1)
    last.failed(1, 13, spent=True)
    last.asks(2, is_probe=False)
    assert not last.is_due(32.9, 1) and last.is_due(33, 1)


def on_last(breaker: Breaker, row: int, at: float) -> Permit | None:
    """*row* asks, with its last attempt."""
    if breaker.gives_way(at, row, failed=True, on_last=True):
        return None
    return breaker.admits(at, row, on_last=True)


def shut(left: int) -> Breaker:
    """Open since 0, with so many rows left that wait with their last attempt."""
    breaker = Breaker(POLICY, now=0, rows_left=lambda: left)
    for row in range(4):
        breaker.record(breaker.admits(0) or Permit(0, 0), "failed", 0, row, may_be_rows=True)
    assert [on_last(breaker, row, 0.5) for row in range(4)] == [None] * 4
    return breaker


def test_one_at_a_time_is_spent():
    breaker = shut(4)
    assert on_last(breaker, 0, 10) is not None
    assert on_last(breaker, 1, 25) is None, "the first is still out"


def test_an_answer_lets_all_go():
    breaker = shut(4)
    breaker.record(on_last(breaker, 0, 10) or Permit(0, 10), "served", 10.5, 0)
    assert on_last(breaker, 1, 10.6) is not None and on_last(breaker, 2, 10.6) is not None


def test_a_row_that_gives_way_is_counted():
    breaker = shut(5)
    assert on_last(breaker, 0, 10) is None, "one has not asked"
    breaker.gives_way(10, 4, failed=True, on_last=True)
    assert on_last(breaker, 0, 10) is not None
