"""An answer is an answer, however gateways wrap it, and takes no more memory and time
than one.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib

import pytest

from tests.clients.test_wire_table import ending
from tests.clients.wire import BODY, MESSAGE, head, http

JSON = "content-type: application/json"
KEPT_OPEN = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("as it is", http(200, BODY, JSON)),
        ("until the end of the connection", head(200, JSON) + BODY),
        (
            "in chunks",
            head(200, "transfer-encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
        ),
        ("gzip", http(200, gzip.compress(BODY), "content-encoding: gzip")),
        ("deflate", http(200, zlib.compress(BODY), "content-encoding: deflate")),
        (
            "deflate without a head",
            http(200, zlib.compress(BODY)[2:-4], "content-encoding: deflate"),
        ),
        (
            "an encoding nobody knows, and none in truth",
            http(200, BODY, "content-encoding: identity, nonsense"),
        ),
        ("as text", http(200, BODY, "content-type: text/plain")),
        ("with more behind its content-length", KEPT_OPEN + BODY + b"HTTP/1.1 500 No\r\n\r\n"),
        ("after a 103", b"HTTP/1.1 103 Early\r\nlink: </x>\r\n\r\n" + http(200, BODY, JSON)),
        (
            "with waits that mean nothing on a 200",
            http(200, BODY, "retry-after: 46", "x-should-retry: true"),
        ),
        ("spread over lines", http(200, json.dumps(MESSAGE, indent=2).encode(), JSON)),
        (
            "a model that ran out of window",
            http(200, BODY.replace(b'"end_turn"', b'"model_context_window_exceeded"'), JSON),
        ),
    ],
)
async def test_an_answer_is_an_answer_however_it_is_wrapped(name, answer, wire, connect, call):
    wire.does(answer)
    reply = await connect(wire.url)(call())
    assert reply.text == "Hello there"
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (3, 5)


async def test_a_body_without_end_is_not_read_to_its_end(wire, connect, call):
    wire.does(head(200, JSON), bytes(100 * 2**20))
    error = await ending(connect(wire.url), call())
    assert error.type == "bad_answer"
    await asyncio.sleep(0.05)
    assert 32 * 2**20 <= wire.sent < 60 * 2**20


@pytest.mark.parametrize("status", [200, 500])
async def test_a_bomb_takes_no_more_memory_than_the_longest_answer(status, wire, connect, call):
    client = connect(wire.url)
    wire.does(http(200, BODY))
    await client(call())
    wire.does(http(status, gzip.compress(bytes(200 * 2**20)), "content-encoding: gzip"))
    tracemalloc.start()
    try:
        await ending(client, call())
        assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
    finally:
        tracemalloc.stop()
