"""Translates a row's parameters for the next model of the fallback chain.

A parameter that the next model would refuse is respelt, weakened or dropped, in this
order of preference. Accepted losses: a forced tool call becomes an offered one, effort
and `max_tokens` may shrink, `fast` and `inference_geo` are dropped, and so are thinking
blocks of earlier turns, which only their own model can read. A row without a
translation is `NotServed` by the next model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claudebatch.core.errors import NotServed
from claudebatch.models.catalog import EFFORTS, Effort, ModelFacts
from claudebatch.routing.forced_answer import formed, unformable
from claudebatch.routing.parameters import (
    MIN_THINKING_BUDGET,
    OFF_KINDS,
    above,
    effort_of,
    forces_tools,
    kind_of,
    problems,
)

_THINKING_BLOCKS = ("thinking", "redacted_thinking")


def remap(params: Mapping[str, Any], facts: ModelFacts) -> dict[str, Any]:
    """*params* in the form that the model of *facts* accepts; raises `NotServed` if
    there is none.
    """
    # A copy: the prompt's own parameters belong to the first model, and to the cache
    # key.
    for problem in unformable(params, facts):
        raise NotServed(f"{facts.id} cannot take over: {problem.reason}", type="not_served")
    mapped = dict(formed(params, facts))
    _map_serving(mapped, facts)
    _map_tools(mapped, facts)
    # Tools before thinking, because a forced tool rules out a thinking budget; thinking
    # before effort, because a model that cannot stop thinking gets a lower effort
    # instead.
    _map_thinking(mapped, facts)
    _map_effort(mapped, facts)
    if "messages" in mapped:
        mapped["messages"] = [
            rest for message in mapped["messages"] if (rest := _without_thinking(message))
        ]
    # The same check as before a run: a translation with a gap must fail here, not as a
    # 400 that takes an attempt and its hold.
    left = problems(mapped, facts)
    if left:
        raise NotServed(f"{facts.id} cannot take over: {left[0].reason}", type="not_served")
    return mapped


def _map_serving(mapped: dict[str, Any], facts: ModelFacts) -> None:
    most = mapped.get("max_tokens")
    if isinstance(most, int):
        # Above the model's own limit every request is a 400.
        mapped["max_tokens"] = min(most, facts.max_output)
    if not facts.fast:
        mapped.pop("speed", None)
    if not facts.inference_geo:
        mapped.pop("inference_geo", None)


def _map_tools(mapped: dict[str, Any], facts: ModelFacts) -> None:
    if forces_tools(mapped) and not facts.forced_tools:
        mapped["tool_choice"] = {k: v for k, v in mapped["tool_choice"].items() if k != "name"} | {
            "type": "auto"
        }


def _map_thinking(mapped: dict[str, Any], facts: ModelFacts) -> None:
    kind = kind_of(mapped, "thinking")
    if kind is None:
        return
    thinking = _no_thinking(mapped, facts) if kind in OFF_KINDS else _some_thinking(mapped, facts)
    if thinking is None:
        del mapped["thinking"]
    else:
        mapped["thinking"] = thinking


def _no_thinking(mapped: dict[str, Any], facts: ModelFacts) -> dict[str, Any] | None:
    """The model's form of "do not think"; where there is none, the lowest effort."""
    wanted = kind_of(mapped, "thinking")
    off = (
        wanted
        if wanted in facts.thinking
        else next((kind for kind in OFF_KINDS if kind in facts.thinking), None)
    )
    effort, cap = effort_of(mapped), facts.effort_cap_without_thinking
    # This model always thinks: the lowest effort is the nearest to what the row asked
    # for.
    if off is None:
        _set_effort(mapped, "low")
    elif cap is not None and effort is not None and above(effort, cap):
        _set_effort(mapped, cap)
    return None if off is None else {"type": off}


def _some_thinking(mapped: dict[str, Any], facts: ModelFacts) -> dict[str, Any] | None:
    """The model's form of "do think", unchanged if possible; None for the model's
    default.
    """
    wanted: dict[str, Any] = mapped["thinking"]
    shown = {"display": wanted["display"]} if "display" in wanted else {}
    budget = _budget(mapped, facts) if "enabled" in facts.thinking else None
    if "adaptive" in facts.thinking and (wanted["type"] == "adaptive" or budget is None):
        return {"type": "adaptive", **shown}
    return None if budget is None else {"type": "enabled", "budget_tokens": budget, **shown}


def _budget(mapped: Mapping[str, Any], facts: ModelFacts) -> int | None:
    """Tokens of thinking: as requested, else half of `max_tokens`; None where `enabled`
    would be refused.
    """
    # The API wants a turn that answers a tool call to begin with the thinking before
    # that call, and the translation drops it.
    if forces_tools(mapped) or _answers_tools(mapped):
        return None
    most = mapped.get("max_tokens", facts.max_output)
    wanted = mapped["thinking"].get("budget_tokens")
    # Unchecked lines may say anything.
    wanted = wanted if isinstance(wanted, int | float) else None
    # The API refuses a budget of `max_tokens` or more.
    budget = int(min(max(wanted or most // 2, MIN_THINKING_BUDGET), most - 1))
    return budget if budget >= MIN_THINKING_BUDGET else None


def _answers_tools(mapped: Mapping[str, Any]) -> bool:
    last = (mapped.get("messages") or [None])[-1]
    content = last.get("content") if isinstance(last, dict) else None
    blocks = content if isinstance(content, list) else []
    return any(isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks)


def _map_effort(mapped: dict[str, Any], facts: ModelFacts) -> None:
    effort = effort_of(mapped)
    if effort is None or effort in facts.efforts:
        return
    # Never a higher effort than asked for: it would cost more than the row's worst
    # case.
    at_most = [level for level in facts.efforts if not above(level, effort)]
    _set_effort(
        mapped, max(at_most, key=EFFORTS.index) if at_most else next(iter(facts.efforts), None)
    )


def _set_effort(mapped: dict[str, Any], effort: Effort | None) -> None:
    config = {
        key: value for key, value in (mapped.get("output_config") or {}).items() if key != "effort"
    }
    if effort is not None:
        config["effort"] = effort
    if config:
        mapped["output_config"] = config
    else:
        mapped.pop("output_config", None)


def _without_thinking(message: Any) -> Any:
    """*message* without thinking blocks; None when nothing else was in it."""
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or message.get("role") != "assistant":
        return message
    rest = [
        block
        for block in content
        if not (isinstance(block, dict) and block.get("type") in _THINKING_BLOCKS)
    ]
    return {**message, "content": rest} if rest else None
