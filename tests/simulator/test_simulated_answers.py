"""Answers are valid Messages that follow from the request alone."""

from __future__ import annotations

import base64
import json

import pytest

RECORDED_KEYS = [
    *(
        "model",
        "id",
        "type",
        "role",
        "content",
        "stop_reason",
        "stop_sequence",
        "stop_details",
        "usage",
    ),
]
RECORDED_USAGE_KEYS = [
    *("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation"),
    *("output_tokens", "output_tokens_details", "service_tier", "inference_geo"),
]
WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city"],
    },
}


async def test_an_answer_has_the_fields_of_a_recorded_one_and_says_that_it_is_simulated(
    serve, body
):
    served = await serve()
    heard = await served.ask(body())
    message = heard.json
    assert heard.status == 200
    assert heard.headers["x-claudebatch-simulated"] == "1"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["request-id"].startswith("req_sim_")
    assert b"\n" not in heard.body
    assert list(message) == RECORDED_KEYS
    assert list(message["usage"]) == RECORDED_USAGE_KEYS
    assert message["id"].startswith("msg_sim_")
    assert message["stop_reason"] == "end_turn"
    assert "Simulated answer" in heard.text
    assert "What is 1 + 1?" in heard.text
    assert 60 <= message["usage"]["output_tokens"] <= 400


async def test_equal_prompts_get_equal_answers_under_different_ids_and_others_get_others(
    serve, body
):
    served = await serve()
    first, second, other = [(await served.ask(body(p))).json for p in ("same", "same", "other")]
    assert first["content"] == second["content"]
    assert first["usage"] == second["usage"]
    assert first["id"] != second["id"]
    assert first["content"] != other["content"]


async def test_another_seed_gives_other_answers(serve, body):
    texts = {(await (await serve(seed=seed)).ask(body())).text for seed in (0, 1, -5)}
    assert len(texts) == 3


@pytest.mark.parametrize(
    ("model", "more", "thinks"),
    [
        ("claude-haiku-5-5", {}, True),
        ("claude-haiku-5-5", {"thinking": {"type": "disabled"}}, False),
        ("claude-sonnet-5-5", {"thinking": {"type": "between_tools"}}, True),
        ("claude-opus-4-8", {}, False),
        ("claude-opus-4-8", {"thinking": {"type": "adaptive"}}, True),
    ],
)
async def test_an_empty_thinking_block_comes_first_when_the_model_thinks(
    serve, body, model, more, thinks
):
    served = await serve()
    message = (await served.ask(body(model=model, **more))).json
    assert (
        [block["type"] for block in message["content"]] == ["thinking", "text"]
        if thinks
        else ["text"]
    )
    assert (message["usage"]["output_tokens_details"]["thinking_tokens"] > 0) == thinks
    if thinks:
        assert message["content"][0]["thinking"] == ""


async def test_input_tokens_grow_with_the_bytes_of_the_prompt(serve, body):
    served = await serve()
    counts = [
        (await served.ask(body(p))).json["usage"]["input_tokens"]
        for p in ("x" * 260, "x" * 2600, "日" * 2600)
    ]
    assert counts == [int(280 / 2.6), int(2620 / 2.6), int(7820 / 2.6)]
    counted = await served.call(
        "POST", "/v1/messages/count_tokens", _without_max_tokens(body("x" * 260))
    )
    assert counted.json == {"input_tokens": counts[0]}
    assert served.simulator.stats()["requests"] == 3


async def test_max_tokens_cuts_an_answer_and_zero_only_warms_the_cache(serve, body):
    served = await serve()
    cut = (await served.ask(body(max_tokens=10))).json
    warm = (await served.ask(body(max_tokens=0))).json
    assert (cut["stop_reason"], cut["usage"]["output_tokens"]) == ("max_tokens", 10)
    assert (warm["stop_reason"], warm["usage"]["output_tokens"], warm["content"]) == (
        "max_tokens",
        0,
        [],
    )


async def test_every_answer_can_be_made_to_spend_all_of_its_max_tokens(serve, body):
    served = await serve(use_all_max_tokens=True)
    message = (await served.ask(body(max_tokens=100_000))).json
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 100_000)
    assert len(message["content"][-1]["text"]) < 30_000


async def test_a_stop_sequence_ends_the_answer_before_it(serve, body):
    served = await serve()
    heard = await served.ask(body(stop_sequences=["never there", "sentence only", "answer"]))
    assert heard.json["stop_reason"] == "stop_sequence"
    assert heard.json["stop_sequence"] == "answer"
    assert heard.text == "Simulated "


async def test_a_schema_is_answered_with_json_that_fits_it(serve, body):
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "tags": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/tag"}},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
        "$defs": {"tag": {"enum": ["good", "bad"]}},
    }
    served = await serve()
    heard = await served.ask(
        body(output_config={"format": {"type": "json_schema", "schema": schema}})
    )
    assert json.loads(heard.text) == {
        "name": "simulated",
        "age": 1,
        "tags": ["good"],
        "maybe": None,
    }


