"""Many processes on shared accounts, in virtual time, with the scripts that a server
runs: `python -m benchmarks.many_hosts [--processes 200] [--accounts 50] [--fake]`.

First so many processes on one account, then so many accounts with four processes each.
Prints 429s at an API whose buckets hold one second, the share of its limit that was
used, the smallest and largest share of a process, and what a request asks of the
server: round trips, and the server's own time in them. Needs `redis-server`; with
`--fake` fakeredis and lupa, whose times say nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from claudebatch.core.domain import Call, Reply, Usage
from claudebatch.core.drain import Drain
from claudebatch.core.errors import RateLimited
from claudebatch.core.events import nobody
from claudebatch.layers.rate_limit.layer import RateLimit
from claudebatch.layers.rate_limit.redis_pool import RedisPool
from claudebatch.layers.rate_limit.settings import PoolLimits
from claudebatch.layers.rate_limit.store import PoolStart
from claudebatch.storage.shared_server.redis_server import Value
from claudebatch.storage.shared_server.script import Script
from claudebatch.storage.shared_server.wait_counter import WaitCounter
from tests.support.limiting import AsStated
from tests.support.scripted import SMALL, make_call, make_reply
from tests.support.virtual import now, run_virtual

# The top published tier of a model.
RPM = 10_000.0
ONE_WAY_S = 0.001
WARM_UP_S = 10.0


@dataclass
class Server:
    """Runs scripts by the clock of virtual time, and counts them."""

    redis: Any
    prefix: str
    client: str
    counts: Counts
    waits: WaitCounter = field(default_factory=lambda: WaitCounter(now))

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(seconds)

    async def run(self, script: Script, keys: Sequence[str], *values: Value) -> list[bytes]:
        """What the script answers, a round trip later."""
        await asyncio.sleep(ONE_WAY_S)
        began = time.perf_counter()
        clock = repr(1_000_000.0 + now())
        if script.sha not in self.counts.loaded:
            self.redis.script_load(script.text)
            self.counts.loaded.add(script.sha)
        answer: list[bytes] = self.redis.evalsha(script.sha, len(keys), *keys, clock, *values)
        self.counts.scripts += 1
        self.counts.asked_s += time.perf_counter() - began
        await asyncio.sleep(ONE_WAY_S)
        return answer


@dataclass
class Counts:
    """What all processes asked of the server."""

    scripts: int = 0
    asked_s: float = 0.0
    loaded: set[str] = field(default_factory=set)


class Api:
    """One account's limit of requests: a bucket of one second."""

    def __init__(self, rpm: float) -> None:
        self._rate = rpm / 60
        # Mutable: what the bucket holds, and when that was; what it saw.
        self._level, self._at = self._rate, now()
        self.refused = 0

    def takes(self) -> bool:
        """Whether a request is let in."""
        self._level = min(self._rate, self._level + (now() - self._at) * self._rate)
        self._at = now()
        if self._level < 1:
            self.refused += 1
            return False
        self._level -= 1
        return True


class Process:
    """One process of an account: as many requests in flight as it needs."""

    def __init__(
        self, server: Server, api: Api, rng: random.Random, *, rpm: float, until: float
    ) -> None:
        pool = RedisPool(
            server,
            PoolStart(
                "pool", PoolLimits(requests_per_minute=rpm), in_flight=512, most_in_flight=512
            ),
            now=now,
        )
        self._api = api
        self._rng = rng
        self._until = until
        self._limit: RateLimit[Any] = RateLimit(
            pool_of=lambda name: pool,
            estimates=AsStated(),
            waits=Drain(),
            max_pause_s=300.0,
            max_outage_s=900.0,
            rng=rng,
            emit=nobody,
        )
        # Mutable: requests that were let in after the warm-up.
        self.sent = 0

    async def work(self) -> None:
        """Ask one thing after the other."""
        call = make_call(size=SMALL)
        while now() < self._until:
            try:
                await self._limit(call, self._send)
            except RateLimited:
                continue

    async def _send(self, call: Call) -> Reply:
        # Requests are some milliseconds on their way, each a little longer or shorter.
        await asyncio.sleep(self._rng.uniform(0.01, 0.02))
        if not self._api.takes():
            raise RateLimited("slow down", type="rate_limit_error", retry_after=1.0)
        if WARM_UP_S <= now() < self._until:
            self.sent += 1
        await asyncio.sleep(self._rng.uniform(0.3, 0.7))
        return make_reply(usage=vars_of(Usage(10, 20)))


def vars_of(usage: Usage) -> dict[str, int]:
    """*usage* as an answer says it."""
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


async def play(
    redis: Any, *, accounts: int, processes: int, rpm: float, seconds: float
) -> dict[str, Any]:
    """So many *processes* on each of so many *accounts*."""
    counts, rng = Counts(), random.Random(7)
    apis = [Api(rpm) for _ in range(accounts)]
    crowds = [
        [
            Process(
                Server(redis, f"claudebatch:{{{account}}}", f"p{number}", counts),
                apis[account],
                rng,
                rpm=rpm,
                until=WARM_UP_S + seconds,
            )
            for number in range(processes)
        ]
        for account in range(accounts)
    ]
    # Enough in flight that each could use twice its share.
    workers = max(2, round(1.5 * rpm / 60 / processes))
    began = time.process_time()
    await asyncio.gather(*(one.work() for crowd in crowds for one in crowd for _ in range(workers)))
    cpu_s = time.process_time() - began
    shares = [
        one.sent * processes / max(1, sum(p.sent for p in crowd))
        for crowd in crowds
        for one in crowd
    ]
    sent = sum(one.sent for crowd in crowds for one in crowd)
    all_sent = sent * (WARM_UP_S + seconds) / seconds
    return {
        "accounts": accounts,
        "processes each": processes,
        "requests": sent,
        "429s": sum(api.refused for api in apis),
        "of the limit": round(sent / (accounts * rpm / 60 * seconds), 3),
        "smallest share": round(min(shares), 2),
        "largest share": round(max(shares), 2),
        "scripts a request": round(counts.scripts / all_sent, 2),
        "µs a script, asked from here": round(1e6 * counts.asked_s / counts.scripts),
        "CPU s of the simulation": round(cpu_s),
    }


@contextmanager
def server(*, fake: bool) -> Iterator[Any]:
    """A Redis of this benchmark's own."""
    if fake:
        import fakeredis

        yield fakeredis.FakeRedis()
        return
    import redis

    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        client = redis.Redis("127.0.0.1", port)
        for _ in range(200):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.02)
        yield client
    finally:
        process.kill()
        process.wait()


def scripts_of(client: Any) -> dict[str, float]:
    """The server's own time a script, in µs, and how many it could run a second."""
    stats = client.info("commandstats").get("cmdstat_evalsha")
    if not stats:
        return {}
    return {"µs a script, of the server": stats["usec_per_call"]} | {
        "scripts a second, at most": round(1e6 / stats["usec_per_call"])
    }


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=200)
    parser.add_argument("--accounts", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--fake", action="store_true")
    wanted = parser.parse_args()
    for accounts, processes, rpm in (
        (1, wanted.processes, RPM),
        (wanted.accounts, 4, RPM / 10),
    ):
        with server(fake=wanted.fake) as client:
            found = run_virtual(
                play(
                    client,
                    accounts=accounts,
                    processes=processes,
                    rpm=rpm,
                    seconds=wanted.seconds,
                )
            )
            own = {} if wanted.fake else scripts_of(client)
            print(json.dumps(found | own, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
