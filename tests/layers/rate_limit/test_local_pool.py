"""LocalPool: pace, requests in flight and the last gate of a pool, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from claudebatch.core.domain import Usage
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage, PoolBooking
from claudebatch.layers.rate_limit.local_pool import LocalPool
from claudebatch.layers.rate_limit.store import Admitted, Delayed
from claudebatch.simulator.limits import SimulatedBucket as ApiBucket
from tests.support.limiting import make_pool, rates
from tests.support.virtual import now, virtual

NEED = ExpectedUsage(1000, 500)
USED = Usage(input_tokens=1000, output_tokens=500)


async def booked(pool: LocalPool, need: ExpectedUsage = NEED) -> PoolBooking:
    """Book, waiting as long as it says."""
    for _ in range(1000):
        answer = await pool.admit(need)
        if isinstance(answer, Admitted):
            return answer.booking
        await asyncio.sleep(answer.seconds)
    raise AssertionError("it waits for ever")


def delay(answer: Admitted[PoolBooking] | Delayed) -> tuple[float, str]:
    """How long and why an attempt must wait."""
    assert isinstance(answer, Delayed)
    return answer.seconds, answer.reason


async def starts(pool: LocalPool, count: int, *, api: ApiBucket | None = None) -> list[float]:
    """When *count* requests leave, one by one and answered at once; *api* admits them
    and says what is left.
    """
    times: list[float] = []
    for _ in range(count):
        booking = await booked(pool)
        times.append(now())
        if api is not None:
            assert api.wait_for(1, now()) == 0
            api.take(1, now())
        left = LimitReading(None, int(api.level(now()))) if api else LimitReading()
        await pool.settle(booking, USED, Limits(requests=left))
    return times


def most_within(times: list[float], seconds: float) -> int:
    return max(sum(begin <= at < begin + seconds for at in times) for begin in times)


@virtual
async def test_180_requests_at_60_a_minute_take_three_minutes_and_no_minute_sees_61():
    times = await starts(make_pool(requests_per_minute=60), 180)
    assert now() == pytest.approx(179 / 0.985, abs=1)
    assert most_within(times, 0.9) == 1, "no burst at the start, nor later"
    assert most_within(times, 60 - 1e-6) == 60


@pytest.mark.parametrize("rpm", [1, 7, 50, 1000, 4000, 10_000])
@virtual
async def test_no_second_sees_more_than_its_share(rpm: int):
    count = min(1000, rpm * 2)
    times = await starts(make_pool(requests_per_minute=rpm), count)
    assert now() >= (count - 1) / rpm * 60 * 0.99
    assert now() <= (count - 1) / rpm * 60 * 1.02 + 4, "the gentle start costs some seconds, once"
    assert most_within(times, 1.0) <= max(2, rpm / 60 * 1.16 + 1)


@virtual
async def test_after_a_rest_there_is_no_burst_either():
    rested = make_pool(requests_per_minute=60)
    await starts(rested, 3)
    await asyncio.sleep(600)
    assert most_within(await starts(rested, 10), 0.9) == 1


@virtual
async def test_what_headers_show_to_be_saved_up_is_used_and_not_at_once():
    pool = make_pool(requests_per_minute=600)
    times = await starts(pool, 1200, api=ApiBucket(600, 60, now()))
    assert now() == pytest.approx(60, rel=0.1), "600 of the first minute and 600 that were saved up"
    assert most_within(times, 1.0) <= 230


@virtual
async def test_without_limits_nothing_waits_after_the_start():
    pool = make_pool()
    await asyncio.sleep(5)
    assert await starts(pool, 100) == [5.0] * 100


@virtual
async def test_a_clump_that_a_busy_loop_let_go_is_spaced_by_the_gate():
    pool, times = make_pool(requests_per_minute=6000), []

    async def one() -> None:
        await pool.depart()
        times.append(now())

    await asyncio.gather(*(one() for _ in range(105)))
    assert most_within(times, 0.1 - 1e-6) <= 22
    assert now() == pytest.approx(0.9, abs=0.1)


@virtual
async def test_the_gate_follows_the_limits():
    pool = make_pool(requests_per_minute=6000)
    await pool.depart()
    booking = await booked(pool)
    await pool.settle(booking, USED, Limits(requests=LimitReading(600)))
    began = now()
    for _ in range(21):
        await pool.depart()
    assert now() - began == pytest.approx(20 / 10.5, abs=0.2)


@virtual
async def test_no_more_are_booked_than_there_are_slots():
    pool = make_pool(slots=2)
    await asyncio.sleep(5)
    first = await booked(pool)
    await booked(pool)
    full = await pool.admit(NEED)
    assert delay(full) == (60.0, "requests in flight"), "an answer rings before that"
    await pool.settle(first, USED, None)
    assert isinstance(await pool.admit(NEED), Admitted)


@virtual
async def test_a_full_house_that_may_grow_says_when():
    pool = make_pool(slots=1, most=100)
    await asyncio.sleep(5)
    await pool.settle(await booked(pool), USED, None)
    sent = [await booked(pool) for _ in range(pool.state.in_flight)]
    assert len(sent) == 2
    assert isinstance(await pool.admit(NEED), Admitted), "it doubles"
    assert pool.state.in_flight == 4


@virtual
async def test_nothing_is_taken_where_one_of_all_says_no():
    pool = make_pool(slots=1, input_tokens_per_minute=60_000)
    await asyncio.sleep(10)
    held = await booked(pool, ExpectedUsage(0, 0))
    for _ in range(100):
        assert isinstance(await pool.admit(ExpectedUsage(400, 0)), Delayed)
    await pool.cancel(held, counted=False)
    assert isinstance(await pool.admit(ExpectedUsage(400, 0)), Admitted)


@pytest.mark.parametrize("end", ["settled", "cancelled", "counted", "refused", "crowded"])
@virtual
async def test_however_a_request_ends_its_slot_is_free(end: str):
    pool = make_pool(slots=4)
    for _ in range(20):
        booking = await booked(pool)
        match end:
            case "settled":
                await pool.settle(booking, USED, None)
            case "refused":
                await pool.refuse(booking, "rate", 1.0)
            case "crowded":
                await pool.refuse(booking, "concurrency", 1.0)
            case _:
                await pool.cancel(booking, counted=end == "counted")
    assert pool._concurrency.in_flight == 0


@virtual
async def test_too_many_in_flight_means_fewer_and_no_pause():
    pool = make_pool(slots=10)
    await asyncio.sleep(5)
    sent = [await booked(pool) for _ in range(10)]
    await pool.refuse(sent[0], "concurrency", 20.0)
    assert (pool.state.in_flight, pool.state.limited_s) == (8, 0)
    assert delay(await pool.admit(NEED)) == (60.0, "requests in flight")
    for booking in sent[1:4]:
        await pool.settle(booking, USED, None)
    assert isinstance(await pool.admit(NEED), Admitted)


@virtual
async def test_any_other_429_pauses_the_pool_and_leaves_the_slots():
    pool = make_pool(slots=10)
    await pool.refuse(await booked(pool), "rate", 20.0)
    assert delay(await pool.admit(NEED)) == (20.0, "rate limited")
    assert pool.state.in_flight == 10
    await asyncio.sleep(21)
    assert pool.state.limited_s == pytest.approx(21)


@virtual
async def test_who_was_away_comes_back_gently():
    pool = make_pool(requests_per_minute=60_000)
    await asyncio.sleep(100)
    await pool.restart()
    assert most_within(await starts(pool, 10), 0.5) <= 9


@virtual
async def test_what_limits_it_now_is_told():
    pool = make_pool(slots=7, requests_per_minute=600, input_tokens_per_minute=60_000)
    assert (rates(pool), pool.state.in_flight) == ((600, 60_000, None), 7)
    assert rates(make_pool()) == (None, None, None)
