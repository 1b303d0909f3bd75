"""The events of a stream add up to the message that a plain answer would have been,
block for block.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from claudebatch.clients.sse_reader import EventReader
from claudebatch.clients.stream_assembler import StreamAssembler
from claudebatch.core.message import BadAnswer, parse_message
from tests.clients.wire import DELTA, MESSAGE, START, STOP, WHOLE, block, text

RECORDED = Path(__file__).parents[2].parent / "shared" / "recorded"


def fold(*events) -> dict:
    folding = StreamAssembler()
    for event in events:
        folding.take(json.dumps(event).encode())
    return json.loads(folding.message())


def content(*blocks):
    return fold(START, *(event for one in blocks for event in one), DELTA, STOP)["content"]


def deltas(kind, name, *pieces):
    return [{"type": kind, name: piece} for piece in pieces]


def test_a_text_is_its_pieces():
    assert fold(*WHOLE) == MESSAGE
    assert content(text("Grüße, ", "你好 \u2028", "")) == [
        {"type": "text", "text": "Grüße, 你好 \u2028"}
    ]
    assert content(text()) == [{"type": "text", "text": ""}]
    assert (
        content(block(0, {"type": "text", "text": "He"}, *deltas("text_delta", "text", "llo")))[0][
            "text"
        ]
        == "Hello"
    )


def test_thinking_keeps_its_signature():
    thoughts = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        *deltas("thinking_delta", "thinking", "I ", "think"),
        *deltas("signature_delta", "signature", "an older one", "c2ln"),
    )
    assert content(thoughts) == [{"type": "thinking", "thinking": "I think", "signature": "c2ln"}]


def test_a_block_without_deltas_is_kept_as_it_began():
    redacted = {"type": "redacted_thinking", "data": "b3Bh"}
    searched = {
        "type": "web_search_tool_result",
        "tool_use_id": "s",
        "content": [{"type": "web_search_result"}],
    }
    unknown = {"type": "something_new", "of": {"any": ["shape", 1.5, None]}}
    found = content(*(block(n, start) for n, start in enumerate((redacted, searched, unknown))))
    assert found == [redacted, searched, unknown]


@pytest.mark.parametrize("kind", ["tool_use", "server_tool_use", "mcp_tool_use"])
def test_a_tools_input_is_read_once_it_is_whole(kind):
    start = {"type": kind, "id": "t", "name": "n", "input": {}}

    def called(*pieces):
        return content(block(0, start, *deltas("input_json_delta", "partial_json", *pieces)))[0][
            "input"
        ]

    assert called('{"a": [1, {"b', '": "\\u00', 'e9"}]', "}") == {"a": [1, {"b": "é"}]}
    assert called("") == {}
    assert called() == {}
    assert called("{}") == {}


def test_numbers_of_a_tools_input_stay_as_the_model_wrote_them():
    folding = StreamAssembler()
    start = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    call = block(
        0,
        start,
        *deltas(
            "input_json_delta",
            "partial_json",
            '{"n":12345678901234567890',
            '123,"x":1.50,"y":1e400}',
        ),
    )
    for event in (START, *call, DELTA, STOP):
        folding.take(json.dumps(event).encode())
    assert b'{"n":12345678901234567890123,"x":1.50,"y":1e400}' in folding.message()


@pytest.mark.parametrize("cut", ['{"a": [1, ', '{"a"', "{]", '{"a": 1} {', "nul"])
def test_a_tools_input_that_breaks_off_is_not_lost(cut):
    """At `max_tokens` it does; the answer was paid for, and says itself that it is
    cut.
    """
    call = block(
        0, {"type": "tool_use", "input": {}}, *deltas("input_json_delta", "partial_json", cut)
    )
    assert content(call) == [{"type": "tool_use", "input": {"INVALID_JSON": cut}}]


def test_citations_gather_beside_their_text():
    cited = block(
        0,
        {"type": "text", "text": "", "citations": None},
        *deltas("text_delta", "text", "As "),
        *deltas("citations_delta", "citation", {"n": 1}, {"n": 2}),
        *deltas("text_delta", "text", "said"),
    )
    assert content(cited) == [
        {"type": "text", "text": "As said", "citations": [{"n": 1}, {"n": 2}]}
    ]


def test_a_delta_that_nobody_knows_yet_is_folded_by_its_shape():
    start = {"type": "poem", "verse": "", "score": 0}
    found = content(
        block(
            0,
            start,
            *deltas("verse_delta", "verse", "O ", "rose"),
            *deltas("score_delta", "score", 3, 7),
        )
    )
    assert found == [{"type": "poem", "verse": "O rose", "score": 7}]


def test_usage_is_what_the_start_said_with_the_later_totals_over_it():
    start = {
        **START,
        "message": {
            **START["message"],
            "usage": {
                "input_tokens": 9,
                "cache_read_input_tokens": 100,
                "cache_creation": {"ephemeral_1h_input_tokens": 4},
                "cache_creation_input_tokens": 4,
                "output_tokens": 1,
                "service_tier": "standard",
                "inference_geo": "us",
            },
        },
    }
    late = [
        {**DELTA, "usage": {"output_tokens": 50}},
        {
            **DELTA,
            "usage": {
                "input_tokens": 12,
                "output_tokens": 77,
                "cache_read_input_tokens": None,
                "server_tool_use": {"web_search_requests": 2},
                "output_tokens_details": None,
            },
        },
    ]
    message = fold(start, *late, STOP)
    assert message["usage"] == {
        "input_tokens": 12,
        "cache_read_input_tokens": 100,
        "cache_creation": {"ephemeral_1h_input_tokens": 4},
        "cache_creation_input_tokens": 4,
        "output_tokens": 77,
        "service_tier": "standard",
        "inference_geo": "us",
        "server_tool_use": {"web_search_requests": 2},
        "output_tokens_details": None,
    }
    usage = parse_message(json.dumps(message).encode()).usage
    assert (usage.input_tokens, usage.output_tokens, usage.ephemeral_1h_input_tokens) == (12, 77, 4)
    assert (usage.cache_read_input_tokens, usage.web_search_requests, usage.inference_geo) == (
        100,
        2,
        "us",
    )


def test_why_it_stopped_comes_from_the_end():
    refusal = {"type": "refusal", "category": "cyber", "explanation": None}
    delta = {
        "stop_reason": "refusal",
        "stop_sequence": None,
        "stop_details": refusal,
        "container": {"id": "c"},
    }
    message = fold(START, {**DELTA, "delta": delta}, STOP)
    assert {name: message[name] for name in delta} == delta
    assert message["content"] == []


def test_pings_and_events_that_nobody_knows_are_passed_over():
    noise = ({"type": "ping"}, {"type": "weather", "delta": {"text": "rain"}, "index": 7})
    assert fold(*noise, *(event for wanted in WHOLE for event in (wanted, *noise))) == MESSAGE


@pytest.mark.parametrize("count", range(len(WHOLE)))
def test_no_part_of_a_stream_passes_for_all_of_it(count):
    with pytest.raises(BadAnswer):
        fold(*WHOLE[:count])


@pytest.mark.parametrize(
    "place", [n for n, event in enumerate(WHOLE) if event["type"] != "content_block_delta"]
)
def test_no_event_but_a_piece_of_text_may_be_missing(place):
    with pytest.raises(BadAnswer):
        fold(*WHOLE[:place], *WHOLE[place + 1 :])


def test_long_texts_are_joined_once():
    """32,000 pieces, each of them copied into what was there, would be a second of the
    event loop.
    """
    folding = StreamAssembler()
    for event in (START, *text(*("word " for _ in range(32_000)))[:-1]):
        folding.take(json.dumps(event).encode())
    assert len(folding._pieces["text"]) == 32_000


@pytest.mark.parametrize(
    "name",
    [
        "stream_text",
        "stream_text_2026",
        "stream_thinking",
        "stream_tool_use",
        "stream_empty",
        "stream_refusal",
        "stream_effort_no_thinking",
    ],
)
def test_recorded_streams_add_up_as_the_sdk_adds_them(name):
    if not RECORDED.is_dir():
        pytest.skip("the recorded answers are not here")
    stream = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))["body"].encode()
    folding = StreamAssembler()
    for data in EventReader().feed(stream if stream.endswith(b"\n\n") else stream + b"\n\n"):
        folding.take(data)
    assert folding.done
    ours = json.loads(folding.message())
    theirs = sdk_message(stream)
    assert {name: value for name, value in theirs.items() if value is not None} == without_nulls(
        ours
    )
    reply = parse_message(folding.message())
    assert reply.usage.output_tokens == theirs["usage"]["output_tokens"]


def without_nulls(message):
    return {name: value for name, value in message.items() if value is not None}


def sdk_message(stream: bytes) -> dict:
    """The message that the SDK's own accumulation makes of *stream*."""
    import anthropic
    import httpx2

    answer = httpx2.MockTransport(
        lambda _: httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, content=stream
        )
    )
    with (
        anthropic.Anthropic(api_key="x", http_client=httpx2.Client(transport=answer)) as client,
        client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        ) as streamed,
    ):
        message = streamed.get_final_message().to_dict()
    for part in message["content"]:
        part.pop("parsed_output", None)
    return message
