"""RateLimit: however a wait ends, nothing is lost: no slot, no token, no turn, no
request after a drain.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from claudebatch.core.domain import Call, Reply, Size
from claudebatch.core.errors import Draining
from tests.support.cancellation import cuts
from tests.support.limiting import Limiter, used
from tests.support.scripted import ScriptedClient, bad_request, overloaded, rate_limited, timed_out
from tests.support.virtual import settled, virtual

LARGE = Size(5000, 5000, 0, 0)


@virtual
async def test_a_drain_ends_every_wait_at_once():
    limiter = Limiter(rpm=60, itpm=6_000, slots=2)
    client = ScriptedClient(takes_s=1000)
    paced = asyncio.ensure_future(limiter.send_all(client, 20))
    await asyncio.sleep(50)
    in_flight = client.in_flight
    assert in_flight == 2
    limiter.drain.start("interrupted")
    await settled(20)
    assert not paced.done() and client.in_flight == in_flight, "what is in flight is left alone"
    results = await paced
    assert sum(isinstance(result, Draining) for result in results) == 20 - in_flight
    assert len(client.sent) == in_flight
    with pytest.raises(Draining):
        await limiter.send(client)
    assert limiter.in_flight() == 0


@virtual
async def test_once_a_drain_has_started_nothing_is_sent_even_where_nothing_would_wait():
    limiter, client = Limiter(), ScriptedClient()
    limiter.drain.start("interrupted")
    with pytest.raises(Draining):
        await limiter.send(client)
    assert client.sent == [] and limiter.in_flight() == 0


@pytest.mark.parametrize(
    "limits", [{"slots": 1}, {"rpm": 3}, {"itpm": 6000}, {"cautious": True, "rpm": 60}], ids=str
)
@virtual
async def test_a_drain_ends_the_wait_for(limits):
    limiter, client = Limiter(**limits), ScriptedClient(takes_s=60)
    first = asyncio.ensure_future(limiter.send(client))
    await asyncio.sleep(15)
    second = asyncio.ensure_future(limiter.send(client, size=LARGE))
    third = asyncio.ensure_future(limiter.send(client, size=LARGE))
    await asyncio.sleep(0.001)
    limiter.drain.start("interrupted")
    results = await asyncio.gather(first, second, third, return_exceptions=True)
    assert isinstance(results[0], Reply)
    assert isinstance(results[2], Draining)
    assert limiter.in_flight() == 0


@virtual
async def test_a_drain_ends_a_pause():
    limiter, client = Limiter(), ScriptedClient([rate_limited(60.0)])
    await limiter.send_all(client, 1)
    waiting = asyncio.ensure_future(limiter.send_all(client, 5))
    await asyncio.sleep(1)
    limiter.drain.start("interrupted")
    assert {type(result) for result in await waiting} == {Draining}
    assert len(client.sent) == 1


@pytest.mark.parametrize(
    "limits",
    [
        {"slots": 1},
        {"rpm": 60, "slots": 2},
        {"itpm": 60_000, "slots": 2},
        {"rpm": 60, "itpm": 60_000, "slots": 1},
    ],
    ids=str,
)
@virtual
async def test_cancelled_at_any_moment_no_slot_and_no_turn_is_lost(limits):
    reached = 0
    for cut in cuts():
        limiter, client = Limiter(**limits), ScriptedClient(takes_s=1)
        others = [
            asyncio.ensure_future(limiter.send(client, row)) for row in range(limits["slots"] + 1)
        ]
        await settled()
        result = await cut.run(limiter.send(client, 99))
        assert isinstance(result, asyncio.CancelledError) is cut.reached, cut
        await asyncio.gather(*others)
        await settled()
        assert limiter.in_flight() == 0, cut
        await asyncio.wait_for(limiter.send_all(client, 10), 60)
        reached += cut.reached
    assert reached >= 4


@virtual
async def test_cancelled_at_the_gate_the_booking_is_given_back():
    limiter, client = Limiter(itpm=60_000), ScriptedClient()
    pool = limiter.pools["claude-haiku-5-5"]

    async def closed() -> None:
        await asyncio.sleep(1000)

    opened, pool.depart = pool.depart, closed  # type: ignore[method-assign]
    waiting = asyncio.ensure_future(limiter.send(client, size=LARGE))
    await asyncio.sleep(10)
    assert limiter.in_flight() == 1
    waiting.cancel()
    await settled()
    assert limiter.in_flight() == 0
    pool.depart = opened  # type: ignore[method-assign]
    await asyncio.wait_for(limiter.send(client), 1)


@virtual
async def test_what_was_called_off_while_waiting_took_no_tokens():
    limiter, client = Limiter(itpm=60_000), ScriptedClient(lambda call, before: used(1000, 0))
    await limiter.send(client)
    waiting = [asyncio.ensure_future(limiter.send(client, row)) for row in range(10)]
    await asyncio.sleep(0.3)
    for task in waiting:
        task.cancel()
    await settled()
    await limiter.send(client)
    assert client.times == pytest.approx([0, 1.5 / 0.985], abs=0.02)


@virtual
async def test_a_thousand_mixed_calls_leave_the_limiter_as_it_was():
    limiter, rng = Limiter(rpm=6000, itpm=10**7, slots=8), random.Random(5)

    def script(call: Call, before: int) -> Exception | None:
        return rng.choice(
            [None] * 20 + [overloaded(), timed_out(), bad_request(), rate_limited(1.0)]
        )

    client = ScriptedClient(script, takes_s=0.3)
    tasks = [asyncio.ensure_future(limiter.send(client, row)) for row in range(1000)]
    while not all(task.done() for task in tasks):
        rng.choice(tasks).cancel()
        await asyncio.sleep(0.5)
    await settled()
    assert limiter.in_flight() == 0
    assert client.most_in_flight <= 8
    await asyncio.wait_for(limiter.send_all(client, 5), 100)
