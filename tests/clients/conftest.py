"""Real sockets on loopback: the simulator, and a server that answers with exactly the
bytes it is given.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from claudebatch.clients import batch_exchange
from claudebatch.clients.batch_client import ClaudeBatches
from claudebatch.clients.client import ClaudeClient
from claudebatch.core.domain import Call, Prompt, Route, Size, Usage
from claudebatch.simulator import Simulator, SimulatorSettings
from tests.clients.seen import Seen
from tests.clients.wire import WireServer, wire_server

KEY = "sk-ant-test"


def make_call(
    text: str = "hi", *, deadline_s: float = 20.0, model: str = "claude-haiku-5-5", **params: Any
) -> Call:
    params = {"max_tokens": 512, "messages": [{"role": "user", "content": text}], **params}
    body = json.dumps({"model": model, **params}, sort_keys=True, separators=(",", ":")).encode()
    return Call(
        row=1,
        prompt=Prompt(id="a", params=params),
        route=Route(model, "default"),
        model=model,
        body=body,
        size=Size(10, 100, 100, params["max_tokens"]),
        deadline_s=deadline_s,
    )


@pytest.fixture
def call() -> Callable[..., Call]:
    """Builds a call."""
    return make_call


@pytest.fixture(scope="session")
def trust() -> Iterator[None]:
    """Reads the certificates of this machine once, not for each of some hundred
    clients.
    """
    import httpx2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx2, "create_ssl_context", cache(httpx2.create_ssl_context))
        yield


@pytest.fixture
async def connect(trust: None) -> AsyncIterator[Callable[..., ClaudeClient]]:
    """Makes clients of a base URL, and closes them at the end."""
    clients: list[ClaudeClient] = []

    def make(
        url: str | None,
        *,
        api_key: str | None = KEY,
        concurrency: int = 8,
        idle_timeout_s: float = 15.0,
    ) -> ClaudeClient:
        client = ClaudeClient(
            api_key=api_key,
            base_url=url,
            concurrency=concurrency,
            idle_timeout_s=idle_timeout_s,
            now=time.monotonic,
            wall=lambda: datetime.now(UTC),
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
async def simulate() -> AsyncIterator[Callable[..., Any]]:
    """Starts simulators that bill a pico-dollar per token."""
    started: list[Simulator] = []

    async def start(**settings: Any) -> tuple[Simulator, str]:
        simulator = Simulator(
            SimulatorSettings(**{"latency": "fixed:0", **settings}),
            bill=_bill,
            now=time.monotonic,
            wall=lambda: datetime.now(UTC),
            rng=random.Random(3),
        )
        started.append(simulator)
        return simulator, await simulator.start()

    yield start
    for simulator in started:
        await simulator.stop()


def _bill(model: str, usage: Usage) -> int:
    return usage.total_input + usage.output_tokens


@dataclass
class RawServer:
    """Answers every request with *answer* and closes; keeps what it was sent."""

    url: str = ""
    answer: bytes = b""
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Answer with a whole response."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        length = f"content-length: {len(body)}"
        head = f"HTTP/1.1 {status} Whatever\r\n{length}\r\nconnection: close\r\n{lines}\r\n"
        self.answer = head.encode("latin-1") + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(
                line.split(":")[1]
                for line in head.split("\r\n")
                if line.lower().startswith("content-length")
            )
            self.bodies.append(await reader.readexactly(int(length)))
            self.heads.append(head)
            writer.write(self.answer)
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
async def raw() -> AsyncIterator[RawServer]:
    """A running `RawServer`."""
    server = RawServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield server
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def wire() -> AsyncIterator[WireServer]:
    """A server for bytes of every kind."""
    async with wire_server() as server:
        yield server


@pytest.fixture
async def batches(
    trust: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., ClaudeBatches]]:
    """Makes clients of the batch endpoints, and closes them at the end."""
    clients: list[ClaudeBatches] = []

    def make(
        url: str | None,
        *,
        api_key: str = KEY,
        idle_timeout_s: float = 15.0,
        created_within_s: float = 20.0,
    ) -> ClaudeBatches:
        monkeypatch.setattr(batch_exchange, "_CREATED_WITHIN_S", created_within_s)
        client = ClaudeBatches(
            api_key=api_key,
            base_url=url,
            idle_timeout_s=idle_timeout_s,
            now=time.monotonic,
            wall=lambda: datetime.now(UTC),
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


@dataclass
class RawHttp:
    """Gives the next answer to each request, and keeps what it was sent: its first
    lines, its headers, its bodies however they came.
    """

    url: str = ""
    lines: list[str] = field(default_factory=list)
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    closes_after: int | None = None
    """Close after so many bytes of a body."""
    _answers: list[bytes] = field(default_factory=list)

    def answers(self, *answers: bytes) -> None:
        self._answers = list(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
            }
            self.lines.append(first)
            if self.closes_after is not None:
                await reader.readexactly(self.closes_after)
                writer.transport.abort()
                return
            self.heard.append((headers, await _body(reader, headers)))
            writer.write(self._answers.pop(0))
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


@pytest.fixture
async def raw_http() -> AsyncIterator[RawHttp]:
    """A running `RawHttp`."""
    server = RawHttp()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield server
    listening.close()
    await listening.wait_closed()


@pytest.fixture
def seen() -> Seen:
    """A watch that has seen nothing yet."""
    return Seen()
