"""While spending is paused nothing leaves, whatever the limits allow; what is in flight
is left alone.
"""

from __future__ import annotations

import asyncio

import pytest

from claudebatch.core.errors import Draining
from tests.support.limiting import Limiter
from tests.support.scripted import HAIKU, OPUS, ScriptedClient
from tests.support.virtual import now, virtual


@virtual
async def test_nothing_leaves_in_a_pause_and_all_pools_go_on_after_it():
    limiter, client = Limiter(), ScriptedClient()
    limiter.drain.pause(300)
    await asyncio.gather(limiter.send_all(client, 20, HAIKU), limiter.send_all(client, 20, OPUS))
    assert len(client.times) == 40
    assert min(client.times) >= 300
    assert {(wait.pool, wait.seconds) for wait in limiter.told("spending paused")} == {
        (HAIKU, 300.0),
        (OPUS, 300.0),
    }


@virtual
async def test_a_pause_that_comes_while_requests_wait_for_their_pace_holds_them_up():
    limiter, client = Limiter(rpm=60), ScriptedClient()
    sending = asyncio.ensure_future(limiter.send_all(client, 30))
    await asyncio.sleep(10.5)
    before = len(client.times)
    limiter.drain.pause(100)
    await sending
    assert [moment for moment in client.times if 10.5 < moment < 110.5] == []
    assert before >= 8
    assert len(client.times) == 30


@virtual
async def test_what_is_in_flight_when_the_pause_begins_gets_its_answer():
    limiter, client = Limiter(), ScriptedClient(takes_s=5)
    sending = asyncio.ensure_future(limiter.send(client))
    await asyncio.sleep(1)
    limiter.drain.pause(100)
    await sending
    assert now() == pytest.approx(5)


@virtual
async def test_a_drain_ends_a_pause():
    limiter, client = Limiter(), ScriptedClient()
    limiter.drain.pause(100)
    sending = asyncio.ensure_future(limiter.send(client))
    await asyncio.sleep(1)
    limiter.drain.start("interrupted")
    with pytest.raises(Draining):
        await sending
    assert now() == pytest.approx(1)
    assert client.times == []


@virtual
async def test_a_pause_longer_than_the_longest_outage_is_no_outage():
    limiter, client = Limiter(), ScriptedClient()
    limiter.drain.pause(3600)
    await limiter.send(client)
    assert client.times[0] >= 3600
