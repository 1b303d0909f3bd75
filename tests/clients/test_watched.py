"""Who watches an answer is told when it begins, how it grows, byte for byte, and when
it grows unseen.
"""

from __future__ import annotations

import gzip
import json

import pytest

from claudebatch.clients.wire_format import STREAM_ABOVE
from claudebatch.core.domain import PromptTokens
from claudebatch.core.limit_headers import LimitReading, Limits
from tests.clients.seen import BEGAN, HIDES
from tests.clients.test_wire_table import ending
from tests.clients.wire import (
    BODY,
    DELTA,
    HANG,
    MESSAGE,
    START,
    STOP,
    STREAM_HEAD,
    WHOLE,
    block,
    events,
    head,
    http,
    refusal,
    text,
)

LIMIT_LINES = (
    "anthropic-ratelimit-requests-limit: 50",
    "anthropic-ratelimit-requests-remaining: 49",
    "anthropic-ratelimit-input-tokens-remaining: 7000",
    "anthropic-ratelimit-output-tokens-limit: 8000",
    "anthropic-ratelimit-output-tokens-remaining: 6000",
)
LIMITS = Limits(LimitReading(50, 49), LimitReading(None, 7000), LimitReading(8000, 6000))


def as_utf8(*values):
    """*values* as events whose characters stand as they are, as the API sends them;
    `events` escapes them.
    """
    return b"".join(
        f"event: {v['type']}\ndata: {json.dumps(v, ensure_ascii=False)}\n\n".encode()
        for v in values
    )


def deltas(kind, name, *pieces):
    return [{"type": kind, name: piece} for piece in pieces]


def tool(index, *pieces):
    start = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    return block(index, start, *deltas("input_json_delta", "partial_json", *pieces))


def moved(index, said):
    """The events of a block, as those of the *index*-th one."""
    return [{**event, "index": index} for event in said]


@pytest.mark.parametrize(
    ("max_tokens", "streamed"),
    [(0, False), (1, True), (512, True), (STREAM_ABOVE, True), (STREAM_ABOVE + 1, True)],
)
async def test_a_watched_answer_is_a_stream_on_the_wire_unless_it_may_not_be_one(
    wire, connect, call, seen, max_tokens, streamed
):
    wire.does(STREAM_HEAD, events(*WHOLE)) if streamed else wire.does(http(200, BODY))
    wanted = call(max_tokens=max_tokens).watched(seen)
    kept = bytes(wanted.body)
    reply = await connect(wire.url)(wanted)
    (sent,) = wire.requests
    asked = json.loads(sent)
    assert asked.pop("stream", False) is streamed
    assert asked == json.loads(kept)
    assert wanted.body == kept, "the cache key is made of the body"
    assert json.loads(reply.message) == MESSAGE
    assert seen.told == ([BEGAN, 11] if streamed else [BEGAN])


async def test_the_limits_of_the_head_are_told_before_anything_of_the_answer_has_come(
    wire, connect, call, seen
):
    wire.does(
        head(200, "content-type: text/event-stream", *LIMIT_LINES), seen.after(1), events(*WHOLE)
    )
    reply = await connect(wire.url)(call().watched(seen))
    assert seen.told == [BEGAN, 11]
    assert seen.limits == reply.limits == LIMITS


async def test_a_head_without_limits_is_a_beginning_too(wire, connect, call, seen):
    wire.does(STREAM_HEAD, seen.after(1), events(*WHOLE))
    await connect(wire.url)(call().watched(seen))
    assert (seen.told, seen.limits) == ([BEGAN, 11], None)


async def test_a_request_that_is_not_let_in_has_no_beginning(wire, connect, call, seen):
    wire.does(refusal(529, "overloaded_error", "no.", None, *LIMIT_LINES))
    found = await ending(connect(wire.url), call().watched(seen))
    assert (found.status, seen.told) == (529, [])


@pytest.mark.parametrize("written", [events, as_utf8], ids=["escaped", "as it is"])
@pytest.mark.parametrize(
    "pieces", [("Hello",), ("Grüße, ", "你好 \u2028", ""), ("😀", '\n\t"\\'), (), ("",)]
)
async def test_what_is_shown_of_a_text_adds_up_to_its_bytes_of_utf8(
    wire, connect, call, seen, pieces, written
):
    wire.does(STREAM_HEAD, seen.after(1), written(START, *text(*pieces), DELTA, STOP))
    reply = await connect(wire.url)(call().watched(seen))
    assert reply.text == "".join(pieces)
    assert seen.shown == len(reply.text.encode())
    assert len(seen.told) == (2 if reply.text else 1), "nothing shown is nothing told"


@pytest.mark.parametrize("written", [events, as_utf8], ids=["escaped", "as it is"])
async def test_what_is_shown_of_a_tools_input_is_its_json_as_it_was_written(
    wire, connect, call, seen, written
):
    pieces = ('{"ort" :  "Zür', 'ich", "n": 1.50, ', '"é": "\\u00e9"', " }")
    wire.does(
        STREAM_HEAD, written(START, *text("So: "), *tool(1, *pieces), *tool(2, ""), DELTA, STOP)
    )
    reply = await connect(wire.url)(call().watched(seen))
    assert seen.shown == len("So: ") + len("".join(pieces).encode())
    assert json.loads(reply.message)["content"][1]["input"] == {"ort": "Zürich", "n": 1.5, "é": "é"}
    assert HIDES not in seen.told


MANY_BYTES = "é日😀"


