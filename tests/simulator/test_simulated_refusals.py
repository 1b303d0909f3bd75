"""The simulator refuses what the API of 2026-10-21 refuses, in the same shape."""

from __future__ import annotations

from datetime import date

import pytest

from claudebatch.models.catalog import Catalog
from claudebatch.simulator.traits import MODELS

USER = {"role": "user", "content": "Hello"}
GONE = object()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": GONE}, "model: Field required"),
        ({"model": 5}, "model: Input should be a valid string"),
        ({"max_tokens": GONE}, "max_tokens: Field required"),
        ({"max_tokens": "many"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "greater than or equal to 0"),
        ({"max_tokens": 128_001}, "max_tokens: 128001 > 128000"),
        ({"messages": GONE}, "messages: Field required"),
        ({"messages": []}, "at least one message"),
        ({"messages": ["Invalid content"]}, "messages.0: Input does not match the expected shape."),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
        (
            {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
            "messages.0.content.0.type: Field required",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
            "must be non-empty",
        ),
        ({"messages": [{**USER, "name": "x"}]}, "messages.0.name: Extra inputs are not permitted"),
        ({"temperature": 1.0}, "temperature: Extra inputs are not permitted"),
        ({"top_p": 1.0}, "top_p: Extra inputs are not permitted"),
        ({"top_k": 5}, "top_k: Extra inputs are not permitted"),
        ({"n": 2}, "n: Extra inputs are not permitted"),
        ({"system": 5}, "system: Input should be a valid string or list"),
        ({"tools": "all"}, "tools: Input should be a valid list"),
        (
            {"messages": [USER, {"role": "assistant", "content": "{"}]},
            "does not support assistant message prefill",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            "thinking.type: 'enabled' is not supported",
        ),
        (
            {"model": "claude-opus-5-5", "thinking": {"type": "disabled"}},
            "'disabled' is not supported",
        ),
        (
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}},
            "cannot be combined",
        ),
        (
            {"model": "claude-haiku-4-5", "thinking": {"type": "adaptive"}},
            "'adaptive' is not supported",
        ),
        ({"model": "claude-haiku-4-5", "output_config": {"effort": "low"}}, "effort"),
        ({"model": "claude-opus-5-5", "tool_choice": {"type": "any"}}, "tool_choice"),
        (
            {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "x" * 700_000}]},
            "prompt is too long",
        ),
        (
            {
                "system": [
                    {"type": "text", "text": str(n), "cache_control": {"type": "ephemeral"}}
                    for n in range(5)
                ]
            },
            "A maximum of 4 blocks",
        ),
    ],
)
async def test_a_request_that_the_api_refuses_gets_a_400_that_names_the_field(
    serve, body, change, message
):
    served = await serve()
    wanted = {name: value for name, value in {**body(), **change}.items() if value is not GONE}
    heard = await served.ask(wanted)
    error = heard.json["error"]
    assert heard.status == 400
    assert error["type"] == "invalid_request_error"
    assert message in error["message"]
    assert heard.json["request_id"] == heard.headers["request-id"]
    assert served.simulator.stats()["billed_pico"] == 0


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"model": NaN}', b'"\\ud800"', b"[" * 100_000, b"[]"]
)
async def test_a_body_that_is_no_json_object_gets_a_400(serve, data):
    served = await serve()
    heard = await served.ask(data)
    assert (heard.status, heard.json["error"]["type"]) == (400, "invalid_request_error")


async def test_an_older_model_and_version_accept_what_they_used_to(serve, body):
    served = await serve()
    prefill = [USER, {"role": "assistant", "content": "{"}]
    assert (await served.ask(body(model="claude-haiku-4-5", messages=prefill))).status == 200
    old = {"anthropic-version": "2023-06-01"}
    assert (await served.ask(body(model="claude-sonnet-4-6", temperature=0.2), old)).status == 200
    assert (await served.ask(body(temperature=1), old)).status == 200
    assert (await served.ask(body(temperature=0.2), old)).status == 400


@pytest.mark.parametrize(
    ("headers", "status", "type_"),
    [
        ({"authorization": ""}, 401, "authentication_error"),
        ({"authorization": "", "x-api-key": "key"}, 401, "authentication_error"),
        ({"authorization": "Bearer "}, 401, "authentication_error"),
        ({"authorization": "Bearer invalid"}, 401, "authentication_error"),
        ({"anthropic-version": ""}, 400, "invalid_request_error"),
        ({"anthropic-version": "2020-01-01"}, 400, "invalid_request_error"),
    ],
)
async def test_a_bad_credential_or_version_is_refused_without_limit_headers(
    serve, body, headers, status, type_
):
    served = await serve()
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        heard = await served.call("POST", path, body(), headers)
        assert (heard.status, heard.json["error"]["type"]) == (status, type_)
        assert heard.headers["x-should-retry"] == "false"
        assert heard.headers["x-claudebatch-simulated"] == "1"
        assert not any(name.startswith("anthropic-ratelimit") for name in heard.headers)


async def test_an_unknown_model_is_a_404_on_both_endpoints(serve, body):
    served = await serve()
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        heard = await served.call("POST", path, body(model="claude-sonet-4-5"))
        assert heard.status == 404
        assert heard.json["error"] == {
            "type": "not_found_error",
            "message": "model: claude-sonet-4-5",
        }
        assert heard.headers["x-should-retry"] == "false"


async def test_an_unknown_path_is_a_404(serve):
    served = await serve()
    for method, path in (
        ("GET", "/v1/messages"),
        ("POST", "/v1/complete"),
        ("GET", "/__reset"),
        ("GET", "/"),
    ):
        assert (await served.call(method, path)).status == 404


def test_the_catalogue_and_the_simulator_agree_on_what_each_model_accepts():
    catalog = Catalog.load().on(date(2026, 11, 30))
    for model, traits in MODELS.items():
        facts = catalog.facts(model)
        assert catalog.known(model), model
        assert set(facts.thinking) == traits.thinking, model
        assert (facts.thinking_default != "off") == traits.thinks, model
        assert (facts.prefill, facts.forced_tools) == (traits.prefill, traits.forced_tools), model
        assert (facts.context_window, facts.max_output) == (
            traits.context_tokens,
            traits.output_tokens,
        ), model
        assert facts.min_cacheable_prefix == traits.cacheable_tokens, model
        assert set(facts.efforts) == traits.efforts, model
        assert facts.system_turns == traits.system_turns, model
        assert facts.fast == traits.fast, model
        assert set(facts.refused_tools) == traits.refused_tools, model
        assert (facts.effort_cap_without_thinking is not None) == traits.effort_capped, model
