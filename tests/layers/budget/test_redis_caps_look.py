"""Money at the shared server as people look at it, and the end of what a dead run holds
there.
"""

from __future__ import annotations

import asyncio

from claudebatch.core.reports.shared_money import CapLevel
from claudebatch.layers.budget.redis_caps_look import CapsSeen, Released, release, shared_caps
from tests.layers.budget.test_redis_budget import CAP, Hosts, dies, hosts, refused
from tests.support.budget_stores import DAY, cap
from tests.support.redis_servers import needs_redis
from tests.support.virtual import virtual

pytestmark = needs_redis
__all__ = ["hosts"]


async def seen(hosts: Hosts) -> CapsSeen:
    return await shared_caps(hosts.servers[0], [cap(CAP)], DAY)


@virtual
async def test_caps_and_runs_are_seen_with_what_is_spent_held_and_lost(hosts):
    one, other = hosts.budget("one", tag="with space"), hosts.budget("other")
    await one.settle(await one.hold(300, 300), 120)
    await one.hold(50, 50)
    await other.hold(7, 7)
    found = await seen(hosts)
    assert found.levels == [
        CapLevel("day", CAP, 120, 57),
        CapLevel("month", None, 120, 57),
        CapLevel("in all", None, 120, 57),
        *(CapLevel(name, None, 120, 50) for name in ("tag with space per month",)),
        CapLevel("tag with space per day", None, 120, 50),
        CapLevel("tag with space", None, 120, 50),
    ]
    runs = {run.run: run for run in found.runs}
    assert (runs["one"].spent, runs["one"].held, runs["one"].holds) == (120, 50, 1)
    assert runs["one"].state == runs["other"].state == "alive"
    assert runs["one"].processes == ("one-0",)
    await dies(one)
    await asyncio.sleep(61)
    await other.settle(await other.hold(1, 1), 1)
    runs = {run.run: run for run in (await seen(hosts)).runs}
    assert (runs["one"].state, runs["one"].held, runs["one"].lost) == ("silent", 0, 50)
    assert runs["one"].spent == 170, "maybe billed counts"
    await other.close(complete=True)


@virtual
async def test_a_run_that_is_alive_keeps_what_it_holds(hosts):
    alive = hosts.budget("alive")
    await alive.hold(400, 400)
    for _ in range(3):
        assert await release(hosts.servers[0], "alive", free=True) is None
        await asyncio.sleep(40)
    assert (hosts.sum("held"), hosts.sum("gone")) == (400, 0)
    await dies(alive)


@virtual
async def test_what_a_dead_run_holds_counts_as_spent_when_it_is_released(hosts):
    left, alive = hosts.budget("left"), hosts.budget("alive")
    await left.settle(await left.hold(300, 300), 100)
    await left.hold(400, 400, lasts=True)  # a batch that is out
    await left.close(complete=True)
    await asyncio.sleep(100)
    await alive.settle(await alive.hold(1, 1), 0)
    assert hosts.sum("held") == 400, "for a month, unless somebody knows better"
    assert await release(hosts.servers[0], "left", free=False) == Released(1, 400, 0)
    assert (hosts.sum("held"), hosts.sum("gone")) == (0, 500)
    assert await refused(alive, 501) == 500
    # Its journal says what became of it, should it ever go on.
    again = hosts.budget("left")
    await again.settle(await again.hold(1, 1), 0)
    for budget in (again, alive):
        await budget.close(complete=True)


@virtual
async def test_released_as_free_it_is_given_back_and_nothing_that_was_spent(hosts):
    dead, alive = hosts.budget("dead"), hosts.budget("alive")
    await dead.settle(await dead.hold(300, 300), 100)
    await dead.hold(400, 400)
    await dies(dead)
    await asyncio.sleep(61)
    await alive.settle(await alive.hold(1, 1), 0)
    assert hosts.sum("gone") == 500
    assert await release(hosts.servers[0], "dead", free=True) == Released(0, 0, 400)
    assert (hosts.sum("gone"), hosts.sum("held")) == (100, 0)
    assert await release(hosts.servers[0], "dead", free=True) == Released(0, 0, 0), "once"
    assert hosts.sum("gone") == 100
    await alive.close(complete=True)
