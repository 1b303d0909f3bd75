"""The counts behind the displays are right, and so are the rates, the waits and the
time that is left.
"""

from __future__ import annotations

import pytest

from claudebatch.core.domain import PICO_PER_USD, Usage
from claudebatch.core.events import (
    AttemptFinished,
    AttemptStarted,
    BreakerChanged,
    ConcurrencyChanged,
    DrainStarted,
    FellBack,
    LimitsSeen,
    Retrying,
    RowFinished,
    RunStarted,
    Waiting,
)
from claudebatch.core.stats.last_minute import LastMinute
from claudebatch.ui.live.tally import Tally

STARTED = RunStarted("run", 100, 10, PICO_PER_USD, 5 * PICO_PER_USD, "out.jsonl", False)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _row(source: str = "api", ok: bool = True, error: str | None = None) -> RowFinished:
    return RowFinished("id", "model", source, ok, error, 5, 7 if source != "api" else 0)  # type: ignore[arg-type]


def test_rows_are_counted_by_what_became_of_them() -> None:
    tally = Tally(Clock())
    for event in (
        STARTED,
        _row(),
        _row("cache"),
        _row("duplicate"),
        _row(ok=False, error="timeout"),
        _row(ok=False),
    ):
        tally(event)
    assert (tally.done, tally.succeeded, tally.failed, tally.cached, tally.shared) == (
        15,
        3,
        2,
        1,
        1,
    )
    assert tally.failures == {"timeout": 1, "unknown": 1}
    assert tally.saved == 14


def test_money_counts_earlier_sessions_and_unknown_outcomes() -> None:
    tally = Tally(Clock())
    tally(STARTED)
    for unknown in (False, True):
        tally(AttemptStarted("m", "p"))
        tally(AttemptFinished("m", "p", None, 100, "timeout" if unknown else None, unknown))
    assert tally.spent == PICO_PER_USD + 200
    assert (tally.requests, tally.unknown_attempts, tally.in_flight) == (2, 1, 0)


def test_each_pool_has_its_own_rates() -> None:
    clock = Clock()
    tally = Tally(clock)
    for _ in range(600):
        tally(AttemptStarted("m", "a"))
        tally(
            AttemptFinished(
                "m",
                "a",
                Usage(input_tokens=10, cache_read_input_tokens=99, output_tokens=2),
                1,
                None,
                False,
            )
        )
        clock.now += 0.1
    tally(AttemptStarted("m", "b"))
    pool = tally.pools["a"]
    assert pool.requests.per_minute(clock.now) == pytest.approx(600, rel=0.03)
    assert pool.input_tokens.per_minute(clock.now) == pytest.approx(6000, rel=0.03)
    assert pool.output_tokens.per_minute(clock.now) == pytest.approx(1200, rel=0.03)
    assert tally.pools["b"].in_flight == 1


@pytest.mark.parametrize("every_s", [0.01, 0.3, 1.0, 7.0])
@pytest.mark.parametrize("start", [0.0, 12345.678])
def test_a_steady_pace_is_read_as_that_pace(every_s: float, start: float) -> None:
    rate, now = LastMinute(), start
    while now < start + 300:
        rate.add(3, now)
        if now > start + 60:
            assert rate.per_minute(now) == pytest.approx(180 / every_s, rel=0.05 + every_s / 59)
        now += every_s


def test_a_rate_forgets_after_a_minute() -> None:
    rate = LastMinute()
    rate.add(600, 5.0)
    assert rate.per_minute(64.0) > 0
    assert rate.per_minute(65.1) == 0
    rate.add(1, 5.0 + 60)
    assert rate.per_minute(65.1) == pytest.approx(1, rel=0.1)


def test_the_first_seconds_are_not_blown_up() -> None:
    rate = LastMinute()
    rate.add(1, 5.0)
    assert rate.per_minute(5.01) == 12
    assert LastMinute().per_minute(5.0) == 0


def test_the_time_left_follows_the_pace_of_the_last_minute() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally(STARTED)
    assert tally.eta_s(clock.now) is None
    for _ in range(30):
        clock.now += 1
        tally(_row())
    assert tally.eta_s(clock.now) == pytest.approx(60, rel=0.1)
    clock.now += 120
    assert tally.eta_s(clock.now) is None


def test_nobody_knows_the_time_left_of_a_run_that_stops() -> None:
    clock = Clock()
    tally = Tally(clock)
    for event in (STARTED, _row(), _row()):
        clock.now += 1
        tally(event)
    assert tally.eta_s(clock.now) is not None
    tally(DrainStarted("interrupted"))
    assert tally.eta_s(clock.now) is None


def test_every_pool_that_waits_is_named_until_its_wait_ends() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally(Waiting("a", "input tokens per minute", 30.0))
    tally(Waiting("b", "rate limited", 12.0))
    waits = tally.waits(clock.now)
    assert [(wait.pool, wait.reason, wait.until - clock.now) for wait in waits] == [
        ("b", "rate limited", 12.0),
        ("a", "input tokens per minute", 30.0),
    ]
    clock.now += 13
    assert [wait.pool for wait in tally.waits(clock.now)] == ["a"]
    clock.now += 30
    assert tally.waits(clock.now) == []


def test_ordinary_pacing_is_no_wait() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally(Waiting("a", "requests per minute", 0.06))
    assert tally.waits(clock.now) == []


def test_retries_that_are_over_are_not_kept() -> None:
    clock = Clock()
    tally = Tally(clock)
    for _ in range(1000):
        tally(Retrying("m", "overloaded_error", 1, 0.5))
        clock.now += 1
    assert len(tally._retries) <= 2


def test_retries_fallbacks_and_breakers_are_seen() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally(Retrying("m", "overloaded_error", 1, 4.0))
    tally(FellBack("id", "m", "n", "overloaded_error"))
    tally(BreakerChanged("p", "open"))
    assert (tally.retries, tally.fallbacks, tally.pools["p"].breaker) == (1, 1, "open")
    assert [wait.reason for wait in tally.waits(clock.now)] == ["retrying after overloaded_error"]


def test_a_retry_is_no_reason_to_wait_while_something_is_in_flight() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally(AttemptStarted("m", "p"))
    tally(Retrying("m", "overloaded_error", 1, 4.0))
    assert tally.waits(clock.now) == []


def test_a_pool_that_waits_before_its_first_request_is_shown_with_its_limits() -> None:
    tally = Tally(Clock())
    tally(Waiting("a", "output tokens per minute", 12.0))
    assert list(tally.pools) == ["a"]


def test_a_run_that_stops_waits_for_nothing() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally(Waiting("a", "rate limited", 12.0))
    tally(Retrying("m", "overloaded_error", 1, 4.0))
    tally(DrainStarted("interrupted"))
    assert tally.waits(clock.now) == []


def test_limits_that_were_seen_count_before_the_configured_ones() -> None:
    tally = Tally(Clock())
    tally(LimitsSeen("p", 50, None, 8000))
    tally(ConcurrencyChanged("p", 12))
    pool = tally.pools["p"]
    assert pool.in_force((1000, 2_000_000, 400_000)) == (50, 2_000_000, 8000)
    assert pool.in_force(None) == (50, None, 8000)
    assert pool.concurrency == 12
