"""From the API's bytes to our lines: nothing is lost, nothing is invented, every line
is one line of JSON.
"""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.core.domain import (
    Call,
    Failed,
    Failure,
    Outcome,
    Reply,
    Route,
    Succeeded,
    Usage,
    from_usd,
    usd_text,
)
from claudebatch.core.message import BadAnswer, parse_message
from claudebatch.core.result_lines import head, line
from tests.support.scripted import HAIKU, OPUS, make_call, make_reply

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": HAIKU,
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 5},
}


def body(**changes: Any) -> bytes:
    return json.dumps({**MESSAGE, **changes}).encode()


def usage(**fields: Any) -> Usage:
    return parse_message(body(usage={"input_tokens": 3, "output_tokens": 5, **fields})).usage


# Reading an answer


def test_a_message_is_kept_as_the_bytes_that_came():
    raw = body(some_field_of_next_year={"a": [1, 2**70, 1.50]})
    reply = parse_message(raw, request_id="req_1", latency_ms=12)
    assert reply.message == raw
    assert (reply.model, reply.text, reply.stop_reason) == (HAIKU, "hi", "end_turn")
    assert (reply.request_id, reply.latency_ms, reply.source) == ("req_1", 12, "api")
    assert json.loads(reply.raw_usage) == MESSAGE["usage"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        (
            [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "a"},
            ],
            "a",
        ),
        ([{"type": "tool_use", "id": "t", "name": "n", "input": {"text": "no"}}], ""),
        ([{"type": "block_of_next_year", "text": None}, {"type": "text", "text": ""}], ""),
        ([{"type": "text", "text": "é\u2028\n\U0001f600"}], "é\u2028\n\U0001f600"),
    ],
    ids=["none", "two texts", "thinking first", "a tool", "unknown", "line ends"],
)
def test_the_text_is_all_text_blocks_and_nothing_else(content, text):
    assert parse_message(body(content=content)).text == text


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({}, (0, 0)),
        ({"cache_creation_input_tokens": None, "cache_creation": None}, (0, 0)),
        ({"cache_creation_input_tokens": 9}, (9, 0)),
        (
            {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 4}},
            (5, 4),
        ),
        (
            {
                "cache_creation_input_tokens": 9,
                "cache_creation": {"ephemeral_5m_input_tokens": 9, "ephemeral_1h_input_tokens": 0},
            },
            (9, 0),
        ),
        (
            {
                "cache_creation_input_tokens": 9,
                "cache_creation": {"ephemeral_1h_input_tokens": None},
            },
            (9, 0),
        ),
    ],
    ids=str,
)
def test_cache_writes_are_told_apart_by_their_time_to_live(fields, written):
    found = usage(**fields)
    assert (found.ephemeral_5m_input_tokens, found.ephemeral_1h_input_tokens) == written
    assert found.total_input == found.limited_input == 3 + sum(written)


def test_what_else_is_charged_is_read_as_well():
    found = usage(
        cache_read_input_tokens=7,
        server_tool_use={"web_search_requests": 2, "web_fetch_requests": 1},
        inference_geo="us",
        speed="fast",
        service_tier="standard",
    )
    assert (found.cache_read_input_tokens, found.web_search_requests) == (7, 2)
    assert (found.inference_geo, found.speed) == ("us", "fast")
    assert (found.total_input, found.limited_input) == (10, 3)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=repr)
@pytest.mark.parametrize("indent", [1, 4, "\t"])
def test_an_answer_that_a_gateway_has_laid_out_still_makes_one_line(indent, ends):
    laid_out = (
        json.dumps({**MESSAGE, "usage": {**MESSAGE["usage"], "a": {"b": 1}}}, indent=indent) + "\n"
    )
    pretty = laid_out.replace("\n", ends).encode()
    reply = parse_message(pretty)
    written = line(head(Succeeded(make_call(), reply)), reply.message)
    assert written.splitlines(keepends=True) == [written] and written.endswith(b"}\n")
    assert json.loads(written)["message"] == json.loads(pretty)
    assert json.loads(written)["usage"]["a"] == {"b": 1}


@pytest.mark.parametrize("odd", [["end_turn"], {}, 5, True, None])
def test_a_stop_reason_that_is_no_text_costs_no_answer(odd):
    reply = parse_message(body(stop_reason=odd))
    assert (reply.text, reply.stop_reason) == ("hi", None)
    assert json.loads(reply.message)["stop_reason"] == odd, "kept as it came"


NO_MESSAGES = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"<html>Bad gateway</html>",
    b"\xff\xfe",
    body()[:-1],
    body() + b"{}",
    body(type="error"),
    body(model=None),
    body(content=None),
    body(content="hi"),
    body(content=["hi"]),
    body(content=[{"text": "no type"}]),
    b'{"type":"message"}',
    b"[" * 100_000,
]


@pytest.mark.parametrize(
    "raw", NO_MESSAGES, ids=lambda raw: raw[:40].decode("latin-1") + f" ({len(raw)})"
)
def test_what_is_no_whole_message_is_a_bad_answer_and_nothing_else(raw: bytes):
    with pytest.raises(BadAnswer):
        parse_message(raw)


