"""The cheapest server that the SDK accepts: one fixed answer to every request, so that
only the client is measured.

    python benchmarks/lean_server.py       prints its URL and serves until it is stopped

It does not say that it is simulated, so answers are kept in the response cache as real
ones would be.
"""

from __future__ import annotations

import asyncio
import json

_MESSAGE = {
    "model": "claude-sonnet-5-5",
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "The shortest way is rarely the fastest. " * 6}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "stop_details": None,
    "usage": {
        "input_tokens": 30,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 60,
        "output_tokens_details": {"thinking_tokens": 0},
        "service_tier": "standard",
        "inference_geo": "global",
    },
}
_LIMITS = "".join(
    f"anthropic-ratelimit-{kind}-{what}: {value}\r\n"
    for kind in ("requests", "tokens", "input-tokens", "output-tokens")
    for what, value in (
        ("limit", 10_000_000),
        ("remaining", 10_000_000),
        ("reset", "2026-11-22T12:00:00Z"),
    )
)
_BODY = json.dumps(_MESSAGE, separators=(",", ":")).encode()
_HEAD = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_01\r\n{_LIMITS}"
_ANSWER = _HEAD.encode() + b"content-length: %d\r\n\r\n" % len(_BODY) + _BODY


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(self._received) < end + 4 + length:
                return
            self._received = self._received[end + 4 + length :]
            self._transport.write(_ANSWER)  # type: ignore[attr-defined]


async def main() -> None:
    """Serve until stopped."""
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