@pytest.mark.parametrize("at", range(len(MANY_BYTES.encode()) + 1))
async def test_a_character_that_comes_in_two_pieces_is_shown_once_it_is_whole(
    wire, connect, call, seen, at
):
    data = as_utf8(START, *text("Hi ", MANY_BYTES, "!"), DELTA, STOP)
    cut = data.index(MANY_BYTES.encode()) + at
    wire.does(STREAM_HEAD, seen.after(1), data[:cut], seen.after(2), data[cut:])
    reply = await connect(wire.url)(call().watched(seen))
    assert reply.text == f"Hi {MANY_BYTES}!"
    assert seen.told == [BEGAN, 3, len(MANY_BYTES.encode()) + 1]


async def test_a_stream_that_comes_byte_by_byte_is_shown_as_any_other(wire, connect, call, seen):
    data = as_utf8(START, *text("Grüße ", MANY_BYTES), *tool(1, '{"a":', '"ü"}'), DELTA, STOP)
    wire.does(STREAM_HEAD, *(step for byte in data for step in (bytes([byte]), 0.0)))
    reply = await connect(wire.url)(call().watched(seen))
    assert reply.text == f"Grüße {MANY_BYTES}"
    assert seen.shown == len(reply.text.encode()) + len('{"a":"ü"}'.encode())
    assert len(seen.told) > 3, "told as it came"


async def test_events_that_come_together_are_told_at_once_and_others_as_they_come(
    wire, connect, call, seen
):
    said = [START, *text("a", "bc", "def", "ghij", "klmno"), DELTA, STOP]
    wire.does(STREAM_HEAD, seen.after(1), events(*said[:5]), seen.after(2), events(*said[5:]))
    await connect(wire.url)(call().watched(seen))
    assert seen.told == [BEGAN, 6, 9]


async def test_a_compressed_stream_is_shown_as_what_it_is(wire, connect, call, seen):
    data = gzip.compress(events(START, *text("word " * 2000), DELTA, STOP))
    wire.does(
        head(200, "content-type: text/event-stream", "content-encoding: gzip"), seen.after(1), data
    )
    reply = await connect(wire.url)(call().watched(seen))
    assert seen.shown == len(reply.text) == 10_000


async def test_what_stands_after_the_end_of_a_message_is_not_shown(wire, connect, call, seen):
    wire.does(STREAM_HEAD, events(*WHOLE, *WHOLE), HANG)
    assert json.loads((await connect(wire.url)(call().watched(seen))).message) == MESSAGE
    assert seen.told == [BEGAN, 11]


THOUGHTS = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    *deltas("thinking_delta", "thinking", "I wonder ", "whether"),
    *deltas("signature_delta", "signature", "c2lnbmF0dXJl"),
)
SEARCH = block(
    0,
    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
    *deltas("input_json_delta", "partial_json", '{"query": "cats"}'),
)
HIDDEN = {
    "thoughts": THOUGHTS,
    "thoughts that are left out": [THOUGHTS[0], *THOUGHTS[3:]],
    "redacted thoughts": block(0, {"type": "redacted_thinking", "data": "b3Bh"}),
    "a search": SEARCH,
    "what a search found": block(
        0, {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    ),
    "what nobody knows yet": block(
        0, {"type": "poem", "text": ""}, *deltas("text_delta", "text", "O rose")
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
async def test_what_is_hidden_is_told_when_it_begins_and_not_counted(
    wire, connect, call, seen, name
):
    begins, *rest = HIDDEN[name]
    answer = moved(1, text("Hello", " there"))
    wire.does(
        STREAM_HEAD, events(START, begins), seen.after(2), events(*rest, *answer, DELTA, STOP)
    )
    reply = await connect(wire.url)(call().watched(seen))
    assert seen.told == [BEGAN, HIDES, 11]
    assert reply.text == "Hello there"


async def test_hiding_is_told_once_however_often_an_answer_hides(wire, connect, call, seen):
    first, *others = [
        moved(index, said)
        for index, said in enumerate([text("Hello"), *HIDDEN.values(), text("!")])
    ]
    later = [step for said in others[:-1] for step in (events(*said), 0.0)]
    wire.does(
        STREAM_HEAD,
        events(START, *first),
        seen.after(2),
        *later,
        seen.after(3),
        events(*others[-1], DELTA, STOP),
    )
    reply = await connect(wire.url)(call().watched(seen))
    assert seen.told == [BEGAN, 5, HIDES, 1]
    assert len(json.loads(reply.message)["content"]) == len(HIDDEN) + 2


async def test_what_begins_to_hide_together_with_what_it_shows_is_told_first(
    wire, connect, call, seen
):
    wire.does(
        STREAM_HEAD, seen.after(1), events(START, *THOUGHTS, *moved(1, text("Hello")), DELTA, STOP)
    )
    await connect(wire.url)(call().watched(seen))
    assert seen.told == [BEGAN, HIDES, 5]


async def test_what_the_prompt_counted_is_told_when_the_message_begins(wire, connect, call, seen):
    usage = {
        "input_tokens": 7,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 500,
        "output_tokens": 1,
    }
    begins = {**START, "message": {**START["message"], "usage": usage}}
    wire.does(STREAM_HEAD, events(begins), seen.after(1), events(*WHOLE[1:]))
    await connect(wire.url)(call().watched(seen))
    assert seen.prompt == PromptTokens(7, written=30, read=500)
    assert seen.prompt.limited == 37, (
        "what was written to the prompt cache, too, but not what was read from it"
    )
