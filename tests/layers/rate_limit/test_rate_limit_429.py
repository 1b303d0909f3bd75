"""RateLimit: a 429 that comes all the same halts the whole pool, and no row fails by
it.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import ApiUnavailable, AttemptError, RateLimited
from claudebatch.core.events import ConcurrencyChanged, Waiting
from tests.support.limiting import Limiter
from tests.support.scripted import HAIKU, OPUS, ScriptedClient, crowded, make_call, rate_limited
from tests.support.virtual import now, virtual


@pytest.mark.parametrize(("retry_after", "pause_s"), [(20.0, 20), (0.5, 0.5), (None, 1), (0.0, 1)])
@virtual
async def test_the_first_429_pauses_the_whole_pool_for_as_long_as_asked_or_a_second(
    retry_after, pause_s
):
    limiter, client = Limiter(), ScriptedClient([rate_limited(retry_after)])
    with pytest.raises(AttemptError):
        await limiter.send(client)
    await asyncio.gather(limiter.send_all(client, 5), limiter.send(client, model=OPUS))
    assert client.to(OPUS)[0].at == 0, "other pools go on"
    times = [sent.at for sent in client.to(HAIKU)][1:]
    assert pause_s <= times[0] <= pause_s * 1.1 + 1e-6
    assert times[-1] - times[0] <= 1, "the first answer ends it"


@virtual
async def test_nothing_leaves_during_a_pause_not_even_what_was_already_in_line():
    limiter = Limiter(rpm=60)
    client = ScriptedClient(lambda call, before: rate_limited(30.0) if before == 3 else None)
    await limiter.send_all(client, 20)
    assert client.times[:4] == pytest.approx([0, 1, 2, 3], abs=0.1)
    assert 33 <= client.times[4] <= 36.2
    assert [later - before for before, later in pairwise(client.times[4:])] == pytest.approx(
        [1] * 15, abs=0.1
    )


@virtual
async def test_a_longer_pause_that_comes_later_counts():
    limiter = Limiter()
    client = ScriptedClient([rate_limited(5.0), rate_limited(60.0)], takes_s=1)
    await limiter.send_all(client, 2)
    await limiter.send(client)
    assert client.times[2] >= 61


@virtual
async def test_no_pause_is_longer_than_the_longest_wait_allowed():
    limiter, client = Limiter(), ScriptedClient([rate_limited(10.0**9)])
    await limiter.send_all(client, 1)
    await limiter.send(client)
    assert 600 <= client.times[1] <= 660


@pytest.mark.parametrize("retry_after", [None, 1.0])
@virtual
async def test_five_minutes_of_429s_meet_one_probe_in_five_seconds_and_a_gentle_end(retry_after):
    limiter = Limiter(rpm=6000)
    client = ScriptedClient(
        lambda call, before: rate_limited(retry_after) if 20 < now() < 320 else None
    )

    async def stubborn(row: int) -> None:
        for _ in range(100):
            try:
                await limiter.send(client, row)
            except RateLimited:
                continue
            return

    await asyncio.gather(*(stubborn(row) for row in range(3000)))
    probes = [at for at in client.times if 28 < at < 320]
    assert 50 <= len(probes) <= 61
    assert all(later - before >= 5 - 1e-6 for before, later in pairwise(probes))
    after = [at for at in client.times if at >= 320]
    assert sum(at < after[0] + 0.5 for at in after) <= 8, "no stampede"


@virtual
async def test_nothing_but_429s_for_too_long_is_an_outage():
    limiter, client = Limiter(), ScriptedClient(lambda call, before: rate_limited(30.0))
    for _ in range(100):
        try:
            await limiter.send(client)
        except ApiUnavailable as error:
            assert (error.id, "nothing but 429s" in error.message) == ("E711", True)
            break
        except RateLimited:
            continue
    assert 900 <= now() <= 960


@virtual
async def test_a_429_about_requests_in_flight_means_fewer_of_them_and_no_pause():
    limiter = Limiter(slots=10)
    await asyncio.sleep(5)
    served = ScriptedClient(takes_s=1)

    async def client(call: Call) -> Reply:
        if served.in_flight == 9 and now() == 5:
            raise crowded()
        return await served(call)

    await asyncio.gather(
        *(limiter.layer(make_call(row=row), client) for row in range(40)), return_exceptions=True
    )
    assert now() <= 11, "nobody waited for long"
    changes = [event.limit for event in limiter.events if isinstance(event, ConcurrencyChanged)]
    assert changes == [10, 8]
    assert not limiter.told("rate limited")


@virtual
async def test_every_wait_says_why_for_how_long_and_who():
    limiter, client = Limiter(rpm=600), ScriptedClient([rate_limited(20.0)])
    await limiter.send_all(client, 1)
    await limiter.send(client, row=7)
    assert [(told.pool, told.id) for told in limiter.told("rate limited")] == [(HAIKU, "row-7")]
    waits = [event for event in limiter.events if isinstance(event, Waiting)]
    assert waits and all(told.seconds > 0 for told in waits)


@virtual
async def test_the_end_of_the_patience_is_not_slept_through():
    limiter, client = Limiter(), ScriptedClient(lambda call, before: rate_limited(600.0))
    for _ in range(2):
        with pytest.raises(RateLimited):
            await limiter.send(client)
    with pytest.raises(ApiUnavailable):
        await limiter.send(client)
    assert now() == pytest.approx(900, abs=0.1), (
        "and not when the second pause of ten minutes is over"
    )


@virtual
async def test_an_api_that_takes_no_request_is_asked_once_a_second_and_ends_the_run_in_time():
    limiter = Limiter(slots=64)
    sent: list[float] = []

    async def client(call: Call) -> Reply:
        sent.append(now())
        raise crowded()

    async def try_on(row: int) -> None:
        for _ in range(1000):
            try:
                await limiter.layer(make_call(row=row), client)
            except RateLimited:
                continue

    ended = await asyncio.gather(*(try_on(row) for row in range(64)), return_exceptions=True)
    assert all(isinstance(end, ApiUnavailable) for end in ended)
    assert now() == pytest.approx(900, abs=2)
    assert len(sent) <= 64 + 901


@virtual
async def test_a_row_that_always_meets_a_429_holds_up_nobody_and_waits_for_its_own():
    limiter, client = (
        Limiter(),
        ScriptedClient(
            lambda call, before: rate_limited() if call.row == 30 else None, takes_s=0.1
        ),
    )
    ended = await limiter.send_all(client, 300)
    errors = [each for each in ended if isinstance(each, RateLimited)]
    assert [(error.pauses_pool, error.retry_after) for error in errors] == [(False, 1.0)]
    assert not limiter.told("rate limited")
