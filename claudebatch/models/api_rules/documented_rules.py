"""The documented rules that no type can say, one module for each theme."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.models.api_rules.cache_marks import cache_marks
from claudebatch.models.api_rules.closed_schemas import output_format
from claudebatch.models.api_rules.places import geography
from claudebatch.models.api_rules.pre_warming import pre_warming
from claudebatch.models.api_rules.sources import sources
from claudebatch.models.api_rules.texts import empty_blocks, stop_sequences, titles, user_id
from claudebatch.models.api_rules.tool_calls import tool_calls
from claudebatch.models.api_rules.tool_definitions import tool_choice, tools
from claudebatch.models.api_rules.turns import system_turns
from claudebatch.models.api_rules.walk import AS_SENT, Names, Placed, blocks
from claudebatch.models.api_rules.wording import MAX_PROBLEMS

_OF_A_PARAMETER = {
    "inference_geo": geography,
    "metadata": user_id,
    "output_config": output_format,
    "stop_sequences": stop_sequences,
    "tool_choice": tool_choice,
    "tools": tools,
}


def broken_rules(params: Mapping[str, Any], names: Names = AS_SENT) -> list[Problem]:
    """The documented rules that *params* break, whose types are right."""
    problems: list[Problem] = []
    for name, rule in _OF_A_PARAMETER.items():
        if name in params:
            problems += islice(rule(params), MAX_PROBLEMS)
    placed = blocks(params, names)
    if placed:
        problems += _of_blocks(params, placed, names)
    elif "cache_control" in params:
        problems += cache_marks(params, placed)
    if any(message["role"] == "system" for message in params.get("messages") or ()):
        problems += islice(system_turns(params, names), MAX_PROBLEMS)
    if params.get("max_tokens") == 0:
        problems += pre_warming(params)
    return problems


def _of_blocks(params: Mapping[str, Any], placed: list[Placed], names: Names) -> Iterator[Problem]:
    # Most blocks are unmarked texts: no rule but the first has a say in these.
    yield from islice(empty_blocks(placed), MAX_PROBLEMS)
    if "cache_control" in params or any("cache_control" in one.block for one in placed):
        yield from islice(cache_marks(params, placed), MAX_PROBLEMS)
    if any(one.block.get("type") != "text" for one in placed):
        yield from islice(titles(placed), MAX_PROBLEMS)
        yield from islice(sources(placed), MAX_PROBLEMS)
        yield from islice(tool_calls(params, names), MAX_PROBLEMS)
