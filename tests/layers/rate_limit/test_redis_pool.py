"""Limits that all hosts share, in a real Redis: what the contract of all stores does
not ask of them.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from claudebatch.core.domain import Call, Reply, Size, Usage
from claudebatch.core.drain import Drain
from claudebatch.core.errors import RateLimited
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.layer import RateLimit
from claudebatch.layers.rate_limit.pool_queue import PoolQueue
from claudebatch.layers.rate_limit.redis_pool import RedisPool
from claudebatch.layers.rate_limit.settings import PoolLimits
from claudebatch.layers.rate_limit.store import Admitted, Delayed, PoolStart
from claudebatch.simulator.limits import SimulatedLimits
from claudebatch.simulator.refusals import RefusedRequest
from claudebatch.simulator.settings import SimulatedAllowance
from tests.support.limiting import AsStated
from tests.support.parts import TODAY
from tests.support.redis_servers import VirtualServer, needs_redis, own_prefix
from tests.support.round_trip import RoundTrip
from tests.support.scripted import ScriptedClient, make_call, make_reply
from tests.support.virtual import now, virtual

pytestmark = needs_redis

NEED = ExpectedUsage(1000, 500)
USED = Usage(input_tokens=1000, output_tokens=500)


class Hosts:
    """Pools of several hosts under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.servers: list[VirtualServer] = []

    def pool(self, *, in_flight: int = 64, cautious: bool = False, **limits: float) -> RedisPool:
        server = VirtualServer(
            self.prefix, f"host-{len(self.servers)}", now=now, sleep=asyncio.sleep
        )
        self.servers.append(server)
        start = PoolStart(
            "pool",
            PoolLimits(**limits),
            in_flight=in_flight,
            most_in_flight=in_flight,
            cautious=cautious,
        )
        return RedisPool(server, start, now=now)

    def forget(self) -> None:
        """The server loses all that it knew of this test."""
        redis = self.servers[0]._redis
        redis.delete(*redis.scan_iter(match=f"{self.prefix}:*"))


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with own_prefix() as prefix:
        made = Hosts(prefix)
        yield made
        for server in made.servers:
            server.close()


async def admitted(pool: RedisPool, need: ExpectedUsage = NEED) -> str:
    for _ in range(2000):
        answer = await pool.admit(need)
        if isinstance(answer, Admitted):
            await asyncio.sleep(answer.leaves_in_s)
            return answer.booking
        await asyncio.sleep(answer.seconds)
    raise AssertionError("it waits for ever")


@virtual
async def test_while_the_server_is_away_nothing_is_admitted_and_then_it_goes_on(hosts):
    pool = hosts.pool(in_flight=2)
    (server,) = hosts.servers
    booking = await admitted(pool)
    server.away = True
    refused = await pool.admit(NEED)
    assert isinstance(refused, Delayed) and refused.reason == "shared server"
    assert refused.seconds > 0
    await pool.settle(booking, USED, None)
    server.away = False
    await admitted(pool)
    await admitted(pool)
    assert isinstance(await pool.admit(NEED), Delayed), "both places are taken, and no third"


@virtual
async def test_an_admission_whose_answer_was_lost_counts_once(hosts):
    pool, other = hosts.pool(in_flight=2), hosts.pool(in_flight=2)
    mine, _ = hosts.servers
    mine.mute = True
    assert isinstance(await pool.admit(NEED), Delayed)
    mine.mute = False
    await admitted(pool)
    await admitted(other)
    assert isinstance(await other.admit(NEED), Delayed)


@virtual
async def test_an_ending_whose_answer_was_lost_counts_once(hosts):
    pool = hosts.pool(input_tokens_per_minute=60_000)
    (server,) = hosts.servers
    booking = await admitted(pool)
    server.mute = True
    await pool.settle(booking, Usage(), None)
    server.mute = False
    began = now()
    for _ in range(5):
        await admitted(pool)
    assert now() - began > 3, "a thousand tokens that were given back twice would be one second"


@virtual
async def test_a_pool_that_the_server_has_forgotten_begins_gently(hosts):
    pool = hosts.pool(requests_per_minute=600)
    for _ in range(20):
        await pool.settle(await admitted(pool), USED, None)
    hosts.forget()
    times = []
    for _ in range(20):
        await admitted(pool)
        times.append(now())
    assert times[-1] - times[0] >= 1.8


