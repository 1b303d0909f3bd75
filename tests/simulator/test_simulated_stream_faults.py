"""Streams that do not end well: half of an answer with an error, without its end, or
with nothing after it.
"""

from __future__ import annotations

import asyncio
import json

import pytest


def events(heard_body):
    return [
        json.loads(line[6:])
        for line in heard_body.decode().split("\n")
        if line.startswith("data: ")
    ]


@pytest.mark.parametrize(
    ("fault", "last"), [("stream_error", "error"), ("stream_open", "message_delta")]
)
async def test_a_broken_stream_is_billed_and_ends_properly_as_a_body_but_not_as_a_message(
    serve, body, fault, last
):
    served = await serve(script=("ok", fault))
    whole, broken = [events((await served.ask(body(stream=True))).body) for _ in range(2)]
    assert whole[-1] == {"type": "message_stop"}
    assert broken[-1]["type"] == last
    assert [event["type"] for event in broken[:-1]] == [
        event["type"] for event in whole[: len(broken) - 1]
    ]
    assert 2 < len(broken) < len(whole)
    stats = served.simulator.stats()
    assert stats["billed_undelivered_pico"] * 2 == stats["billed_pico"] > 0


async def test_the_error_of_a_stream_is_worded_as_the_recorded_one(serve, body):
    served = await serve(script=("stream_error",))
    heard = await served.ask(body(stream=True))
    assert heard.status == 200
    assert b"event: error\ndata: {" in heard.body
    error = {"details": None, "type": "overloaded_error", "message": "Overloaded"}
    assert events(heard.body)[-1] == {"type": "error", "error": error}


async def test_a_stream_that_hangs_ends_when_its_client_leaves(serve, body, raw):
    served = await serve(script=("stream_hang",))
    reader, writer = await served.open()
    writer.write(raw("POST", "/v1/messages", body(stream=True)))
    await asyncio.wait_for(reader.readuntil(b"content_block_start"), 20)
    assert served.simulator.stats()["in_flight"] == 1
    writer.close()
    await served.until(lambda: served.simulator.stats()["in_flight"] == 0)
    stats = served.simulator.stats()
    assert (stats["undelivered"], stats["billed_undelivered_pico"]) == (1, stats["billed_pico"])


@pytest.mark.parametrize("fault", ["stream_error", "stream_open", "stream_hang"])
async def test_a_plain_answer_comes_whole_whatever_befalls_streams(serve, body, fault):
    served = await serve(script=(fault,))
    heard = await served.ask(body())
    assert (heard.status, heard.json["stop_reason"]) == (200, "end_turn")
    assert served.simulator.stats()["undelivered"] == 0
