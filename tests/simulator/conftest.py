"""A simulator on a real socket, and a client of a few plain lines that sees every byte
of its answers.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from claudebatch.core.domain import Pico, Usage
from claudebatch.simulator import Simulator, SimulatorSettings

PATIENCE_S = 60
"""No test waits longer than this for anything; none is expected to come near it."""


class Now:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Heard:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.json["content"] if block["type"] == "text")


def bill(model: str, usage: Usage) -> Pico:
    return 7 * usage.total_input + 11 * usage.output_tokens


def plain_body(prompt: str = "What is 1 + 1?", **more: Any) -> dict[str, Any]:
    return {
        "model": "claude-haiku-5-5",
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": prompt}],
        **more,
    }


def request_bytes(
    method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> bytes:
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {
        "host": "127.0.0.1",
        "authorization": "Bearer simulated",
        "anthropic-version": "2026-10-21",
        "content-length": str(len(data)),
        **(headers or {}),
    }
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v)
    return head.encode() + b"\r\n" + data


async def read_answer(reader: asyncio.StreamReader) -> Heard:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        body = await asyncio.wait_for(
            reader.readexactly(int(headers["content-length"])), PATIENCE_S
        )
    return Heard(int(first.split()[1]), headers, body)


class Served:
    """A running simulator and the ways to talk to it."""

    def __init__(self, simulator: Simulator, url: str, now: Now) -> None:
        self.simulator = simulator
        self.url = url
        self.now = now
        self.port = int(url.rpartition(":")[2])
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return reader, writer

    async def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Heard:
        reader, writer = await self.open()
        writer.write(request_bytes(method, path, body, headers))
        heard = await read_answer(reader)
        writer.close()
        await writer.wait_closed()
        return heard

    async def ask(self, body: Any, headers: dict[str, str] | None = None) -> Heard:
        return await self.call("POST", "/v1/messages?beta=true", body, headers)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                await asyncio.sleep(0.001)

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
            try:
                await writer.wait_closed()
            except ConnectionError:
                continue
        await self.simulator.stop()


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a simulator with these settings; no latency and a clock that stands still
    unless a test says otherwise.
    """
    started: list[Served] = []

    async def start(
        *,
        known: Callable[[str], bool] | None = None,
        sleep: Any = None,
        bill: Callable[[str, Usage], Pico] = bill,
        **settings: Any,
    ) -> Served:
        now = Now()
        simulator = Simulator(
            SimulatorSettings(**{"latency": "fixed:0", **settings}),
            bill=bill,
            pool_of=lambda model: (
                model.rsplit("-", 2)[0] + model[len(model.removesuffix(" fast")) :]
            ),
            sleep=sleep,
            now=now,
            wall=lambda: datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC),
            rng=random.Random(7),
            known=known,
        )
        served = Served(simulator, await simulator.start(), now)
        started.append(served)
        return served

    yield start
    for served in started:
        await served.close()


@pytest.fixture
def body() -> Callable[..., dict[str, Any]]:
    """Builds a plain request body."""
    return plain_body


@pytest.fixture
def raw() -> Callable[..., bytes]:
    """Builds the bytes of a whole request."""
    return request_bytes


@pytest.fixture
def hear() -> Callable[[asyncio.StreamReader], Awaitable[Heard]]:
    """Reads one answer from a connection."""
    return read_answer
