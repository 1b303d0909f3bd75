"""A pool has one wait at a time, and the time that it stood still is counted once."""

from __future__ import annotations

from math import inf

import pytest

from claudebatch.core.events import Waiting
from claudebatch.core.stats.pool_waits import PoolWaits


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standing(clock: Clock) -> PoolWaits:
    return PoolWaits(clock)


def reasons(standing: PoolWaits, now: float) -> list[str]:
    return [wait.reason for wait in standing.waits(now)]


def test_waits_that_overlap_are_counted_once(standing, clock):
    for behind in range(64):
        standing.waiting(Waiting("p", "output tokens per minute", 10.0 + behind / 64))
    assert standing.stood(110.5) == {("p", "output tokens per minute"): pytest.approx(10.5)}
    assert standing.stood(999) == {("p", "output tokens per minute"): pytest.approx(10 + 63 / 64)}


def test_one_wait_after_the_other_is_the_sum(standing, clock):
    for _ in range(100):
        standing.waiting(Waiting("p", "requests per minute", 0.5))
        clock.now += 0.5
    standing.waiting(Waiting("p", "rate limited", 7.0))
    standing.waiting(Waiting("q", "rate limited", 2.0))
    assert standing.stood(clock.now + 60) == {
        ("p", "requests per minute"): pytest.approx(50),
        ("p", "rate limited"): 7.0,
        ("q", "rate limited"): 2.0,
    }


def test_the_last_wait_told_replaces_the_one_before(standing, clock):
    standing.waiting(Waiting("p", "output tokens per minute", 60.0))
    clock.now += 10
    standing.waiting(Waiting("p", "rate limited", 5.0))
    assert reasons(standing, clock.now) == ["rate limited"]
    assert reasons(standing, clock.now + 6) == []
    assert standing.stood(999) == {
        ("p", "output tokens per minute"): 10.0,
        ("p", "rate limited"): 5.0,
    }


def test_a_row_that_waits_is_no_reason_of_a_pool_that_waits_already(standing, clock):
    standing.waiting(Waiting("p", "rate limited", 5.0))
    standing.waiting(Waiting("p", "retry budget", 9.0))
    assert reasons(standing, clock.now) == ["rate limited"]
    clock.now += 6
    standing.waiting(Waiting("p", "retry budget", 9.0))
    assert reasons(standing, clock.now) == ["retry budget"]


def test_a_wait_for_money_lasts_until_its_end_is_told_and_gives_way_to_that_of_a_pool(
    standing, clock
):
    standing.waiting(Waiting("p", "money", inf))
    clock.now += 1000
    assert reasons(standing, clock.now) == ["money"]
    standing.waiting(Waiting("p", "money", 0.0))
    assert reasons(standing, clock.now) == []
    standing.waiting(Waiting("p", "money", inf))
    standing.waiting(Waiting("p", "rate limited", 5.0))
    standing.waiting(Waiting("p", "money", 0.0))
    assert reasons(standing, clock.now) == ["rate limited"]
    assert standing.stood(clock.now + 9) == {("p", "money"): 1000.0, ("p", "rate limited"): 5.0}


def test_a_request_that_leaves_ends_the_wait_early(standing, clock):
    standing.waiting(Waiting("p", "output tokens per minute", 60.0))
    clock.now += 2
    standing.started("q")
    assert reasons(standing, clock.now) == ["output tokens per minute"]
    standing.started("p")
    assert reasons(standing, clock.now) == []
    assert standing.stood(999) == {("p", "output tokens per minute"): 2.0}


def test_a_request_that_had_been_let_go_before_does_not_end_the_wait_of_the_next(standing, clock):
    standing.waiting(Waiting("p", "output tokens per minute", 60.0))
    clock.now += 0.02  # the one before was written down meanwhile, and leaves only now
    standing.started("p")
    assert reasons(standing, clock.now) == ["output tokens per minute"]