@virtual
async def test_a_large_request_is_not_starved_by_small_ones_of_other_hosts(hosts):
    limits = {"input_tokens_per_minute": 60_000.0}
    small, large = hosts.pool(**limits), hosts.pool(**limits)
    going = True

    async def flood() -> None:
        while going:
            await admitted(small, ExpectedUsage(100, 0))

    flooding = asyncio.ensure_future(flood())
    await asyncio.sleep(5)
    began = now()
    await admitted(large, ExpectedUsage(900, 0))
    assert now() - began < 2, "what was there before it, and then its own second"
    going = False
    await flooding
    assert 0.5 < hosts.servers[0].waits.line_s < 2, "the small ones have stood behind it"


@virtual
async def test_sixteen_hosts_get_equal_shares_and_the_whole_limit(hosts):
    pools = [hosts.pool(requests_per_minute=1200) for _ in range(16)]
    sent = [0] * 16
    await asyncio.sleep(1)

    async def work(number: int) -> None:
        while now() < 21:
            booking = await admitted(pools[number])
            sent[number] += 1
            await pools[number].settle(booking, USED, None)

    await asyncio.gather(*(work(number) for number in range(16)))
    assert 0.97 * 400 <= sum(sent) <= 400 + 16
    assert min(sent) >= 0.8 * 400 / 16, sent


class _Tokens:
    """An API whose bucket of input tokens holds one second, a short way off."""

    def __init__(self, per_minute: int) -> None:
        allowance = SimulatedAllowance(itpm=per_minute, burst_seconds=1.0)
        self._limits = SimulatedLimits(allowance, now=now(), wall=lambda: TODAY)
        self._rng = random.Random(3)
        # Mutable: 429s; tokens of each process that were let in after its warm-up, and
        # how long each of its requests had waited for that.
        self.refused = 0
        self.let_in: Counter[int] = Counter()
        self.requests: Counter[int] = Counter()
        self.waits: defaultdict[int, list[float]] = defaultdict(list)

    async def ask(self, process: int, call: Call, *, since: float) -> Reply:
        tokens = call.size.input_tokens
        await asyncio.sleep(self._rng.uniform(0.01, 0.02))
        try:
            self._limits.admit(tokens, now())
        except RefusedRequest:
            self.refused += 1
            raise RateLimited("slow down", type="rate_limit_error", retry_after=1.0) from None
        if 10 <= now() < 70:
            self.let_in[process] += tokens
            self.requests[process] += 1
            self.waits[process].append(now() - since)
        await asyncio.sleep(self._rng.uniform(0.3, 0.7))
        return make_reply(usage={"input_tokens": tokens, "output_tokens": 1})


# A bucket holds ten thousand: what is larger leaves a debt.
@pytest.mark.parametrize("large", [9_000, 15_000])
@virtual
async def test_sixteen_hosts_with_rows_of_mixed_sizes_meet_no_429_and_share_the_whole_limit(
    hosts, large
):
    pools = [hosts.pool(input_tokens_per_minute=600_000) for _ in range(16)]
    api, end = _Tokens(600_000), 85.0

    async def work(number: int, layer: RateLimit[str], rng: random.Random) -> None:
        while now() < end:
            if now() >= 70:
                # All were idle, and find their bucket full.
                await asyncio.sleep(max(0.0, 80 - now()))
            # One of the processes has nothing but large rows, the others few of them.
            size = large if number == 0 or rng.random() < 0.02 else rng.randrange(50, 1500)
            send = partial(api.ask, number, since=now())
            with suppress(RateLimited):
                await layer(make_call(size=Size(size, size, 1, 10)), send)

    await asyncio.gather(
        *(
            work(number, layer, random.Random(4 * number + worker))
            for number, layer in enumerate(limiter(pool, Drain()) for pool in pools)
            for worker in range(4)
        )
    )
    assert api.refused == 0
    used = sum(api.let_in.values())
    assert 0.97 <= used / (10_000 * 60) <= 1.02, used
    # They take turns, so each has as many requests as any other, large as they may be.
    fair = sum(api.requests.values()) / 16
    assert min(api.requests.values()) >= 0.8 * fair, api.requests
    # Nobody is overtaken: a large row waits for its process's turns, as all rows do.
    turn = 60 / fair
    assert max(max(waits) for waits in api.waits.values()) < 6 * turn, "four rows a process"


