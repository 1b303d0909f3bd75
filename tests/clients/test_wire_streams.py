"""Streamed answers over real sockets: when one is asked for, what it adds up to, and
every way it can break off.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from claudebatch.clients.wire_format import STREAM_ABOVE
from claudebatch.core.errors import AccountRefused, AttemptError, NotServed, RateLimited
from tests.clients.test_wire_table import ACCOUNT, LOST, Fate, check, ending
from tests.clients.wire import (
    BODY,
    DELTA,
    HANG,
    MESSAGE,
    RESET,
    START,
    STOP,
    STREAM_HEAD,
    WHOLE,
    events,
    head,
    http,
    refusal,
    text,
)

LONG = STREAM_ABOVE + 1


@pytest.mark.parametrize(
    ("max_tokens", "streamed"), [(1, False), (STREAM_ABOVE, False), (LONG, True), (128_000, True)]
)
async def test_long_answers_are_streamed_and_only_the_wire_knows(
    wire, connect, call, max_tokens, streamed
):
    wire.does(STREAM_HEAD, events(*WHOLE)) if streamed else wire.does(http(200, BODY))
    wanted = call(max_tokens=max_tokens)
    kept = bytes(wanted.body)
    reply = await connect(wire.url)(wanted)
    (sent,) = wire.requests
    asked = json.loads(sent)
    assert asked.pop("stream", False) is streamed
    assert asked == json.loads(kept)
    assert wanted.body == kept, "the cache key is made of the body"
    assert json.loads(reply.message) == MESSAGE


async def test_the_threshold_lies_below_the_ten_minutes_of_the_sdk():
    assert STREAM_ABOVE * 3600 / 128_000 < 600


@pytest.mark.parametrize(
    "prompt", ["hello", "[[simulate: refusal]]", "[[simulate: empty]]", "[[simulate: tokens 9]]"]
)
async def test_streamed_and_plain_answers_of_one_request_are_the_same(
    simulate, connect, call, prompt
):
    _, url = await simulate()
    client = connect(url)
    tools = [{"name": "t", "input_schema": {"type": "object"}}]
    for more in ({}, {"tools": tools, "tool_choice": {"type": "any"}}):
        short = call(prompt, **more)
        plain = await client(short)
        streamed = await client(replace(short, size=replace(short.size, output_bound=LONG)))
        assert {**json.loads(streamed.message), "id": ""} == {**json.loads(plain.message), "id": ""}
        assert (streamed.text, streamed.usage, streamed.stop_reason) == (
            plain.text,
            plain.usage,
            plain.stop_reason,
        )


async def test_a_stream_brings_the_facts_of_its_head(simulate, connect, call):
    from claudebatch.simulator import SimulatedAllowance

    _, url = await simulate(limits=SimulatedAllowance(rpm=600))
    reply = await connect(url)(call(max_tokens=LONG))
    assert reply.limits.requests.limit == 600
    assert reply.request_id.startswith("req_")
    assert reply.simulated


async def test_a_gateway_that_does_not_stream_is_understood(wire, connect, call):
    wire.does(http(200, BODY, "content-type: application/json"))
    assert (await connect(wire.url)(call(max_tokens=LONG))).text == "Hello there"


async def test_connections_of_streams_are_used_again(simulate, connect, call):
    simulator, url = await simulate()
    client = connect(url)
    for _ in range(5):
        await client(call(max_tokens=LONG))
    assert len(simulator._connections) <= 2


def error(type_, message="Overloaded", code=None):
    details = {"error_code": code} if code else None
    return {"type": "error", "error": {"details": details, "type": type_, "message": message}}


HALF = [START, *text("Hello")[:-1]]
BILLED = Fate(AttemptError, billed=True)
CUT = {
    "an overload": ((*HALF, error("overloaded_error")), LOST, "overloaded_error"),
    "an overload at once": ((error("overloaded_error"),), LOST, "overloaded_error"),
    "an error of the API": ((*HALF, error("api_error")), LOST, "api_error"),
    "a timeout of the API": ((*HALF, error("timeout_error")), LOST, "timeout_error"),
    "an error of no known type": ((*HALF, error("brand_new_error")), LOST, "brand_new_error"),
    "an error without a type": ((*HALF, error(None)), LOST, "api_error"),
    "a rate limit": (
        (*HALF, error("rate_limit_error")),
        Fate(RateLimited, True, True),
        "rate_limit_error",
    ),
    "a row's own error": ((*HALF, error("invalid_request_error")), BILLED, "invalid_request_error"),
    "a model that is gone": (
        (error("not_found_error"),),
        Fate(NotServed, billed=True),
        "not_found_error",
    ),
    "an account": ((error("permission_error"),), ACCOUNT, ""),
    "a spend limit": (
        (*HALF, error("rate_limit_error", code="enforced_spend_limit_reached")),
        ACCOUNT,
        "",
    ),
    "no message_stop": ((*WHOLE[:-1],), LOST, "bad_answer"),
    "an end after the head": ((), LOST, "bad_answer"),
    "an end in a block": ((*HALF,), LOST, "bad_answer"),
    "message_stop in a block": ((*HALF, STOP), LOST, "bad_answer"),
    "message_stop without counts": ((START, *text("Hello"), STOP), LOST, "bad_answer"),
    "message_stop alone": ((STOP,), LOST, "bad_answer"),
    "two starts": ((START, START, *WHOLE[1:]), LOST, "bad_answer"),
    "no start": ((*WHOLE[1:],), LOST, "bad_answer"),
    "a block twice": ((START, *text("Hello"), *text("Hello"), DELTA, STOP), LOST, "bad_answer"),
    "a delta after its block": ((*WHOLE[:5], WHOLE[2], *WHOLE[5:]), LOST, "bad_answer"),
    "a block that ends twice": ((*WHOLE[:5], WHOLE[4], *WHOLE[5:]), LOST, "bad_answer"),
    "a delta before its block": ((START, WHOLE[2], *WHOLE[1:]), LOST, "bad_answer"),
    "a delta of another block": (
        (*WHOLE[:2], {**WHOLE[2], "index": 1}, *WHOLE[3:]),
        LOST,
        "bad_answer",
    ),
    "a block out of turn": (
        (START, *({**event, "index": 1} for event in text("Hello")), DELTA, STOP),
        LOST,
        "bad_answer",
    ),
    "a block that begins out of turn": (
        (START, {**WHOLE[1], "index": 1}, *WHOLE[2:]),
        LOST,
        "bad_answer",
    ),
    "counts before the start": ((DELTA, *WHOLE), LOST, "bad_answer"),
}


@pytest.mark.parametrize("name", CUT)
async def test_a_stream_that_does_not_end_well_is_no_answer(name, wire, connect, call):
    said, fate, type_ = CUT[name]
    wire.does(STREAM_HEAD, events(*said))
    found = await ending(connect(wire.url), call(max_tokens=LONG))
    check(found, fate)
    if not isinstance(found, AccountRefused):
        assert (found.type, found.status, found.request_id) == (type_, 200, "req_h")


CHUNKED = head(200, "content-type: text/event-stream", "transfer-encoding: chunked")
STATED = head(200, "content-type: text/event-stream", "content-length: 9999")


@pytest.mark.parametrize(
    ("name", "does", "type_"),
    [
        (
            "reset",
            (CHUNKED, b"20\r\n" + events(*HALF)[:32] + b"\r\n", 0.05, RESET),
            "connection_error",
        ),
        (
            "chunks that stop",
            (CHUNKED + b"20\r\n" + events(*HALF)[:32] + b"\r\n",),
            "connection_error",
        ),
        ("content-length too long", (STATED + events(*HALF),), "connection_error"),
        ("a broken event", (STREAM_HEAD, b"event: message_start\ndata: {oh\n\n"), "bad_answer"),
        ("an event of no type", (STREAM_HEAD, b"data: {}\n\n"), "bad_answer"),
        (
            "an error that is no JSON",
            (STREAM_HEAD, b"event: error\ndata: Overloaded\n\n"),
            "bad_answer",
        ),
        ("bytes that are no text", (STREAM_HEAD, b'data: {"type":"\xff"}\n\n'), "bad_answer"),
        ("a line without end", (STREAM_HEAD, b"data: ", bytes(100 * 2**20)), "bad_answer"),
        ("comments without end", (STREAM_HEAD, (b":" + bytes(2**20) + b"\n") * 60), "bad_answer"),
    ],
)
async def test_a_stream_that_is_cut_or_broken_may_be_billed(name, does, type_, wire, connect, call):
    wire.does(*does)
    found = await ending(connect(wire.url), call(max_tokens=LONG))
    check(found, LOST)
    assert found.type == type_


async def test_an_error_status_means_the_same_with_and_without_a_stream(wire, connect, call):
    wire.does(refusal(529, "overloaded_error"))
    found = await ending(connect(wire.url), call(max_tokens=LONG))
    assert (found.type, found.status, found.may_be_billed) == ("overloaded_error", 529, False)


async def test_what_stands_after_the_end_of_a_message_does_not_matter(wire, connect, call):
    for more in (
        (b"rubbish",),
        (events(error("overloaded_error")),),
        (0.05, events(error("overloaded_error"))),
        (HANG,),
    ):
        wire.does(STREAM_HEAD, events(*WHOLE), *more)
        assert json.loads((await connect(wire.url)(call(max_tokens=LONG))).message) == MESSAGE


@pytest.mark.parametrize("fault", ["stream_error", "stream_open", "cut"])
async def test_the_simulators_broken_streams_are_tried_again(fault, simulate, connect, call):
    simulator, url = await simulate(script=(fault, "ok"))
    client = connect(url)
    check(await ending(client, call(max_tokens=LONG)), LOST)
    assert (await client(call(max_tokens=LONG))).text
    assert simulator.stats()["requests"] == 2
