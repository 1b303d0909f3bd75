"""The judge of every body that these tests send: it knows what the SDK takes, and
refuses the rest.
"""

from __future__ import annotations

import pytest

from tests.support.sdk_types import KNOWN, NotSdkParams, check_body

BODY = {
    "model": "claude-haiku-5-5",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hi"}],
}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {"x": {"type": "string"}}}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "system": [
                {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
            ]
        },
        {"thinking": {"type": "between_tools"}},
        {
            "output_config": {
                "effort": "max",
                "format": {"type": "json_schema", "schema": {"type": "object"}},
            }
        },
        {"tools": [TOOL, {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}]},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "tools": [TOOL]},
        {"messages": [{"role": "user", "content": [IMAGE, {"type": "text", "text": "?"}]}]},
        {"messages": [*BODY["messages"], {"role": "system", "content": "Be brief."}]},
        {
            "metadata": {"user_id": "u"},
            "service_tier": "auto",
            "speed": "fast",
            "inference_geo": "us",
        },
    ],
    ids=lambda more: "+".join(more) or "plain",
)
def test_what_the_sdk_takes_passes(more):
    check_body({**BODY, **more})


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 1.0},
        {"top_p": 0.9},
        {"top_k": 5},
        {"tags": ["x"]},
        {"user_profile_id": "a header, not a field"},
        {"stream": True},
        {"max_tokens": "many"},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"messages": [{"role": "user", "content": "x", "name": "joe"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
        {"messages": [{"role": "user", "content": [{"type": "txt", "text": "x"}]}]},
        {"system": [{"type": "text"}]},
        {"thinking": {"type": "off"}},
        {"thinking": {"type": "adaptive", "budget": 5}},
        {"output_config": {"effort": "huge"}},
        {"tools": [{"name": "f"}]},
        {"tools": [{**TOOL, "parameters": {}}]},
        {"tool_choice": {"type": "function"}},
        {"metadata": {"user_id": "u", "team": "x"}},
        {"stop_sequences": [1]},
    ],
    ids=str,
)
def test_what_the_sdk_does_not_know_is_refused_at_any_depth(more):
    with pytest.raises(NotSdkParams):
        check_body({**BODY, **more})


@pytest.mark.parametrize("missing", sorted(BODY))
def test_a_required_field_must_be_there(missing):
    with pytest.raises(NotSdkParams):
        check_body({name: value for name, value in BODY.items() if name != missing})


def test_sampling_parameters_are_not_among_the_fields():
    assert {"model", "messages", "max_tokens", "thinking", "output_config"} < KNOWN
    assert not KNOWN & {"temperature", "top_p", "top_k"}
