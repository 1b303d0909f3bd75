"""A whole answer is never bought again for its encoding, for one bad character, or for
a usage that nobody can read.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from claudebatch.clients.wire_format import STREAM_ABOVE
from claudebatch.core.domain import Succeeded
from claudebatch.core.result_lines import head as line_head
from claudebatch.core.result_lines import line
from tests.clients.test_wire_table import ending
from tests.clients.wire import BODY, DELTA, MESSAGE, START, STOP, WHOLE, block, events, head, http
from tests.clients.wire import text as text_events

JSON = "content-type: application/json"
LONG = STREAM_ABOVE + 1
SMILE = "h\u00e9 \U0001f600"


def said(text: str) -> dict[str, Any]:
    return {**MESSAGE, "content": [{"type": "text", "text": text}]}


PLAIN = json.dumps(said(SMILE), ensure_ascii=False).encode()
UTF_8 = "\U0001f600".encode()

WHOLE_BODIES = {
    "a BOM": b"\xef\xbb\xbf" + PLAIN,
    "UTF-16": PLAIN.decode().encode("utf-16"),
    "UTF-16 without a BOM": PLAIN.decode().encode("utf-16-be"),
    "UTF-32": PLAIN.decode().encode("utf-32"),
    "NUL bytes at the end": PLAIN + bytes(7),
    "blanks around it": b"\r\n " + PLAIN + b"\r\n\r\n",
    "escapes in pairs": json.dumps(said(SMILE)).encode(),
    "halves of characters in the form of UTF-8": PLAIN.replace(
        UTF_8, "\ud83d\ude00".encode("utf-8", "surrogatepass")
    ),
}


@pytest.mark.parametrize("name", WHOLE_BODIES)
async def test_an_answer_in_another_encoding_is_the_same_answer(name, wire, connect, call):
    wire.does(http(200, WHOLE_BODIES[name], JSON))
    reply = await connect(wire.url)(call())
    assert (reply.text, reply.replaced_characters, reply.counted) == (SMILE, 0, True)
    assert result(reply, call) == {**said(SMILE)}


BROKEN_BODIES = {
    "half a pair": (json.dumps(said(SMILE)).encode().replace(b"\\ude00", b""), "h\u00e9 \ufffd"),
    "the other half": (json.dumps(said(SMILE)).encode().replace(b"\\ud83d", b""), "h\u00e9 \ufffd"),
    "two first halves": (
        json.dumps(said(SMILE)).encode().replace(b"\\ude00", b"\\uD83D"),
        "h\u00e9 \ufffd\ufffd",
    ),
    "a byte that is no UTF-8": (PLAIN.replace(UTF_8, b"\xff"), "h\u00e9 \ufffd"),
    "Latin-1": (PLAIN.replace("\u00e9".encode(), b"\xe9"), "h\ufffd \U0001f600"),
    "half a pair in the form of UTF-8": (
        PLAIN.replace(UTF_8, "\ud83d".encode("utf-8", "surrogatepass")),
        "h\u00e9 \ufffd",
    ),
    "half a pair where nobody looks": (
        json.dumps({**said("h\u00e9 ?"), "extra": "\ud800"}).encode(),
        "h\u00e9 ?",
    ),
    "bytes where nobody looks": (
        json.dumps({**said("h\u00e9 ?"), "extra": "!"}).encode().replace(b'"!"', b'"\xff"'),
        "h\u00e9 ?",
    ),
}


@pytest.mark.parametrize("name", BROKEN_BODIES)
async def test_a_bad_character_is_replaced_and_marked(name, wire, connect, call):
    body, text = BROKEN_BODIES[name]
    wire.does(http(200, body, JSON))
    reply = await connect(wire.url)(call())
    assert (reply.text, reply.counted) == (text, True)
    assert reply.replaced_characters == (2 if name == "two first halves" else 1)
    assert result(reply, call)["replaced_characters"] == reply.replaced_characters


PACKED = gzip.compress(PLAIN)


@pytest.mark.parametrize(
    ("body", "type_", "most"),
    [
        (PACKED, "application/json", 512),
        (PACKED + b"\0\0", "application/json", 512),
        (gzip.compress(events(*WHOLE)), "text/event-stream", LONG),
        (gzip.compress(PLAIN), "text/event-stream", LONG),
    ],
    ids=["plain", "and more", "events", "a message called events"],
)
async def test_a_packed_answer_that_is_not_called_so_is_unpacked(
    body, type_, most, wire, connect, call
):
    """As behind a gateway that takes the header off; it was bought eight times."""
    wire.does(http(200, body, f"content-type: {type_}"))
    reply = await connect(wire.url)(call(max_tokens=most))
    assert reply.text in ("Hello there", SMILE) and reply.counted


@pytest.mark.parametrize(
    "body", [PACKED[:-20], PACKED[:20] + b"!!" + PACKED[22:], gzip.compress(bytes(2**26), 1)]
)
async def test_one_that_cannot_be_is_no_answer(body, wire, connect, call):
    wire.does(http(200, body, JSON))
    assert (await ending(connect(wire.url), call())).type == "bad_answer"


KEPT = {
    "a line end as it is": (b"a\nb", "a\nb"),
    "a NUL as it is": (b"a\x00b", "a\x00b"),
    "an escape that JSON does not have": (b"C:\\xyz", "C:\\xyz"),
    "an escape of too few digits": (b"\\u12", "\\u12"),
    "an escaped backslash before a u": (b"\\\\ud800", "\\ud800"),
}


@pytest.mark.parametrize("name", KEPT)
async def test_a_character_that_only_has_no_escape_is_kept(name, wire, connect, call):
    written, text = KEPT[name]
    wire.does(http(200, BODY.replace(b"Hello there", written), JSON))
    reply = await connect(wire.url)(call())
    assert (reply.text, reply.replaced_characters) == (text, 0)
    result(reply, call)


async def test_a_number_that_json_does_not_have_becomes_null(wire, connect, call):
    wire.does(http(200, BODY[:-1] + b', "score": NaN, "x": [-Infinity, "NaN"]}', JSON))
    reply = await connect(wire.url)(call())
    message = result(reply, call)
    assert (message["score"], message["x"]) == (None, [None, "NaN"])
    assert reply.replaced_characters == 2


def result(reply: Any, call: Any) -> Any:
    """The message of the result line, which is one line of valid JSON in UTF-8."""
    written = line(line_head(Succeeded(call(), reply)), reply.message)
    assert written.count(b"\n") == 1
    found = json.loads(written.decode("utf-8"))
    assert found.get("replaced_characters", 0) == reply.replaced_characters
    json.dumps(found, ensure_ascii=False).encode()
    return found["message"]


# Streams

STREAMS = {
    "a BOM": (b"\xef\xbb\xbf", events(*WHOLE)),
    "UTF-16": (events(*WHOLE).decode().encode("utf-16"),),
    "UTF-16 in pieces": tuple(
        one
        for byte in (0, 1, 3)
        for one in (events(*WHOLE).decode().encode("utf-16")[byte : {0: 1, 1: 3}.get(byte)], 0.02)
    ),
    "NUL bytes behind it": (events(*WHOLE) + bytes(9),),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("type_", ["text/event-stream", "Text/Event-Stream;charset=utf-8"])
async def test_a_stream_in_another_encoding_is_the_same_answer(name, type_, wire, connect, call):
    wire.does(head(200, f"content-type: {type_}"), *STREAMS[name])
    reply = await connect(wire.url)(call(max_tokens=LONG))
    assert json.loads(reply.message) == MESSAGE


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        (events(*WHOLE), "application/json"),
        (b"\xef\xbb\xbf: ping\n\n" + events(*WHOLE), "text/plain"),
        (BODY, "text/event-stream"),
        (b"\r\n" + PLAIN.decode().encode("utf-16"), "text/event-stream"),
    ],
    ids=["events called JSON", "events called text", "a message called events", "in UTF-16"],
)
async def test_a_body_that_goes_by_another_name_is_read(body, type_, wire, connect, call):
    wire.does(http(200, body.removeprefix(b"\r\n"), f"content-type: {type_}"))
    reply = await connect(wire.url)(call(max_tokens=LONG))
    assert reply.text in ("Hello there", SMILE)
    assert (reply.usage.output_tokens, reply.counted) == (5, True)


def pieces(*written: bytes) -> bytes:
    """Events whose deltas are *written* as they stand."""
    deltas = events(*text_events(*(f"<{n}>" for n in range(len(written)))))
    for n, one in enumerate(written):
        deltas = deltas.replace(b"<%d>" % n, one)
    return events(START) + deltas + events(DELTA, STOP)


@pytest.mark.parametrize(
    ("written", "text", "replaced"),
    [
        ((b"a\\ud83d", b"\\ude00b"), "a\U0001f600b", 0),
        ((b"a" + UTF_8[:2], UTF_8[2:] + b"b"), "a\U0001f600b", 0),
        ((b"a\\ud83d", b"b"), "a\ufffdb", 1),
        ((b"a\xff", b"b"), "a\ufffdb", 1),
        ((b"a\x01", b"\\qb"), "a\x01\\qb", 0),
    ],
    ids=["a pair in two events", "bytes in two events", "half a pair", "a bad byte", "no escapes"],
)
async def test_a_character_of_a_stream_is_put_together_or_replaced(
    written, text, replaced, wire, connect, call
):
    wire.does(http(200, pieces(*written), "content-type: text/event-stream"))
    reply = await connect(wire.url)(call(max_tokens=LONG))
    assert (reply.text, reply.replaced_characters) == (text, replaced)
    result(reply, call)


async def test_a_bad_character_in_the_input_of_a_tool_does_not_make_it_invalid(wire, connect, call):
    start = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    delta = {"type": "input_json_delta", "partial_json": '{"a": "x\\ud800"}'}
    wire.does(
        http(
            200,
            events(START, *block(0, start, delta), DELTA, STOP),
            "content-type: text/event-stream",
        )
    )
    reply = await connect(wire.url)(call(max_tokens=LONG))
    assert result(reply, call)["content"][0]["input"] == {"a": "x\ufffd"}
    assert reply.replaced_characters == 1


# Usage

USAGES: dict[str, Any] = {
    "null": None,
    "empty": {},
    "zeros": {"input_tokens": 0, "output_tokens": 0},
    "negative": {"input_tokens": 3, "output_tokens": -5},
    "nested": {"input_tokens": 3, "output_tokens": {"total": 5}},
    "a list": [3, 5],
    "no output": {"input_tokens": 3},
}


@pytest.mark.parametrize("name", [*USAGES, "missing"])
async def test_an_answer_whose_usage_says_nothing_is_kept(name, wire, connect, call):
    message = {**MESSAGE, "usage": USAGES.get(name)}
    if name == "missing":
        del message["usage"]
    wire.does(http(200, json.dumps(message).encode(), JSON))
    reply = await connect(wire.url)(call())
    assert (reply.text, reply.counted) == ("Hello there", False)
    assert json.loads(reply.raw_usage) == USAGES.get(name)
    result(reply, call)


@pytest.mark.parametrize("number", [b"1e400", b"9" * 5000], ids=["no float", "long"])
async def test_an_answer_with_a_number_that_nothing_holds_is_kept(number, wire, connect, call):
    """The reader of usage raised, past everything that catches errors of answers: the
    run ended with an internal error, and in each session again.
    """
    for place, counted in ((b'"output_tokens": ', False), (b'"score": ', True)):
        usage = b'{"input_tokens": 3, "output_tokens": 5, ' + place + number + b"}"
        wire.does(http(200, BODY.replace(b'{"input_tokens": 3, "output_tokens": 5}', usage), JSON))
        reply = await connect(wire.url)(call())
        assert (reply.text, reply.counted) == ("Hello there", counted)
        delta = events({**DELTA, "usage": "<usage>"}).replace(b'"<usage>"', usage)
        sent = events(START, *text_events("Hello")) + delta + events(STOP)
        wire.does(http(200, sent, "content-type: text/event-stream"))
        reply = await connect(wire.url)(call(max_tokens=LONG))
        assert (reply.text, reply.counted) == ("Hello", counted)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (None, {"output_tokens": 5}),
        ({"input_tokens": 3, "output_tokens": 1}, None),
        ({"input_tokens": 3, "output_tokens": 1}, {}),
        ({"input_tokens": 3, "output_tokens": 1}, {"output_tokens": None}),
        ({"input_tokens": 3, "output_tokens": 1}, {"output_tokens": -1}),
        ({"input_tokens": 3, "output_tokens": 1}, [5]),
        ("none", 7),
        ({"input_tokens": 0, "output_tokens": 0}, {"output_tokens": 0}),
    ],
    ids=str,
)
async def test_a_stream_whose_usage_says_nothing_is_kept(start, end, wire, connect, call):
    begun = {**START, "message": {**START["message"], "usage": start}}
    sent = events(begun, *text_events("Hello"), {**DELTA, "usage": end}, STOP)
    wire.does(http(200, sent, "content-type: text/event-stream"))
    reply = await connect(wire.url)(call(max_tokens=LONG))
    assert (reply.text, reply.counted) == ("Hello", False)
    result(reply, call)


async def test_a_header_that_comes_twice_is_no_reason_to_refuse_an_answer(wire, connect, call):
    twice = ("request-id: req_1", "anthropic-ratelimit-requests-limit: 50", JSON) * 2
    wire.does(http(200, BODY, *twice, "x-long: " + "x" * 8000))
    reply = await connect(wire.url)(call())
    assert reply.text == "Hello there"
