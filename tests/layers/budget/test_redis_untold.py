"""What a machine knows and a server that has lost its memory does not."""

from __future__ import annotations

import asyncio

from claudebatch.core.reports.shared_money import UntoldSpend
from claudebatch.layers.budget.redis_untold import untold
from claudebatch.storage.ledger.known_spend import KnownSpend
from tests.layers.budget.test_redis_budget import Hosts, dies, hosts, refused
from tests.support.budget_stores import DAY, NEXT, cap
from tests.support.redis_servers import needs_redis
from tests.support.virtual import virtual

pytestmark = needs_redis
__all__ = ["hosts"]


@virtual
async def test_what_is_higher_here_is_seen_and_told_and_nothing_is_lowered(hosts: Hosts) -> None:
    caps = cap(2000), cap(2000, "month")
    run = hosts.budget("run", *caps, tag="a b")
    await run.settle(await run.hold(300, 300), 300)
    await run.close(complete=True)
    known = [
        KnownSpend("run", DAY, "a b", 200),
        KnownSpend("run", NEXT, "a b", 5),
        KnownSpend("other", DAY, "", 9_000_000 * 10**12 + 1),
    ]
    lacking = [UntoldSpend("run", NEXT, 5), UntoldSpend("other", DAY, 9_000_000 * 10**12 + 1)]
    server = hosts.servers[0]
    for tell in (False, False, True):
        assert await untold(server, known, tell=tell) == lacking
    assert await untold(server, known) == []
    assert hosts.sum("gone") == 300 + 9_000_000 * 10**12 + 1
    assert (hosts.sum("gone", f"{NEXT} a b"), hosts.sum("gone", f"{DAY} a b")) == (5, 300)


@virtual
async def test_a_run_that_is_alive_tells_its_own(hosts: Hosts) -> None:
    alive = hosts.budget("alive")
    hold = await alive.hold(400, 400)
    # Its ledger has the cost already; the end is on its way.
    known = [KnownSpend("alive", DAY, "", 100)]
    assert await untold(hosts.servers[0], known, tell=True) == []
    await alive.settle(hold, 100)
    assert hosts.sum("gone") == 100
    await dies(alive)
    await asyncio.sleep(61)
    assert await untold(hosts.servers[0], [KnownSpend("alive", DAY, "", 150)], tell=True)
    assert hosts.sum("gone") == 150


@virtual
async def test_a_long_past_is_told_in_pieces(hosts: Hosts) -> None:
    known = [KnownSpend(f"run-{n}", DAY, "", 1) for n in range(450)]
    budget = hosts.budget("me", cap(500))
    assert len(await untold(hosts.servers[0], known, tell=True)) == 450
    assert await refused(budget, 51) == 50
    await budget.close(complete=True)
