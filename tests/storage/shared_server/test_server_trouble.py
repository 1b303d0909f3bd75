"""What a shared server in trouble does to its stores: read-only, full, slow, failed
over, its scripts forgotten. Fail closed, with a reason, and on by itself; what had run
counts once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from typing import Any

import pytest

from claudebatch.core.domain import Usage
from claudebatch.core.drain import Drain
from claudebatch.core.errors import BudgetExhausted, StopRun
from claudebatch.core.notice import Notice
from claudebatch.core.shared_cap import SharedCap
from claudebatch.layers.budget import redis_budget
from claudebatch.layers.budget.redis_budget import RedisBudget
from claudebatch.layers.budget.run_budget import RunBudget
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.redis_pool import RedisPool
from claudebatch.layers.rate_limit.settings import PoolLimits
from claudebatch.layers.rate_limit.store import Admitted, Delayed, PoolStart
from claudebatch.storage.shared_server import redis_connection
from claudebatch.storage.shared_server.redis_server import RedisServer
from claudebatch.storage.shared_server.settings import SharedSettings
from tests.support.redis_servers import HOST, OwnServer, needs_redis_server

redis = pytest.importorskip("redis")
pytestmark = needs_redis_server

NEED = ExpectedUsage(1, 1)
DAY = "2026-11-22"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    server = OwnServer(tmp_path_factory.mktemp("redis"))
    server.start("--repl-diskless-sync-delay", "0")
    yield server
    server.stop()


@pytest.fixture
def admin(own: OwnServer) -> Iterator[Any]:
    """The operator of the server, which is in order afterwards."""
    with closing(redis.Redis(port=own.port)) as client:
        yield client
        client.replicaof("NO", "ONE")
        client.config_set("maxmemory", 0)
        client.flushall()


class Way:
    """A way to a server, which may lead to another one, and where answers get stuck."""

    def __init__(self, port: int) -> None:
        self.to = port
        self.stuck_s = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(HOST, self.to)
        back = asyncio.ensure_future(self._pass_on(theirs, writer, self))
        await self._pass_on(reader, ours, None)
        await asyncio.wait([back])
        for each in (ours, writer):
            with suppress(OSError):
                await each.wait_closed()

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, stuck: Way | None
    ) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                await asyncio.sleep(stuck.stuck_s if stuck else 0.0)
                sink.write(data)
        sink.close()


@asynccontextmanager
async def way_to(own: OwnServer) -> AsyncIterator[tuple[Way, str]]:
    way = Way(own.port)
    passing: set[asyncio.Task[None]] = set()

    def begun(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing.add(asyncio.ensure_future(way.serve(reader, writer)))

    server = await asyncio.start_server(begun, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield way, f"redis://{HOST}:{port}"
    finally:
        server.close()
        if passing:
            await asyncio.wait(passing, timeout=5)


class Process:
    """A process that uses the server: its pool, its budget, and what it said."""

    def __init__(self, url: str, name: str = "one") -> None:
        self.told: list[Notice] = []
        self.server = RedisServer(
            SharedSettings(url, "the.host:1"),
            prefix="claudebatch:{t}",
            client=name,
            sleep=asyncio.sleep,
            now=time.monotonic,
            max_outage_s=60.0,
            notify=self.told.append,
        )
        limits = PoolLimits()
        start = PoolStart("pool", limits, in_flight=1, most_in_flight=1)
        self.pool = RedisPool(self.server, start, now=time.monotonic)
        drain = Drain()
        self.budget = RedisBudget(
            RunBudget(None, spent=0, waits=drain),
            self.server,
            [SharedCap("day", 1000, "day")],
            run=name,
            tag=None,
            today=lambda: DAY,
            waits=drain,
            emit=lambda event: None,
            known=list,
        )

    async def ask(self) -> Admitted[str] | Delayed:
        return await self.pool.admit(NEED)

    async def refused(self, word: str) -> None:
        """It is told to wait, and *word* is in the reason."""
        answer = await self.ask()
        assert isinstance(answer, Delayed) and answer.reason == "shared server"
        assert self.told[-1].id == "W128" and word in self.told[-1].text

    async def on_again(self) -> str:
        answer = await self.ask()
        assert isinstance(answer, Admitted)
        assert self.told[-1].id == "N128"
        return answer.booking

    async def close(self) -> None:
        await self.budget.close(complete=True)
        await self.server.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server just begun has nobody to wait for."""
    monkeypatch.setattr(redis_budget, "_REPORT_S", 0)