@pytest.mark.parametrize("places", [8, 24])
@virtual
async def test_sixteen_hosts_get_equal_shares_of_the_places_in_flight(hosts, places):
    pools = [hosts.pool(in_flight=places) for _ in range(16)]
    sent, rng = [0] * 16, random.Random(5)
    await asyncio.sleep(1)

    async def work(number: int, layer: RateLimit[str]) -> None:
        async def send(call: Call) -> Reply:
            sent[number] += 6 <= now() < 21
            await asyncio.sleep(rng.uniform(0.5, 1.5))
            return make_reply()

        while now() < 21:
            await layer(make_call(), send)

    # More rows than places, in each process.
    layers = [limiter(pool, Drain()) for pool in pools]
    await asyncio.gather(*(work(*each) for each in enumerate(layers) for _ in range(4)))
    assert sum(sent) >= 0.9 * places * 15
    assert min(sent) >= 0.8 * sum(sent) / 16, sent
    trips = sum(server.trips.count for server in hosts.servers)
    assert trips <= 12 * sum(sent) * 21 / 15, "those who wait look, and not all the time"


@virtual
async def test_a_process_that_sends_little_leaves_the_others_their_places(hosts):
    small, large = hosts.pool(in_flight=2), hosts.pool(in_flight=8)
    await admitted(small)
    await asyncio.sleep(5)
    for _ in range(7):
        await admitted(large)
    assert isinstance(await small.admit(NEED), Delayed), "eight in all"


@virtual
async def test_ends_that_come_together_are_told_together(hosts):
    pool = hosts.pool()
    (server,) = hosts.servers
    await asyncio.sleep(5)
    bookings = [await admitted(pool) for _ in range(20)]
    before = server.trips.count
    await asyncio.gather(*(pool.settle(booking, USED, None) for booking in bookings))
    assert server.trips.count == before + 1
    assert await left_behind(pool, server) == 0


@virtual
async def test_one_process_admits_the_next_request_while_the_last_one_waits_for_its_moment(hosts):
    pool = hosts.pool(requests_per_minute=3000)
    (server,) = hosts.servers
    client = ScriptedClient()
    layer = limiter(pool, Drain())
    # A machine so busy that every answer of the server is taken up late.
    server.trips = RoundTrip(0.015)
    rows = [asyncio.ensure_future(layer(make_call(row=row), client)) for row in range(500)]
    await asyncio.gather(*rows)
    sent = [moment - client.times[0] for moment in client.times]
    settled = [moment for moment in sent if moment > 3]
    assert [sent.call.row for sent in client.sent] == list(range(500)), "first come, first served"
    pace = (len(settled) - 1) / (settled[-1] - settled[0])
    assert 0.97 * 50 <= pace <= 50.5
    assert await left_behind(pool, server) == 0, "no booking but those of rows"


@virtual
async def test_those_behind_the_first_are_admitted_with_it_until_one_has_to_wait(hosts):
    other, pool = hosts.pool(in_flight=8), hosts.pool(in_flight=8)
    _, server = hosts.servers
    for _ in range(4):
        await admitted(other)
    await asyncio.sleep(5)  # past the gentle start
    first = await pool.admit(NEED, iter([NEED] * 10))
    assert isinstance(first, Admitted)
    *more, last = first.behind
    assert server.trips.count == 1, "one round trip for all of them"
    assert len({first.booking, *(answer.booking for answer in more)}) == 4
    assert isinstance(last, Delayed) and last.reason == "requests in flight"
    assert isinstance(await other.admit(NEED), Delayed)
    await pool.cancel(more[0].booking, counted=False)
    assert isinstance(await other.admit(NEED), Delayed), "it has one more than who waits"
    assert isinstance(await pool.admit(NEED), Admitted)


