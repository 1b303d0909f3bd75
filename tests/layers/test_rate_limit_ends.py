"""RateLimit: however a wait ends, nothing is lost: no slot, no token, no request after a drain."""

from __future__ import annotations

import asyncio
import random

import pytest

from claudebatch.domain import Call, Reply, Size
from claudebatch.errors import Draining
from tests.support.cancellation import cuts
from tests.support.limiting import Limiter, used
from tests.support.scripted import (
    HAIKU,
    ScriptedClient,
    bad_request,
    overloaded,
    rate_limited,
    timed_out,
)
from tests.support.virtual import settled, virtual


@virtual
async def test_a_drain_ends_every_wait_at_once():
    limiter = Limiter(rpm=60, itpm=6_000, slots=2)
    client = ScriptedClient(takes_s=1000)
    paced = asyncio.ensure_future(Limiter.send_all(limiter, client, 20))
    await asyncio.sleep(50)
    in_flight = client.in_flight
    limiter.drain.start("interrupted")
    await settled(20)
    assert not paced.done() and client.in_flight == in_flight, "what is in flight is left alone"
    results = await paced
    assert sum(isinstance(result, Draining) for result in results) == 20 - in_flight
    assert len(client.sent) == in_flight
    with pytest.raises(Draining):
        await limiter.send(client)


@virtual
async def test_once_a_drain_has_started_nothing_is_sent_even_where_nothing_would_wait():
    limiter, client = Limiter(), ScriptedClient()
    limiter.drain.start("interrupted")
    with pytest.raises(Draining):
        await limiter.send(client)
    assert client.sent == [] and limiter.pools[HAIKU].slots._value == 64


@pytest.mark.parametrize("limits", [{"slots": 1}, {"rpm": 6}, {"itpm": 6000}], ids=str)
@virtual
async def test_a_drain_ends_the_wait_for(limits):
    limiter, client = Limiter(**limits), ScriptedClient(takes_s=60)
    first = asyncio.ensure_future(limiter.send(client))
    await asyncio.sleep(15)
    second = asyncio.ensure_future(limiter.send(client, size=Size(5000, 5000, 0, 0)))
    third = asyncio.ensure_future(limiter.send(client, size=Size(5000, 5000, 0, 0)))
    await asyncio.sleep(0.001)
    limiter.drain.start("interrupted")
    results = await asyncio.gather(first, second, third, return_exceptions=True)
    assert isinstance(results[0], Reply)
    assert isinstance(results[2], Draining)


@pytest.mark.parametrize(
    "limits",
    [{"slots": 1}, {"rpm": 60, "slots": 2}, {"itpm": 60_000, "slots": 2}, {"rpm": 60, "itpm": 60_000, "slots": 1}],
    ids=str,
)
@virtual
async def test_cancelled_at_any_moment_no_slot_is_lost(limits):
    reached = 0
    for cut in cuts():
        limiter, client = Limiter(**limits), ScriptedClient(takes_s=1)
        others = [asyncio.ensure_future(limiter.send(client, row)) for row in range(limits["slots"])]
        await settled()
        result = await cut.run(limiter.send(client, 99))
        assert isinstance(result, asyncio.CancelledError) is cut.reached, cut
        await asyncio.gather(*others)
        await settled()
        slots = limiter.pools[HAIKU].slots
        assert slots._value == limits["slots"], cut
        await asyncio.wait_for(limiter.send_all(client, 10), 60)
        reached += cut.reached
    assert reached >= 4


@virtual
async def test_tokens_of_what_was_called_off_while_waiting_are_given_back():
    limiter, client = Limiter(itpm=60_000), ScriptedClient(lambda call, before: used(1000, 0))
    waiting = [asyncio.ensure_future(limiter.send(client, row)) for row in range(10)]
    await asyncio.sleep(0.5)
    for task in waiting:
        task.cancel()
    await settled()
    await limiter.send(client)
    assert client.times == pytest.approx([1])


@virtual
async def test_a_thousand_mixed_calls_leave_the_limiter_as_it_was():
    limiter, rng = Limiter(rpm=6000, itpm=10**7, slots=8), random.Random(5)

    def script(call: Call, before: int) -> Exception | None:
        return rng.choice([None, None, overloaded(), timed_out(), bad_request(), rate_limited(1.0)])

    client = ScriptedClient(script, takes_s=0.3)
    tasks = [asyncio.ensure_future(limiter.send(client, row)) for row in range(1000)]
    while not all(task.done() for task in tasks):
        rng.choice(tasks).cancel()
        await asyncio.sleep(0.05)
    await settled()
    assert limiter.pools[HAIKU].slots._value == 8
    assert client.most_in_flight <= 8
