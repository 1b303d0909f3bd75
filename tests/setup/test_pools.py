"""Pools: what each pool starts with, from the configuration."""

from __future__ import annotations

import asyncio

import pytest

from claudebatch.core.domain import Usage
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.local_pool import LocalPool
from claudebatch.layers.rate_limit.settings import RateLimitSettings
from claudebatch.layers.rate_limit.store import Admitted, Delayed
from claudebatch.models.catalog import Catalog
from claudebatch.setup.pools import MOST_IN_FLIGHT, Pools, slots
from tests.support.limiting import rates
from tests.support.scripted import HAIKU, OPUS
from tests.support.settings import settings_of
from tests.support.virtual import now, virtual

NEED = ExpectedUsage(0, 0)
CHOSEN = {"haiku-5.5": {"requests_per_minute": 600}}


def pools(*, most: int = MOST_IN_FLIGHT, **config: object) -> Pools:
    limits = settings_of(**config).limits
    return Pools(limits, Catalog.load(), now=now, most_in_flight=most)


async def seen(pool: LocalPool, rpm: int) -> float | None:
    """The requests a minute in force once an answer has stated *rpm*."""
    answer = await pool.admit(NEED)
    assert isinstance(answer, Admitted)
    stated = Limits(requests=LimitReading(rpm))
    return (await pool.settle(answer.booking, Usage(), stated)).requests_per_minute


@virtual
async def test_an_unconfigured_pool_starts_at_48_requests_a_minute_and_follows_the_first_answer():
    pool, lowest = pools().of(HAIKU), pools(limits={"tier": "start"}).of(HAIKU)
    assert rates(pool) == rates(lowest)
    await pool.admit(NEED)
    wait = await pool.admit(NEED)
    assert isinstance(wait, Delayed) and (wait.seconds, wait.reason) == (1.25, "first answer")
    await asyncio.sleep(1.25)
    assert await seen(pool, 123_456) == 123_456


@virtual
async def test_a_tier_that_was_named_waits_for_no_answer_and_follows_them_too():
    pool = pools(limits={"tier": "build"}).of(HAIKU)
    await pool.admit(NEED)
    wait = await pool.admit(NEED)
    assert isinstance(wait, Delayed) and wait.reason == "gentle start"
    await asyncio.sleep(1)
    assert await seen(pool, 123_456) == 123_456


@virtual
async def test_limits_of_a_pool_that_were_chosen_are_kept_below_what_answers_state():
    made = pools(limits={"pools": CHOSEN})
    assert rates(made.of(HAIKU)) == (600, None, None)
    assert await seen(made.of(HAIKU), 6000) == 600
    await asyncio.sleep(10)
    assert await seen(made.of(HAIKU), 60) == 60
    assert rates(made.of(OPUS)) == rates(pools().of(OPUS))


@virtual
async def test_headroom_is_left_of_what_is_configured_and_of_what_answers_state():
    pool = pools(limits={"headroom": "25%", "tier": "start"}).of(HAIKU)
    assert await seen(pool, 1000) == 750


@pytest.mark.parametrize(
    ("config", "most", "first"),
    [
        ({}, 1000, 64),
        ({}, 20, 20),
        ({"concurrency": 8}, 1000, 8),
        ({"concurrency": 200}, 1000, 200),
    ],
    ids=str,
)
@virtual
async def test_requests_in_flight_start_as_chosen_or_at_64(
    config: dict[str, int], most: int, first: int
):
    assert pools(most=most, **config).of(HAIKU).state.in_flight == first


@virtual
async def test_models_of_a_pool_share_it_and_others_do_not():
    made = pools()
    assert made.of(HAIKU) is made.of(HAIKU)
    assert made.of(HAIKU) is not made.of(OPUS)


@virtual
async def test_a_pool_that_was_away_comes_back_gently_and_one_that_was_never_used_is_no_matter():
    made = pools(limits={"tier": "scale"})
    await made.restart("haiku-5.5")
    pool = made.of(HAIKU)
    await asyncio.sleep(100)
    await made.restart(pool.name)
    await pool.admit(NEED)
    wait = await pool.admit(NEED)
    assert isinstance(wait, Delayed) and wait.seconds == pytest.approx(0.1)


def test_no_more_are_in_flight_than_the_machine_lets() -> None:
    assert slots(RateLimitSettings(concurrency=200), 16) == (16, 16)
    assert slots(RateLimitSettings(concurrency=8), 16) == (8, 8)
    assert slots(RateLimitSettings(), 16) == (16, 16)
    assert slots(RateLimitSettings(concurrency=5000)) == (5000, 5000), (
        "what was asked for, where nothing stands against it"
    )
