"""Pools at the shared server as people look at them, and requests in flight of a
process that died.
"""

from __future__ import annotations

import pytest

from claudebatch.layers.rate_limit.redis_pool_look import free_bookings, shared_pools
from claudebatch.layers.rate_limit.store import Admitted, Delayed
from tests.layers.rate_limit.test_redis_pool import NEED, USED, admitted, hosts
from tests.support.redis_servers import needs_redis
from tests.support.virtual import virtual

pytestmark = needs_redis
__all__ = ["hosts"]


@virtual
async def test_levels_requests_in_flight_and_who_waits_are_seen(hosts):
    one, other = (hosts.pool(input_tokens_per_minute=60_000.0) for _ in range(2))
    assert await shared_pools(one._server) == []
    booking = await admitted(one)
    await admitted(other)
    assert isinstance(await other.admit(NEED), Delayed)
    (pool,) = await shared_pools(one._server)
    assert (pool.name, pool.in_flight) == ("pool", {"host-0": 1, "host-1": 1})
    assert pool.most_in_flight == 64 and pool.paused_s == 0
    left, per_minute = pool.limits["input tokens"]
    assert per_minute == 60_000 and left < 100, "what is larger than the bucket empties it"
    assert list(pool.waiting) == ["host-1"] and 0 < pool.waiting["host-1"] <= 2
    await one.refuse(booking, "rate", 30.0)
    (pool,) = await shared_pools(one._server)
    assert pool.in_flight == {"host-1": 1} and pool.paused_s == pytest.approx(30, abs=1)


@virtual
async def test_a_dead_process_gives_its_places_to_others_and_its_tokens_stay_counted(hosts):
    dead, alive = hosts.pool(in_flight=2), hosts.pool(in_flight=2)
    for _ in range(2):
        await admitted(dead)
    assert isinstance(await alive.admit(NEED), Delayed)
    assert await free_bookings(alive._server, {"host-7"}) == 0
    assert await free_bookings(alive._server, {"host-0"}) == 2
    answer = await alive.admit(NEED)
    assert isinstance(answer, Admitted)
    await alive.settle(answer.booking, USED, None)
    assert await free_bookings(alive._server, {"host-0"}) == 0
