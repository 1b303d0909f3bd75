"""Every hop between two models of today, for every way to ask for thinking: a body that
the API takes.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from claudebatch.models.catalog import EFFORTS, Catalog, ModelFacts
from claudebatch.routing.parameters import problems
from claudebatch.routing.remap import remap
from tests.support.sdk_types import check_body

CATALOG = Catalog.load()
TODAY = (
    "claude-fable-5-2",
    "claude-mythos-5-2",
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-opus-5-5",
    "claude-fable-5-1",
    "claude-mythos-5-1",
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-fable-5",
    "claude-mythos-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "claude-opus-4-5",
    "claude-sonnet-4-5",
)
TOOL = {
    "name": "look",
    "description": "looks",
    "input_schema": {"type": "object", "properties": {}},
}
USER = {"role": "user", "content": "hi"}
SPELLINGS: dict[str, dict[str, Any]] = {
    "left out": {},
    "adaptive": {"thinking": {"type": "adaptive"}},
    "adaptive, shown": {"thinking": {"type": "adaptive", "display": "summarized"}},
    "enabled": {"thinking": {"type": "enabled", "budget_tokens": 2_048}},
    "disabled": {"thinking": {"type": "disabled"}},
    "between tools": {"thinking": {"type": "between_tools"}},
}
FORCED: tuple[dict[str, Any], ...] = (
    {},
    {"tools": [TOOL], "tool_choice": {"type": "any"}},
    {
        "tools": [TOOL],
        "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
    },
)


def requests(facts: ModelFacts, spelling: str) -> list[dict[str, Any]]:
    """What a row for the model of *facts* may say in that spelling, with every effort
    and every forced tool.
    """
    efforts = [{}, *({"output_config": {"effort": effort}} for effort in EFFORTS)]
    found = (
        {"max_tokens": 4_096, "messages": [USER], **SPELLINGS[spelling], **effort, **forced}
        for effort, forced in itertools.product(efforts, FORCED)
    )
    return [params for params in found if not problems(params, facts)]


def test_no_model_of_today_is_left_out():
    known = {facts.id for facts in CATALOG._by_name.values()} - {"claude-mythos-preview"}
    assert known == set(TODAY)


@pytest.mark.parametrize("source", TODAY)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_hop_is_a_body_that_the_api_takes(source, spelling):
    for params, target in itertools.product(requests(CATALOG.facts(source), spelling), TODAY):
        if target == source:
            continue
        facts = CATALOG.facts(target)
        mapped = remap(params, facts)
        assert problems(mapped, facts) == (), (target, params)
        check_body({**mapped, "model": target})
        assert mapped.get("tools") == params.get("tools")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_some_models_own(spelling):
    assert any(requests(CATALOG.facts(model), spelling) for model in TODAY)


@pytest.mark.parametrize("target", TODAY)
def test_whoever_asked_for_no_thinking_gets_as_little_of_it_as_there_is(target):
    facts = CATALOG.facts(target)
    for spelling in ("disabled", "between tools"):
        mapped = remap({"max_tokens": 4_096, "messages": [USER], **SPELLINGS[spelling]}, facts)
        if facts.thinking_default == "always":
            assert "thinking" not in mapped and mapped["output_config"] == {"effort": "low"}
        else:
            assert mapped["thinking"]["type"] in ("disabled", "between_tools")


@pytest.mark.parametrize("target", TODAY)
def test_whoever_asked_for_thinking_gets_it(target):
    facts = CATALOG.facts(target)
    for spelling in ("adaptive", "adaptive, shown", "enabled"):
        mapped = remap({"max_tokens": 4_096, "messages": [USER], **SPELLINGS[spelling]}, facts)
        assert mapped["thinking"]["type"] in ("adaptive", "enabled")
        assert mapped["thinking"].get("display") == SPELLINGS[spelling]["thinking"].get("display")
