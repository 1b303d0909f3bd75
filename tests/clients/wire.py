"""A server that does to its client exactly what a test says, byte by byte, and the
bytes to say it with.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias


@dataclass(frozen=True)
class Act:
    """Something a server does besides sending bytes."""

    name: str


HANG: Final = Act("keep the connection open and say no more")
RESET: Final = Act("reset the connection")
AT_ONCE: Final = Act("do not read the request first")
Step: TypeAlias = bytes | float | asyncio.Event | Act
"""Bytes are sent, a number is a pause in seconds, an event is waited for. At the end of
its steps the server closes.
"""


@dataclass
class WireServer:
    """Does the same steps to every connection."""

    url: str = ""
    steps: tuple[Step, ...] = ()
    requests: list[bytes] = field(default_factory=list)
    sent: int = 0
    """How many bytes the last client has taken off us."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client closes on a server that hangs."""

    def does(self, *steps: Step) -> None:
        self.steps = steps

    serving: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def close(self) -> None:
        """End what is still being served."""
        for task in self.serving:
            task.cancel()
        await asyncio.gather(*self.serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        finally:
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            if AT_ONCE not in self.steps:
                self.requests.append(await read_request(reader))
            for step in self.steps:
                await self._do(step, reader, writer)
        # Also one that closes before it has read all that was sent: that is a reset.
        if HANG in self.steps:
            self.left.set()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _do(
        self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if isinstance(step, bytes):
            for start in range(0, len(step), 2**16):
                writer.write(step[start : start + 2**16])
                await writer.drain()
                self.sent = start
        elif isinstance(step, float):
            await asyncio.sleep(step)
        elif isinstance(step, asyncio.Event):
            await step.wait()
        elif step is RESET:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif step is HANG:
            while await reader.read(2**16):
                pass


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)


@asynccontextmanager
async def wire_server() -> AsyncIterator[WireServer]:
    server = WireServer()
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await server.close()
        await listening.wait_closed()


def head(status: int, *lines: str) -> bytes:
    """The head of an answer; without a content-length the body goes on until the
    connection closes.
    """
    return "\r\n".join([f"HTTP/1.1 {status} Whatever", *lines, "connection: close", "", ""]).encode(
        "latin-1"
    )


def http(status: int, body: bytes, *lines: str) -> bytes:
    """A whole answer."""
    return head(status, f"content-length: {len(body)}", *lines) + body


def refusal(
    status: int, type_: str | None, message: str = "no.", code: str | None = None, *lines: str
) -> bytes:
    """An error answer as the API words it."""
    error: dict[str, Any] = {"type": type_, "message": message}
    if code is not None:
        error["details"] = {"error_code": code}
    body = json.dumps({"type": "error", "error": error, "request_id": "req_b"}).encode()
    return http(status, body, "content-type: application/json", "request-id: req_h", *lines)


MESSAGE: Final[dict[str, Any]] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-5-5",
    "content": [{"type": "text", "text": "Hello there"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 5},
}
BODY: Final = json.dumps(MESSAGE).encode()

START: Final[dict[str, Any]] = {
    "type": "message_start",
    "message": {
        **MESSAGE,
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    },
}
DELTA: Final[dict[str, Any]] = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
    "usage": {"output_tokens": 5},
}
STOP: Final[dict[str, Any]] = {"type": "message_stop"}


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text(*pieces: str) -> list[dict[str, Any]]:
    return block(
        0,
        {"type": "text", "text": ""},
        *({"type": "text_delta", "text": piece} for piece in pieces),
    )


WHOLE: Final = [START, *text("Hello", " there"), DELTA, STOP]
"""The events that add up to MESSAGE."""


def events(*values: dict[str, Any]) -> bytes:
    """*values* as server-sent events."""
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (v["type"].encode(), json.dumps(v).encode()) for v in values
    )


STREAM_HEAD: Final = head(
    200, "content-type: text/event-stream; charset=utf-8", "request-id: req_h"
)
"""Of a stream that ends when the connection does."""
