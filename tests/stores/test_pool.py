"""LocalPool: the pace of a pool, in virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest

from claudebatch.config.schema import PoolLimits
from claudebatch.domain import LimitReading, Limits, Size, Usage
from claudebatch.stores.pool import LocalPool
from tests.support.virtual import now, virtual


def pool(**limits: float) -> LocalPool:
    return LocalPool("haiku-5.5", PoolLimits(**limits), concurrency=64, now=now)


async def starts(pool: LocalPool, count: int) -> list[float]:
    """When each of *count* requests may leave, all asking at once."""
    times: list[float] = []

    async def one() -> None:
        await pool.start()
        times.append(now())

    await asyncio.gather(*(one() for _ in range(count)))
    return times


def most_within(times: list[float], seconds: float) -> int:
    return max(sum(begin <= at < begin + seconds for at in times) for begin in times)


@virtual
async def test_180_requests_at_60_a_minute_take_179_seconds():
    times = await starts(pool(requests_per_minute=60), 180)
    assert now() == pytest.approx(179, abs=1)
    assert most_within(times, 1 - 1e-6) == 1, "no burst at the start, nor later"
    assert most_within(times, 60 - 1e-6) == 60


@pytest.mark.parametrize("rpm", [1, 7, 50, 1000, 4000, 10_000])
@virtual
async def test_no_second_sees_more_than_its_share(rpm: int):
    count = min(1000, rpm * 2)
    times = await starts(pool(requests_per_minute=rpm), count)
    assert now() == pytest.approx((count - 1) / rpm * 60, rel=0.02, abs=0.2)
    # A tenth of a second's worth may go at once, so that late timers lose no pace.
    assert most_within(times, 1.0) <= max(2, rpm / 60 * 1.1 + 1)


@virtual
async def test_after_a_rest_there_is_no_burst_either():
    rested = pool(requests_per_minute=60)
    await starts(rested, 3)
    await asyncio.sleep(600)
    times = await starts(rested, 10)
    assert most_within(times, 1 - 1e-6) == 1


@virtual
async def test_ready_says_whether_start_would_wait():
    paced = pool(requests_per_minute=60)
    assert paced.ready()
    await paced.start()
    assert not paced.ready()
    await asyncio.sleep(1)
    assert paced.ready()
    assert pool().ready()


@virtual
async def test_without_limits_nothing_waits():
    assert await starts(pool(), 100) == [0.0] * 100
    assert (await pool().book(Size(10**9, 0, 10**9, 0))).wait_s == 0


@virtual
async def test_the_scarcer_kind_of_token_says_how_long_to_wait_and_why():
    booking = await pool(input_tokens_per_minute=60_000, output_tokens_per_minute=6_000).book(Size(3000, 0, 100, 0))
    assert (booking.wait_s, booking.reason) == (pytest.approx(3), "input tokens per minute")
    booking = await pool(input_tokens_per_minute=60_000, output_tokens_per_minute=6_000).book(Size(3000, 0, 1000, 0))
    assert (booking.wait_s, booking.reason) == (pytest.approx(10), "output tokens per minute")


@virtual
async def test_settling_replaces_the_estimate_by_what_counts_against_the_limit():
    tokens = pool(input_tokens_per_minute=60_000)
    booking = await tokens.book(Size(1000, 0, 0, 0))
    await tokens.settle(
        booking,
        Usage(
            input_tokens=100,
            ephemeral_5m_input_tokens=200,
            ephemeral_1h_input_tokens=300,
            cache_read_input_tokens=10**6,
        ),
    )
    assert (await tokens.book(Size(0, 0, 0, 0))).wait_s == pytest.approx(0.6)


@virtual
async def test_a_cancelled_booking_is_given_back_whole():
    tokens = pool(input_tokens_per_minute=60_000, output_tokens_per_minute=6000)
    for _ in range(1000):
        await tokens.cancel(await tokens.book(Size(5000, 0, 500, 0)))
    assert (await tokens.book(Size(1000, 0, 100, 0))).wait_s == pytest.approx(1)


@virtual
async def test_a_pause_is_kept_and_only_a_longer_one_replaces_it():
    paused = pool()
    assert paused.paused_for() <= 0
    paused.pause(10)
    paused.pause(3)
    assert paused.paused_for() == pytest.approx(10)
    await asyncio.sleep(4)
    paused.pause(20)
    assert paused.paused_for() == pytest.approx(20)


@virtual
async def test_stated_limits_are_taken_over_where_we_have_some_and_only_when_they_differ():
    limited = pool(requests_per_minute=600, input_tokens_per_minute=60_000)
    stated = Limits(LimitReading(60), LimitReading(30_000), LimitReading(1))
    limited.learn(stated)
    assert (await limited.book(Size(1000, 0, 10**6, 0))).wait_s == pytest.approx(2), "output stays without a limit"
    await starts(limited, 10)
    assert now() == pytest.approx(9)
    limited.learn(stated)
    assert not limited.ready(), "the same limits again change nothing"
    limited.learn(Limits())
    assert not limited.ready(), "nor do headers that a gateway has stripped"


@virtual
async def test_those_who_queue_when_the_limit_changes_keep_to_the_new_pace_with_all_others():
    changing = pool(requests_per_minute=60)
    queued = asyncio.ensure_future(starts(changing, 60))
    await asyncio.sleep(5.5)
    changing.learn(Limits(requests=LimitReading(30)))
    later = await starts(changing, 20)
    times = sorted([at for at in await queued if at > 5.5] + later)
    assert most_within(times, 60 - 1e-6) <= 31


@virtual
async def test_large_and_small_requests_at_random_keep_to_the_rate():
    tokens, rng = pool(input_tokens_per_minute=600_000, output_tokens_per_minute=60_000), random.Random(3)
    used: list[tuple[float, int]] = []

    async def one() -> None:
        await asyncio.sleep(rng.random() * 60)
        size = Size(rng.choice([10, 100, 20_000]), 0, rng.choice([1, 50, 2000]), 0)
        booking = await tokens.book(size)
        await asyncio.sleep(booking.wait_s)
        used.append((now(), size.output_tokens))

    await asyncio.gather(*(one() for _ in range(300)))
    total = sum(units for _, units in used)
    assert now() >= (total - 2000) / 1000 - 1