@virtual
async def test_a_row_that_is_called_off_while_the_first_asks_for_it_holds_nothing(hosts):
    pool = hosts.pool(in_flight=3)
    (server,) = hosts.servers
    await pool.settle(await admitted(pool), USED, None)
    await asyncio.sleep(5)  # past the gentle start
    client = ScriptedClient(takes_s=5.0)
    layer = limiter(pool, Drain())
    rows = [asyncio.ensure_future(layer(make_call(row=row), client)) for row in range(3)]
    # The first came alone, and the second asks for the third: the script has run, and
    # nobody has its answer yet.
    await asyncio.sleep(0.007)
    rows[2].cancel()
    await asyncio.sleep(1)
    assert await left_behind(pool, server) == 2 == len(client.sent)
    await asyncio.wait(rows)
    assert await left_behind(pool, server) == 0


@virtual
async def test_a_row_that_is_called_off_with_an_admission_in_its_hands_gives_it_back(hosts):
    pool = hosts.pool(in_flight=3)
    (server,) = hosts.servers
    queue = PoolQueue(pool, Drain())
    with pytest.raises(asyncio.CancelledError):
        async with queue.first(make_call()) as place:
            place.answer = await pool.admit(NEED)
            raise asyncio.CancelledError
    assert await left_behind(pool, server) == 0


def limiter(pool: RedisPool, drain: Drain) -> RateLimit[str]:
    return RateLimit(
        pool_of=lambda model: pool,
        estimates=AsStated(),
        waits=drain,
        max_pause_s=600.0,
        max_outage_s=900.0,
        rng=random.Random(1),
        emit=lambda event: None,
    )


async def left_behind(pool: RedisPool, server: VirtualServer) -> int:
    return int(server._redis.zcard(pool._keys[2]))


@virtual
async def test_the_place_of_a_host_that_died_is_free_after_its_lease(hosts):
    dead, alive = hosts.pool(in_flight=1), hosts.pool(in_flight=1)
    await admitted(dead)
    await asyncio.sleep(899)
    assert isinstance(await alive.admit(NEED), Delayed)
    await asyncio.sleep(2)
    assert isinstance(await alive.admit(NEED), Admitted)


@virtual
async def test_a_host_that_died_in_line_holds_the_others_up_for_a_second_only(hosts):
    dead, alive = hosts.pool(requests_per_minute=60), hosts.pool(requests_per_minute=60)
    await admitted(dead)
    assert isinstance(await dead.admit(NEED), Delayed)
    began = now()
    await admitted(alive)
    assert now() - began <= 3.5
    await admitted(alive)
    assert now() - began <= 4.5


@virtual
async def test_after_a_429_one_request_of_all_hosts_looks_whether_it_may_go_on(hosts):
    pools = [hosts.pool() for _ in range(3)]
    await pools[0].refuse(await admitted(pools[0]), "rate", 2.0)
    await asyncio.sleep(2.1)
    probe = await admitted(pools[1])
    for other in pools:
        assert isinstance(await other.admit(NEED), Delayed)
    await pools[1].settle(probe, USED, None)
    assert isinstance(await pools[2].admit(NEED), Admitted)


@virtual
async def test_limits_that_are_unknown_start_as_the_first_headers_say(hosts):
    limits = {"requests_per_minute": 48.0, "input_tokens_per_minute": 30_000.0}
    pool, other = hosts.pool(cautious=True, **limits), hosts.pool(cautious=True, **limits)
    booking = await admitted(pool)
    waits: Any = await other.admit(NEED)
    assert (waits.reason, 1.0 < waits.seconds <= 1.25) == ("first answer", True)
    stated = Limits(requests=LimitReading(6000, 5999), input_tokens=LimitReading(600_000, 0))
    await pool.settle(booking, USED, stated)
    waits = await other.admit(NEED)
    assert waits.reason == "input tokens per minute", "the headers say that none are left"
    assert 0.1 <= waits.seconds <= 0.2, "its own tokens, and the debt of the first"
    assert waits.state.requests_per_minute == 6000


@virtual
async def test_a_script_that_runs_twice_books_once(hosts):
    pool, other = hosts.pool(in_flight=2), hosts.pool(in_flight=2)
    for _ in range(3):
        (answer,) = await pool._ask({"host-0.again": NEED})
        assert isinstance(answer, Admitted)
    assert isinstance(await other.admit(NEED), Admitted), "the second place is still free"
