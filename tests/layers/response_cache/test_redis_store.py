"""Answers that all hosts share, in a real Redis: what the contract of all stores does
not ask of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from claudebatch.core.drain import Drain
from claudebatch.core.message import parse_message
from claudebatch.layers.response_cache.handed_over import HANDED_OVER_S, HandedOver
from claudebatch.layers.response_cache.layer import ResponseCache
from claudebatch.layers.response_cache.redis_store import RedisCacheStore
from claudebatch.layers.response_cache.settings import CachePolicy
from tests.support.redis_servers import VirtualServer, needs_redis, own_prefix
from tests.support.scripted import MemoryCache, ScriptedClient, make_call, make_reply, rate_limited
from tests.support.virtual import now, virtual

pytestmark = needs_redis


class Hosts:
    """Caches of several hosts under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.servers: list[VirtualServer] = []

    def store(self, *, size_limit: int = 2**20, ttl_s: float | None = None) -> RedisCacheStore:
        server = VirtualServer(
            self.prefix, f"host-{len(self.servers)}", now=now, sleep=Drain().sleep
        )
        self.servers.append(server)
        return RedisCacheStore(
            server, size_limit=size_limit, ttl_s=ttl_s, notify=lambda notice: None
        )

    def redis(self) -> Any:
        return self.servers[0]._redis


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with own_prefix() as prefix:
        made = Hosts(prefix)
        yield made
        for server in made.servers:
            server.close()


def layer(store: RedisCacheStore | HandedOver) -> ResponseCache:
    return ResponseCache(
        key=lambda call: "same",
        store=store,
        parse=lambda message: parse_message(message, source="cache", via=None, attempts=0),
        policy=CachePolicy(),
        claims=store,
    )


@virtual
async def test_equal_prompts_of_all_hosts_are_sent_once(hosts):
    stores = [hosts.store() for _ in range(4)]
    client = ScriptedClient(takes_s=45.0)  # longer than a claim lasts by itself
    replies = await asyncio.gather(
        *(layer(store)(make_call(row=row), client) for row, store in enumerate(stores))
    )
    assert len(client.sent) == 1
    assert sorted(reply.source for reply in replies) == ["api", "cache", "cache", "cache"]
    assert len({reply.text for reply in replies}) == 1
    waited = sorted(round(server.waits.answers_s) for server in hosts.servers)
    assert waited == [0, 45, 45, 45]
    for store in stores:
        await store.close()


@virtual
async def test_handed_over_an_answer_is_kept_by_each_machine_and_for_a_minute_by_the_server(hosts):
    disks = [MemoryCache() for _ in range(3)]
    stores = [HandedOver(disk, hosts.store(ttl_s=HANDED_OVER_S)) for disk in disks]
    client = ScriptedClient(takes_s=45.0)
    first, second = await asyncio.gather(
        *(layer(store)(make_call(row=row), client) for row, store in enumerate(stores[:2]))
    )
    assert len(client.sent) == 1 and (first.source, second.source) == ("api", "cache")
    assert disks[0].kept == disks[1].kept and len(disks[0].kept) == 1
    assert 0 < hosts.redis().ttl(f"{hosts.prefix}:answers:of:same") <= HANDED_OVER_S
    # Found here, without a question to the server.
    hosts.servers[1].away = True
    again = await layer(stores[1])(make_call(row=7), client)
    assert again.source == "cache" and len(client.sent) == 1
    hosts.redis().delete(f"{hosts.prefix}:answers:of:same")  # a minute later
    late = await layer(stores[2])(make_call(row=8), client)
    assert late.source == "api" and len(client.sent) == 2, "it is nobody's index"
    for store in stores:
        await store.close()


@virtual
async def test_when_the_one_that_asks_fails_the_next_one_asks_at_once(hosts):
    first, second = hosts.store(), hosts.store()
    client = ScriptedClient([rate_limited(1.0), make_reply()], takes_s=2.0)
    failing = asyncio.ensure_future(layer(first)(make_call(row=1), client))
    await asyncio.sleep(0.5)
    reply = await layer(second)(make_call(row=2), client)
    assert reply.source == "api" and now() < 5
    await asyncio.wait([failing])
    assert failing.exception() is not None
    for store in (first, second):
        await store.close()


@virtual
async def test_a_host_that_died_keeps_its_prompt_from_others_for_half_a_minute(hosts):
    dead, alive = hosts.store(), hosts.store()
    assert await dead.claim("k") is None
    await dead.close()
    assert await alive.claim("k") is None
    assert 25 <= now() <= 35
    # The first one was not dead at all: it comes late, and its answer does not count.
    await dead.release("k", b"late")
    assert await alive.get("k") is None
    await alive.release("k", b"in time")
    assert await dead.get("k") == b"in time"
    await alive.close()


@virtual
async def test_an_answer_that_may_not_be_kept_is_for_its_own_host_alone(hosts):
    first, second = hosts.store(), hosts.store()
    client = ScriptedClient([make_reply(stop_reason="max_tokens")] * 2)
    for number, store in enumerate((first, second)):
        await layer(store)(make_call(row=number), client)
        await store.close()
    assert len(client.sent) == 2


@virtual
async def test_no_more_bytes_are_stored_than_configured_and_the_oldest_go(hosts):
    store = hosts.store(size_limit=1000)
    for number in range(30):
        await store.put_many({f"k{number}": b"x" * 100})
        await asyncio.sleep(1)
    found = await store.get_many([f"k{number}" for number in range(30)])
    assert [answer is not None for answer in found] == [False] * 20 + [True] * 10
    await store.put_many({"k29": b"y" * 50, "huge": b"z" * 1001})
    assert await store.get("huge") is None
    assert int(hosts.redis().hget(f"{hosts.prefix}:answers:sizes", "total")) == 950


@virtual
async def test_an_answer_lives_as_long_as_configured(hosts):
    await hosts.store(ttl_s=3600.0).put_many({"k": b"1"})
    assert 3590 < hosts.redis().ttl(f"{hosts.prefix}:answers:of:k") <= 3600


@virtual
async def test_called_off_while_it_waits_it_claims_nothing(hosts):
    first, second, third = (hosts.store() for _ in range(3))
    assert await first.claim("k") is None
    waiting = asyncio.ensure_future(second.claim("k"))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.wait([waiting])
    await first.release("k", None)
    began = now()
    assert await third.claim("k") is None
    assert now() - began < 1
    for store in (first, second, third):
        await store.close()