async def test_a_forced_tool_is_called_and_an_optional_one_is_not(serve, body):
    served = await serve()
    forced = (
        await served.ask(body(tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"}))
    ).json
    free = (await served.ask(body(tools=[WEATHER], tool_choice={"type": "auto"}))).json
    call = forced["content"][-1]
    assert forced["stop_reason"] == "tool_use"
    assert (call["type"], call["name"], call["input"]) == (
        "tool_use",
        "get_weather",
        {"city": "simulated", "unit": "celsius"},
    )
    assert free["stop_reason"] == "end_turn"
    assert free["usage"]["input_tokens"] > 290


async def test_every_kind_of_content_is_counted(serve, body):
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(75_000)).decode()
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    blocks = [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": picture},
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "word " * 100},
        },
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "Sunny"}]},
    ]
    served = await serve()
    turns = [{"role": "assistant", "content": [call]}, {"role": "user", "content": blocks}]
    usage = (await served.ask(body(messages=turns))).json["usage"]
    called = len(json.dumps(call, separators=(",", ":")))
    assert usage["input_tokens"] == int((20 + called + 4_000 + 500 + 12_000 + 5) / 2.6)


@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        ("refusal", {"stop_reason": "refusal", "content": []}),
        ("empty", {"stop_reason": "end_turn", "content": []}),
        ("max_tokens", {"stop_reason": "max_tokens"}),
        ("tokens 500", {"stop_reason": "end_turn"}),
    ],
)
async def test_a_directive_in_the_prompt_chooses_the_ending(serve, body, directive, expected):
    served = await serve()
    heard = await served.ask(body(f"Rehearse [[simulate: {directive}]] please"))
    assert heard.status == 200
    assert {name: heard.json[name] for name in expected} == expected
    if directive == "tokens 500":
        assert heard.json["usage"]["output_tokens"] == 500
    if directive == "refusal":
        assert heard.json["stop_details"]["type"] == "refusal"


async def test_an_error_directive_answers_every_time_with_that_status_and_bills_nothing(
    serve, body
):
    served = await serve()
    statuses = [(await served.ask(body("[[simulate: error 529]]"))).status for _ in range(3)]
    assert statuses == [529, 529, 529]
    assert served.simulator.stats()["billed_pico"] == 0


async def test_an_unknown_directive_is_refused_by_name(serve, body):
    served = await serve()
    heard = await served.ask(body("[[simulate: refuse]]"))
    assert heard.status == 400
    assert "'refuse' is no directive" in heard.json["error"]["message"]


async def test_a_cached_prefix_is_written_by_all_that_start_together_and_read_from_then_on(
    serve, body
):
    served = await serve()
    system = [{"type": "text", "text": "Rules. " * 400, "cache_control": {"type": "ephemeral"}}]
    uses = [(await served.ask(body(f"row {n}", system=system))).json["usage"] for n in range(2)]
    written = uses[0]["cache_creation_input_tokens"]
    assert written > 512
    assert uses[0]["cache_creation"] == {
        "ephemeral_5m_input_tokens": written,
        "ephemeral_1h_input_tokens": 0,
    }
    assert (uses[1]["cache_creation_input_tokens"], uses[1]["cache_read_input_tokens"]) == (
        0,
        written,
    )
    assert uses[0]["input_tokens"] == uses[1]["input_tokens"] < 10
    served.now.seconds += 301
    late = (await served.ask(body("row 3", system=system))).json["usage"]
    assert late["cache_creation_input_tokens"] == written


async def test_a_short_prefix_is_silently_not_cached(serve, body):
    served = await serve()
    system = [
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]
    for _ in range(2):
        usage = (await served.ask(body(system=system))).json["usage"]
        assert usage["cache_creation_input_tokens"] == usage["cache_read_input_tokens"] == 0


async def test_a_longer_prefix_reads_the_shorter_one_and_writes_the_rest(serve, body):
    served = await serve()
    mark = {"type": "ephemeral", "ttl": "1h"}
    system = [{"type": "text", "text": "Rules. " * 400, "cache_control": mark}]
    first = (await served.ask(body(system=system))).json["usage"]
    longer = [*system, {"type": "text", "text": "More. " * 400, "cache_control": mark}]
    second = (await served.ask(body(system=longer))).json["usage"]
    assert second["cache_read_input_tokens"] == first["cache_creation_input_tokens"]
    assert (
        second["cache_creation"]["ephemeral_1h_input_tokens"]
        == second["cache_creation_input_tokens"]
        > 800
    )


async def test_a_model_that_only_the_caller_knows_is_answered_too(serve, body):
    served = await serve(known=lambda model: model == "claude-next-6")
    assert (await served.ask(body(model="claude-next-6"))).status == 200
    assert (await served.ask(body(model="claude-next-7"))).status == 404


async def test_models_are_listed_and_described(serve):
    served = await serve()
    listed = (await served.call("GET", "/v1/models?limit=1000")).json
    described = (await served.call("GET", "/v1/models/claude-opus-5-5")).json
    assert described in listed["data"]
    assert described["max_input_tokens"] == 1_000_000
    assert (await served.call("GET", "/v1/models/claude-nobody")).status == 404


def _without_max_tokens(body):
    return {name: value for name, value in body.items() if name != "max_tokens"}
