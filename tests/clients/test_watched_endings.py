"""Who watches an answer gets the very answer, and the very errors, that all others
get.
"""

from __future__ import annotations

import json

import pytest

from claudebatch.clients.wire_format import STREAM_ABOVE
from claudebatch.core.errors import AttemptError
from tests.clients.seen import BEGAN, HIDES
from tests.clients.test_watched import LIMIT_LINES, LIMITS
from tests.clients.test_wire_streams import CUT, error
from tests.clients.test_wire_table import LOST, check, ending
from tests.clients.wire import (
    BODY,
    HANG,
    MESSAGE,
    RESET,
    START,
    STREAM_HEAD,
    WHOLE,
    events,
    head,
    http,
    text,
)

FACTS = (
    "type",
    "status",
    "message",
    "request_id",
    "retryable",
    "retry_after",
    "may_be_billed",
    "unavailable",
)


def facts(error):
    return type(error), {name: getattr(error, name, None) for name in FACTS}


@pytest.mark.parametrize("name", CUT)
async def test_a_stream_that_does_not_end_well_is_the_same_error_for_who_watches(
    name, wire, connect, call, seen
):
    said, fate, _ = CUT[name]
    wire.does(STREAM_HEAD, events(*said))
    client = connect(wire.url)
    watched = await ending(client, call(max_tokens=STREAM_ABOVE + 1).watched(seen))
    check(watched, fate)
    assert facts(watched) == facts(await ending(client, call(max_tokens=STREAM_ABOVE + 1)))
    assert seen.told[:1] == [BEGAN]


@pytest.mark.parametrize(
    ("name", "does"),
    [
        ("an end", ()),
        ("a reset", (RESET,)),
        ("an error", (events(error("overloaded_error")),)),
        ("a broken event", (b"data: {oh\n\n",)),
        ("an event out of turn", (events(START),)),
    ],
)
async def test_what_had_come_of_a_stream_that_breaks_off_was_told(
    name, does, wire, connect, call, seen
):
    wire.does(STREAM_HEAD, seen.after(1), events(START, *text("Grüße")[:-1]), seen.after(2), *does)
    with pytest.raises(AttemptError) as lost:
        await connect(wire.url)(call().watched(seen))
    check(lost.value, LOST)
    assert seen.told == [BEGAN, 7]


async def test_what_had_come_before_a_silence_was_told(wire, connect, call, seen):
    wire.does(STREAM_HEAD, events(START, *text("Hello")[:-1]), HANG)
    with pytest.raises(AttemptError) as lost:
        await connect(wire.url, idle_timeout_s=1.0)(call().watched(seen))
    assert lost.value.type == "timeout"
    assert seen.told == [BEGAN, 5]


@pytest.mark.parametrize(
    "does", [(BODY,), (BODY[:20], 0.0, BODY[20:])], ids=["at once", "in pieces"]
)
async def test_a_gateway_that_does_not_stream_tells_the_beginning_and_shows_nothing(
    wire, connect, call, seen, does
):
    plain = head(
        200, f"content-length: {len(BODY)}", "content-type: application/json", *LIMIT_LINES
    )
    wire.does(plain, seen.after(1), *does)
    reply = await connect(wire.url)(call().watched(seen))
    assert json.loads(wire.requests[0])["stream"] is True
    assert (json.loads(reply.message), reply.text) == (MESSAGE, "Hello there")
    assert (seen.told, seen.limits) == ([BEGAN], LIMITS)


async def test_a_watched_answer_is_the_plain_one(wire, connect, call, seen):
    client = connect(wire.url)
    wire.does(
        http(
            200,
            json.dumps(MESSAGE, separators=(",", ":")).encode(),
            "content-type: application/json",
        )
    )
    plain = await client(call())
    wire.does(STREAM_HEAD, events(*WHOLE))
    watched = await client(call().watched(seen))
    assert json.loads(watched.message) == json.loads(plain.message)
    assert (watched.text, watched.usage, watched.stop_reason, watched.model) == (
        plain.text,
        plain.usage,
        plain.stop_reason,
        plain.model,
    )


FORCED = {
    "tools": [{"name": "t", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "any"},
}
THOUGHTLESS = {"thinking": {"type": "disabled"}}


@pytest.mark.parametrize(
    "prompt", ["hello", "你好", "[[simulate: refusal]]", "[[simulate: empty]]"]
)
@pytest.mark.parametrize("more", [{}, THOUGHTLESS, FORCED, {"max_tokens": 3}, {"max_tokens": 0}])
async def test_the_simulator_answers_who_watches_as_it_answers_all(
    prompt, more, simulate, connect, call, seen
):
    _, url = await simulate()
    client = connect(url)
    plain = await client(call(prompt, **more))
    watched = await client(call(prompt, **more).watched(seen))
    message = json.loads(watched.message)
    assert {**message, "id": ""} == {**json.loads(plain.message), "id": ""}
    assert (watched.text, watched.usage, watched.stop_reason) == (
        plain.text,
        plain.usage,
        plain.stop_reason,
    )
    kinds = [part["type"] for part in message["content"]]
    inputs = [
        json.dumps(part["input"], separators=(",", ":"))
        for part in message["content"]
        if "input" in part
    ]
    assert seen.told[0] == BEGAN
    assert seen.told.count(HIDES) == ("thinking" in kinds)
    streamed = more.get("max_tokens") != 0
    assert seen.shown == (len((watched.text + "".join(inputs)).encode()) if streamed else 0)
    assert (
        watched.usage.thinking_tokens
        == message["usage"]["output_tokens_details"]["thinking_tokens"]
    )


async def test_a_call_is_the_same_call_whoever_watches(call, seen):
    wanted = call()
    watched = wanted.watched(seen)
    assert (watched.watch, wanted.watch) == (seen, None)
    assert (watched, repr(watched)) == (wanted, repr(wanted))