@given(st.data())
def test_a_message_with_bytes_changed_is_read_or_refused_and_never_crashes(data):
    raw = bytearray(body())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        reply = parse_message(bytes(raw))
    except BadAnswer:
        return
    assert line(head(Succeeded(make_call(), reply)), reply.message).count(b"\n") == 1


# Writing a line


def succeeded(reply: Reply, *, call: Call | None = None) -> Any:
    return json.loads(line(head(Succeeded(call or make_call(), reply)), reply.message))


FIELDS = [
    "id",
    "status",
    "text",
    "model",
    "requested_model",
    "route",
    "source",
    "via",
    "ending",
    "stop_reason",
    "usage",
    "cost_usd",
    "attempts",
    "latency_ms",
    "request_id",
    "message",
]
FAILED_FIELDS = [
    "id",
    "status",
    "model",
    "requested_model",
    "route",
    "via",
    "attempts",
    "latency_ms",
    "error",
]


def test_a_succeeded_line_has_its_documented_fields_in_their_order():
    reply = make_reply(
        "ok", cost=from_usd(Decimal("0.0123")), attempts=3, latency_ms=456, request_id="req_7"
    )
    found = succeeded(reply)
    assert list(found) == FIELDS
    assert found | {"message": 0, "usage": 0} == {
        "id": "row-1",
        "status": "succeeded",
        "text": "ok",
        "model": HAIKU,
        "requested_model": HAIKU,
        "route": "default",
        "source": "api",
        "via": "live",
        "ending": "complete",
        "stop_reason": "end_turn",
        "usage": 0,
        "cost_usd": "0.0123",
        "attempts": 3,
        "latency_ms": 456,
        "request_id": "req_7",
        "message": 0,
    }
    assert found["message"] == json.loads(reply.message)
    assert found["usage"] == found["message"]["usage"]


def test_a_line_says_who_stood_in_for_whom_and_why():
    call = make_call(model=OPUS, fallbacks=(HAIKU,))
    found = succeeded(make_reply(model=HAIKU, fallback_reason="overloaded_error"), call=call)
    assert (found["model"], found["requested_model"], found["fallback_reason"]) == (
        HAIKU,
        OPUS,
        "overloaded_error",
    )


def test_only_a_simulated_line_says_that_it_is():
    reply = make_reply()
    assert "simulated" not in succeeded(reply)
    assert succeeded(replace(reply, simulated=True))["simulated"] is True
    assert (
        json.loads(head(Succeeded(make_call(), reply), simulated=True) + b"}")["simulated"] is True
    )
    assert json.loads(head(failed(), simulated=True) + b"}")["simulated"] is True


def test_a_cost_that_nobody_knows_is_null_and_not_zero():
    assert succeeded(make_reply(cost=0, cost_known=False))["cost_usd"] is None
    assert succeeded(make_reply(cost=0))["cost_usd"] == "0"


def failed(**facts: Any) -> Outcome:
    failure = Failure(
        **{"type": "overloaded_error", "message": "busy", "status": 529, "retryable": True, **facts}
    )
    return Failed(replace(make_call(), route=Route(OPUS, "hard ones"), model=HAIKU), failure, 6, 0)


def test_a_failed_line_has_its_documented_fields_in_their_order():
    found = json.loads(line(head(failed(request_id="req_9")), None))
    assert list(found) == FAILED_FIELDS
    assert found == {
        "id": "row-1",
        "status": "failed",
        "model": HAIKU,
        "requested_model": OPUS,
        "route": "hard ones",
        "via": "live",
        "attempts": 6,
        "latency_ms": 0,
        "error": {
            "type": "overloaded_error",
            "status": 529,
            "message": "busy",
            "request_id": "req_9",
            "retryable": True,
        },
    }


_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(id=_TEXT, text=_TEXT, rule=_TEXT, stop=st.none() | _TEXT)
def test_whatever_a_row_is_called_and_says_it_comes_back_exactly_on_one_line(id, text, rule, stop):
    call = make_call()
    call = replace(call, prompt=replace(call.prompt, id=id), route=Route(HAIKU, rule))
    reply = make_reply(text, stop_reason=stop)
    written = line(head(Succeeded(call, reply)), reply.message)
    assert written.count(b"\n") == 1
    found = json.loads(written)
    assert (found["id"], found["text"], found["route"], found["stop_reason"]) == (
        id,
        text,
        rule,
        stop,
    )
    assert found["message"]["content"][0]["text"] == text
    refused = line(head(Failed(call, Failure(rule, text), 1, 0)), None)
    assert refused.count(b"\n") == 1 and json.loads(refused)["error"]["message"] == text


@given(st.integers(-(10**27), 10**27))
def test_dollars_are_exact_and_plain(amount: int):
    text = usd_text(amount)
    assert Decimal(text) * 10**12 == amount
    assert "E" not in text and "e" not in text
    assert not ("." in text and text.endswith(("0", ".")))
