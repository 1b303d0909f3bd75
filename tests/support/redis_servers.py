"""Redis for tests: the one that listens on this machine, each test under a prefix of
its own; or one started for the test, to be stopped and started again.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.errors import StopRun
from claudebatch.storage.shared_server.redis_server import ServerAway, Value
from claudebatch.storage.shared_server.script import Script
from claudebatch.storage.shared_server.wait_counter import WaitCounter
from tests.support.round_trip import RoundTrip

HOST, PORT = "127.0.0.1", 6379
NO_REDIS = "no Redis listens at 127.0.0.1:6379"
NO_SERVER = "there is no redis-server to be started"


def _answers() -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, PORT)) == 0


needs_redis = pytest.mark.skipif(not _answers(), reason=NO_REDIS)
needs_redis_server = pytest.mark.skipif(shutil.which("redis-server") is None, reason=NO_SERVER)


@contextmanager
def own_prefix() -> Iterator[str]:
    """A prefix of keys that are gone afterwards."""
    redis = pytest.importorskip("redis")
    prefix = f"claudebatch-test:{{{os.getpid():x}-{time.monotonic_ns():x}}}"
    try:
        yield prefix
    finally:
        with redis.Redis(HOST, PORT) as client:
            found = list(client.scan_iter(match=f"{prefix}:*", count=1000))
            if found:
                client.delete(*found)


class VirtualServer:
    """A `ScriptServer` whose scripts run in a real Redis, by a clock of virtual time
    and behind a round trip of virtual time.
    """

    def __init__(
        self,
        prefix: str,
        client: str,
        *,
        now: Callable[[], float],
        sleep: Any,
        one_way_s: float = 0.002,
    ) -> None:
        import redis

        self.prefix = prefix
        self.client = client
        self.waits = WaitCounter(now)
        self.sleep = sleep
        self.trips = RoundTrip(one_way_s)
        self._now = now
        self._redis = redis.Redis(HOST, PORT)
        # Mutable: set by tests. Away: nothing runs; mute: it runs, and no answer comes;
        # broken: waiting helps nothing.
        self.away = False
        self.mute = False
        self.broken = False

    async def run(self, script: Script, keys: Sequence[str], *values: Value) -> list[bytes]:
        """What the script answers."""
        return await self.trips.ask(lambda: self._run(script, keys, values))

    def _run(self, script: Script, keys: Sequence[str], values: Sequence[Value]) -> list[bytes]:
        if self.broken:
            raise StopRun("E000", "it was away for too long")
        if self.away:
            raise ServerAway("it is away")
        # A clock that stands at 0 would be none.
        clock = repr(1_000_000.0 + self._now())
        answer: Any = self._redis.eval(script.text, len(keys), *keys, clock, *values)
        if self.mute:
            raise ServerAway("its answer was lost")
        return answer  # type: ignore[no-any-return]

    def close(self) -> None:
        """Let go of the connection."""
        self._redis.close()


class OwnServer:
    """A redis-server of a test's own, without a file on disk."""

    def __init__(self, folder: Path) -> None:
        with closing(socket.socket()) as probe:
            probe.bind((HOST, 0))
            self.port = probe.getsockname()[1]
        self._folder = folder
        # Mutable: the process, while it runs.
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://{HOST}:{self.port}"

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", HOST, "--save", ""]
        self._process = subprocess.Popen(
            [*command, "--dir", str(self._folder), *options], stdout=subprocess.DEVNULL
        )
        for _ in range(500):
            with closing(socket.socket()) as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError("redis-server does not answer")

    def stop(self) -> None:
        """Kill it: what it knew is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
