"""The counts of a run are right, and so are the rates, the waits and the time that is
left.
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
from claudebatch.core.reports import Bound
from claudebatch.core.stats.last_minute import LastMinute
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.core.stats.snapshot import MinuteLimits

STARTED = RunStarted("run", 100, 10, PICO_PER_USD, 5 * PICO_PER_USD, "out.jsonl", False)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _row(source: str = "api", ok: bool = True, error: str | None = None) -> RowFinished:
    return RowFinished("id", "model", source, ok, error, 5, 7 if source != "api" else 0)  # type: ignore[arg-type]


def test_rows_are_counted_by_what_became_of_them() -> None:
    stats = RunStats(Clock())
    for event in (
        STARTED,
        _row(),
        _row("cache"),
        _row("duplicate"),
        _row(ok=False, error="timeout"),
        _row(ok=False),
    ):
        stats(event)
    run = stats.snapshot(1000.0)
    assert (run.done, run.succeeded, run.failed) == (15, 3, 2)
    assert (run.answered, run.cached, run.shared) == (1, 1, 1)
    assert run.failures == {"timeout": 1, "unknown": 1}
    assert run.saved == 14


def test_money_counts_earlier_sessions_and_unknown_outcomes() -> None:
    stats = RunStats(Clock())
    stats(STARTED)
    for unknown in (False, True):
        stats(AttemptStarted("m", "p"))
        stats(AttemptFinished("m", "p", None, 100, "timeout" if unknown else None, unknown))
    run = stats.snapshot(1000.0)
    assert run.spent == PICO_PER_USD + 100
    assert run.unknown == run.unknown_now == 100
    assert run.used == PICO_PER_USD + 200
    assert (run.requests, run.unknown_attempts, run.in_flight) == (2, 1, 0)


def test_each_pool_has_its_own_rates() -> None:
    clock = Clock()
    stats = RunStats(clock)
    for _ in range(600):
        stats(AttemptStarted("m", "a"))
        stats(
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
    stats(AttemptStarted("m", "b"))
    pools = stats.snapshot(clock.now).pools
    pool = pools["a"]
    assert pool.requests_per_minute == pytest.approx(600, rel=0.03)
    assert pool.input_tokens_per_minute == pytest.approx(6000, rel=0.03)
    assert pool.output_tokens_per_minute == pytest.approx(1200, rel=0.03)
    assert pools["b"].in_flight == 1


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
    stats = RunStats(clock)
    stats(STARTED)
    assert stats.snapshot(clock.now).eta_s is None
    for _ in range(30):
        clock.now += 1
        stats(_row())
    assert stats.snapshot(clock.now).eta_s == pytest.approx(60, rel=0.1)
    clock.now += 120
    assert stats.snapshot(clock.now).eta_s is None


def test_nobody_knows_the_time_left_of_a_run_that_stops() -> None:
    clock = Clock()
    stats = RunStats(clock)
    for event in (STARTED, _row(), _row()):
        clock.now += 1
        stats(event)
    assert stats.snapshot(clock.now).eta_s is not None
    stats(DrainStarted("interrupted"))
    assert stats.snapshot(clock.now).eta_s is None


def test_every_pool_that_waits_is_named_until_its_wait_ends() -> None:
    clock = Clock()
    stats = RunStats(clock)
    stats(Waiting("a", "input tokens per minute", 30.0))
    stats(Waiting("b", "rate limited", 12.0))
    waits = stats.snapshot(clock.now).waits
    assert [(wait.pool, wait.reason, wait.until - clock.now) for wait in waits] == [
        ("b", "rate limited", 12.0),
        ("a", "input tokens per minute", 30.0),
    ]
    clock.now += 13
    assert [wait.pool for wait in stats.snapshot(clock.now).waits] == ["a"]
    clock.now += 30
    assert stats.snapshot(clock.now).waits == ()


def test_ordinary_pacing_is_no_wait() -> None:
    clock = Clock()
    stats = RunStats(clock)
    stats(Waiting("a", "requests per minute", 0.06))
    assert stats.snapshot(clock.now).waits == ()


def test_retries_that_are_over_are_not_kept() -> None:
    clock = Clock()
    stats = RunStats(clock)
    for _ in range(1000):
        stats(Retrying("m", "overloaded_error", 1, 0.5))
        clock.now += 1
    assert len(stats._retry_waits) <= 2


def test_retries_fallbacks_and_breakers_are_seen() -> None:
    clock = Clock()
    stats = RunStats(clock)
    stats(Retrying("m", "overloaded_error", 1, 4.0))
    stats(FellBack("id", "m", "n", "overloaded_error"))
    stats(BreakerChanged("p", "open"))
    run = stats.snapshot(clock.now)
    assert (run.retries, run.fallbacks, run.pools["p"].breaker) == (1, 1, "open")
    assert [wait.reason for wait in stats.snapshot(clock.now).waits] == [
        "retrying after overloaded_error"
    ]


def test_a_retry_is_no_reason_to_wait_while_something_is_in_flight() -> None:
    clock = Clock()
    stats = RunStats(clock)
    stats(AttemptStarted("m", "p"))
    stats(Retrying("m", "overloaded_error", 1, 4.0))
    assert stats.snapshot(clock.now).waits == ()


def test_a_pool_that_waits_before_its_first_request_is_shown_with_its_limits() -> None:
    stats = RunStats(Clock())
    stats(Waiting("a", "output tokens per minute", 12.0))
    assert list(stats.snapshot(1000.0).pools) == ["a"]


def test_a_run_that_stops_waits_for_nothing_and_remembers_for_what_it_has_waited() -> None:
    clock = Clock()
    stats = RunStats(clock)
    stats(Waiting("a", "rate limited", 12.0))
    stats(Retrying("m", "overloaded_error", 1, 4.0))
    clock.now += 3
    stats(DrainStarted("interrupted"))
    run = stats.snapshot(clock.now)
    assert run.waits == ()
    assert run.bound_by == (Bound("a", "rate limited", 3.0),)


def test_limits_that_were_seen_count_before_the_configured_ones() -> None:
    stats = RunStats(Clock())
    stats(LimitsSeen("p", 50, None, 8000))
    stats(ConcurrencyChanged("p", 12))
    pool = stats.snapshot(1000.0).pools["p"]
    configured = MinuteLimits(1000, 2_000_000, 400_000)
    assert pool.limits_in_force(configured) == MinuteLimits(50, 2_000_000, 8000)
    assert pool.limits_in_force(None) == MinuteLimits(50, None, 8000)
    assert pool.concurrency == 12


def test_what_bound_the_run_is_counted_by_pool_and_reason() -> None:
    clock = Clock()
    clock.now = 0.0
    stats = RunStats(clock)
    stats(LimitsSeen("sonnet-5.5", 50, None, 8000))
    stats(Waiting("haiku-5.5", "rate limited", 3.0))
    stats(Waiting("sonnet-5.5", "output tokens per minute", 60.0))
    clock.now = 40.0
    stats(AttemptStarted("claude-sonnet-5-5", "sonnet-5.5"))
    clock.now = 100.0
    run = stats.snapshot(clock.now)
    assert run.bound_by == (
        Bound("sonnet-5.5", "output tokens per minute", 40.0, 8000, "claude-sonnet-5-5"),
        Bound("haiku-5.5", "rate limited", 3.0),
    )
    assert run.requests == 1


def test_tokens_add_up_and_latencies_are_those_of_the_api_to_one_per_cent() -> None:
    stats = RunStats(Clock())
    usage = Usage(1, 20, 300, 4000, 50_000)
    for latency_ms in range(1, 1001):
        stats(AttemptFinished("m", "p", usage, 1, None, False))
        stats(RowFinished("id", "m", "api", True, None, latency_ms, 0))
        stats(RowFinished("id", "m", "cache", True, None, 10**6, 0))
    run = stats.snapshot(1000.0)
    assert run.usage == Usage(1000, 20_000, 300_000, 4_000_000, 50_000_000)
    assert run.p50_ms == pytest.approx(500, rel=0.02)
    assert run.p95_ms == pytest.approx(950, rel=0.02)


def test_a_snapshot_is_not_changed_by_later_events() -> None:
    stats = RunStats(Clock())
    before = stats.snapshot(1000.0)
    for event in (STARTED, AttemptStarted("m", "p"), _row(ok=False)):
        stats(event)
    assert (before.rows, before.requests, before.failed, before.failures) == (0, 0, 0, {})
    assert before.pools == {}