async def test_a_read_only_one_is_waited_for_and_what_ended_meanwhile_is_told_once(own, admin):
    one = Process(own.url)
    first = await one.ask()
    assert isinstance(first, Admitted)
    hold = await one.budget.hold(300, 300)
    admin.replicaof(HOST, 1)
    # The answer came: it is nobody's to hold up or to lose.
    await one.pool.settle(first.booking, Usage(1, 1), None)
    await one.budget.settle(hold, 100)
    await one.refused("read")
    admin.replicaof("NO", "ONE")
    await one.on_again()
    await one.budget.release(await one.budget.hold(1, 1))
    assert admin.hgetall("claudebatch:{t}:caps:gone")[DAY.encode()] == b"100"
    await one.close()


async def test_a_full_one_is_waited_for(own, admin):
    one = Process(own.url)
    admin.config_set("maxmemory", 1)
    await one.refused("memory")
    admin.config_set("maxmemory", 0)
    await one.on_again()
    await one.close()


async def test_scripts_that_it_has_forgotten_are_sent_again_without_a_word(own, admin):
    one = Process(own.url)
    first = await one.ask()
    assert isinstance(first, Admitted)
    admin.script_flush()
    assert isinstance(await one.ask(), Delayed), "and the first one still counts"
    await one.pool.settle(first.booking, Usage(1, 1), None)
    assert isinstance(await one.ask(), Admitted) and one.told == []
    await one.close()


async def test_a_slow_one_is_away_and_what_its_scripts_did_counts_once(own, admin, monkeypatch):
    monkeypatch.setattr(redis_connection, "_ANSWER_S", 0.15)
    async with way_to(own) as (way, url):
        one, other = Process(url), Process(own.url, "other")
        await one.budget.release(await one.budget.hold(1, 1))
        held = "claudebatch:{t}:caps:held"
        way.stuck_s = 0.4
        taking = asyncio.ensure_future(one.budget.hold(700, 700))
        await until(lambda: one.told)
        assert admin.hget(held, DAY) == b"700", "it had run, and nobody was told"
        way.stuck_s = 0.0
        hold = await taking
        assert admin.hget(held, DAY) == b"700", "once"
        booked = "claudebatch:{t}:limits:pool:booked"
        way.stuck_s = 0.4
        await one.refused("imeout")
        assert admin.hlen(booked) == 1, "it had run"
        way.stuck_s = 0.0
        await one.on_again()
        assert admin.hlen(booked) == 1, "once"
        await one.budget.settle(hold, 700)
        with pytest.raises(BudgetExhausted):
            await other.budget.hold(301, 301)
        await one.close()
        await other.close()


async def test_a_password_that_changes_in_mid_run_stops_it_with_the_reason(own, admin):
    admin.execute_command("ACL", "SETUSER", "batch", "on", ">old", "~*", "+@all")
    one = Process(own.url.replace("//", "//batch:old@"))
    await one.budget.release(await one.budget.hold(1, 1))
    admin.execute_command("ACL", "SETUSER", "batch", "resetpass", ">new")
    admin.client_kill_filter(_type="normal", user="batch", skipme=True)
    for ask in (one.ask, lambda: one.budget.hold(1, 1)):
        with pytest.raises(StopRun) as stopped:
            await ask()
        assert stopped.value.id == "E870"
        assert "old" not in f"{stopped.value}{stopped.value.fix}"
    admin.execute_command("ACL", "DELUSER", "batch")
    await one.close()


async def test_after_a_failover_to_a_replica_that_lags_every_process_tells_what_it_knows(
    own, admin, tmp_path
):
    replica = OwnServer(tmp_path)
    replica.start("--replicaof", HOST, str(own.port))
    try:
        async with way_to(own) as (way, url):
            one = Process(url)
            await one.budget.settle(await one.budget.hold(300, 300), 100)
            with closing(redis.Redis(port=replica.port)) as standby:
                await until(lambda: spent(standby) == 100)
                early = await one.budget.hold(200, 200)
                await until(lambda: standby.hget("claudebatch:{t}:caps:held", DAY) == b"200")
                # From here on it lags: what comes now, it will never hear of.
                standby.replicaof("NO", "ONE")
                await one.budget.settle(early, 150)
                late = await one.budget.hold(400, 400)
                epoch = standby.hget("claudebatch:{t}:caps:epoch", "id")
                way.to = replica.port
                admin.client_kill_filter(_type="normal", skipme=True)
                await one.budget.release(await one.budget.hold(1, 1))
                assert standby.hget("claudebatch:{t}:caps:epoch", "id") != epoch
                assert spent(standby) == 250
                assert standby.hget("claudebatch:{t}:caps:held", DAY) == b"400"
                with pytest.raises(BudgetExhausted):
                    await one.budget.hold(751, 751)
                await one.budget.settle(late, 400)
                assert spent(standby) == 650
            await one.close()
    finally:
        replica.stop()


def spent(client: Any) -> int:
    return int(client.hget("claudebatch:{t}:caps:gone", DAY) or 0)


async def until(true: Any) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it has not happened")
