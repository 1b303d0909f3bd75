"""Parameters that a model answers with a 400, refused before any money moves.

Only rules that depend on the model stand here. `inputs` checks shapes, so values of a
wrong shape are ignored. For a model without facts nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.models.catalog import EFFORTS, Effort, ModelFacts

OFF_KINDS = ("disabled", "between_tools")
"""Values of `thinking.type` for no thinking before the answer."""

# The API's own minimum; below it every request is a 400.
MIN_THINKING_BUDGET = 1_024

# Uses of all tools of a request together. A worst case beyond it would fit neither a
# sensible cap nor an integer column of the journal.
_MOST_USES = 1_000

_SAMPLING = frozenset({"temperature", "top_p", "top_k"})


def problems(params: Mapping[str, Any], facts: ModelFacts) -> tuple[Problem, ...]:
    """Everything in *params* that the model of *facts* refuses, each with its fix."""
    # Most rows have a text and `max_tokens`: they are not held against every rule.
    refused: list[Problem] = []
    most = params.get("max_tokens")
    if isinstance(most, int) and most > facts.max_output:
        refused.append(_too_many_tokens(most, facts))
    if not _SAMPLING.isdisjoint(params):
        refused += _sampling(params)
    if is_prefill(params):
        refused += _prefill(params, facts)
    if not facts.system_turns:
        refused += _system_turns(params, facts)
    if "thinking" in params:
        refused += _thinking(params, facts)
    if "output_config" in params:
        refused += _effort(params, facts)
    if "tool_choice" in params:
        refused += _forced_tools(params, facts)
    if "tools" in params:
        refused += [*_uses(params), *_tools(params, facts)]
    if "speed" in params or "inference_geo" in params:
        refused += _serving(params, facts)
    return tuple(refused)


def kind_of(params: Mapping[str, Any], key: str) -> str | None:
    """The `type` of the object under *key*, if there is one."""
    value = params.get(key)
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else None


def effort_of(params: Mapping[str, Any]) -> Effort | None:
    """The requested effort; None if it is missing or unknown."""
    config = params.get("output_config")
    effort = config.get("effort") if isinstance(config, dict) else None
    return effort if effort in EFFORTS else None


def forces_tools(params: Mapping[str, Any]) -> bool:
    """Whether the answer must be a tool call."""
    return kind_of(params, "tool_choice") in ("any", "tool")


def is_prefill(params: Mapping[str, Any]) -> bool:
    """Whether the conversation ends with the beginning of an answer.

    An assistant turn with a server tool's call does not count: it is sent back to
    continue a paused turn.
    """
    messages = params.get("messages") or [None]
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return False
    content = last.get("content")
    blocks = content if isinstance(content, list) else []
    return not any(
        isinstance(block, dict) and block.get("type") == "server_tool_use" for block in blocks
    )


def above(effort: Effort, cap: Effort) -> bool:
    """Whether *effort* is more than *cap*."""
    return EFFORTS.index(effort) > EFFORTS.index(cap)


def _sampling(params: Mapping[str, Any]) -> Iterator[Problem]:
    for name in params:
        if name in _SAMPLING:
            yield Problem(
                "E435",
                f'"{name}" is answered with an error by every model, even at its default value',
                "remove it; say in the prompt how the answer should be",
            )


def _too_many_tokens(most: int, facts: ModelFacts) -> Problem:
    return Problem(
        "E436",
        f'"max_tokens" is {most}, but {facts.id} writes at most {facts.max_output} tokens',
        f"lower it to {facts.max_output}",
    )


def _prefill(params: Mapping[str, Any], facts: ModelFacts) -> Iterator[Problem]:
    if facts.prefill:
        yield from _begun_with_space(params["messages"][-1].get("content"))
    else:
        yield Problem(
            "E437",
            f'the last of "messages" is from the assistant: {facts.id} does not support prefill',
            "end with a user message, and ask for the beginning or the format in it or in the "
            "system prompt",
        )


def _begun_with_space(content: Any) -> Iterator[Problem]:
    """The API refuses a begun answer that ends in white space."""
    last = content[-1] if isinstance(content, list) and content else content
    text = last.get("text") if isinstance(last, dict) else last
    if isinstance(text, str) and text != text.rstrip():
        yield Problem(
            "E438",
            'the last of "messages", a prefill, ends in white space',
            "remove it: the model continues with its own",
        )


def _system_turns(params: Mapping[str, Any], facts: ModelFacts) -> Iterator[Problem]:
    # A leading one is `system` by now.
    for number, message in enumerate(params.get("messages") or ()):
        if isinstance(message, dict) and message.get("role") == "system":
            yield Problem(
                "E439",
                f'message {number} of "messages" is a system message: {facts.id} accepts none '
                f"within a conversation",
                'move it into "system", or use a newer model',
            )
            return


def _thinking(params: Mapping[str, Any], facts: ModelFacts) -> Iterator[Problem]:
    kind, effort, cap = (
        kind_of(params, "thinking"),
        effort_of(params),
        facts.effort_cap_without_thinking,
    )
    if kind is None:
        return
    if kind not in facts.thinking:
        yield Problem(
            "E440",
            f'{facts.id} does not accept "thinking" of type {kind}',
            _thinking_fix(kind, facts),
        )
    elif kind == "enabled":
        yield from _budget(params)
    elif kind in OFF_KINDS and cap is not None and effort is not None and above(effort, cap):
        yield Problem(
            "E441",
            f'{facts.id} accepts "thinking" of type {kind} only up to effort {cap}, got {effort}',
            f"lower output_config.effort to {cap}, or leave thinking out",
        )


def _thinking_fix(kind: str, facts: ModelFacts) -> str:
    if kind in OFF_KINDS:
        off = next((other for other in OFF_KINDS if other in facts.thinking), None)
        if off is not None:
            return f'write {{"type": "{off}"}} for the least thinking, or leave it out'
        return 'it always thinks: leave "thinking" out and write output_config.effort "low"'
    if kind == "enabled":
        return (
            'write {"type": "adaptive"} without a budget; output_config.effort says how much '
            "to think"
        )
    return 'write {"type": "enabled", "budget_tokens": 2048}, or leave it out'


def _budget(params: Mapping[str, Any]) -> Iterator[Problem]:
    budget, most = params["thinking"].get("budget_tokens"), params.get("max_tokens")
    if not isinstance(budget, int | float) or budget < MIN_THINKING_BUDGET:
        yield Problem(
            "E442",
            f'"thinking.budget_tokens" must be at least {MIN_THINKING_BUDGET}, got {budget!r}',
            f"raise it to {MIN_THINKING_BUDGET}, or leave thinking out",
        )
    elif isinstance(most, int) and budget >= most:
        yield Problem(
            "E443",
            f'"thinking.budget_tokens" is {budget}, but thinking counts towards "max_tokens", '
            f"which is {most}",
            "raise max_tokens above the budget, or lower the budget",
        )
    if forces_tools(params):
        yield Problem(
            "E444",
            'a forced "tool_choice" is refused while "thinking" is enabled',
            'write "tool_choice" {"type": "auto"}, or leave thinking out',
        )


def _effort(params: Mapping[str, Any], facts: ModelFacts) -> Iterator[Problem]:
    effort = effort_of(params)
    if effort is None or effort in facts.efforts:
        return
    if not facts.efforts:
        yield Problem(
            "E445", f'{facts.id} does not support "effort"', "remove output_config.effort"
        )
        return
    yield Problem(
        "E446",
        f"{facts.id} does not accept effort {effort}",
        f"use one of {', '.join(facts.efforts)}",
    )


def _forced_tools(params: Mapping[str, Any], facts: ModelFacts) -> Iterator[Problem]:
    if not facts.forced_tools and forces_tools(params):
        yield Problem(
            "E447",
            f'{facts.id} does not accept "tool_choice" of type {kind_of(params, "tool_choice")}',
            'write {"type": "auto"} and ask for the tool in the prompt, or use '
            "output_config.format for JSON",
        )


def _tools(params: Mapping[str, Any], facts: ModelFacts) -> Iterator[Problem]:
    tools = params["tools"] if isinstance(params["tools"], list) else []
    for number, tool in enumerate(tools):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind in facts.refused_tools:
            yield Problem(
                "E461",
                f'"tools[{number}].type" is {kind}, which {facts.id} does not take',
                "use a newer version of the tool, or another model",
            )


def _uses(params: Mapping[str, Any]) -> Iterator[Problem]:
    tools = params["tools"] if isinstance(params["tools"], list) else []
    allowed = [tool.get("max_uses") for tool in tools if isinstance(tool, dict)]
    # Each use of a server tool reads the whole prompt again, at the price of its input.
    total = sum(uses for uses in allowed if type(uses) is int)
    if total > _MOST_USES:
        yield Problem(
            "E448",
            f'the tools may run {total} times by their "max_uses", and may read the prompt as '
            f"often",
            f"lower them: {_MOST_USES:,} in all is the most",
        )


def _serving(params: Mapping[str, Any], facts: ModelFacts) -> Iterator[Problem]:
    if params.get("speed") == "fast" and not facts.fast:
        yield Problem("E449", f'{facts.id} does not support "speed": "fast"', "remove speed")
    if params.get("inference_geo") is not None and not facts.inference_geo:
        yield Problem(
            "E450",
            f'{facts.id} does not accept "inference_geo"',
            "remove it, or use Claude 4.6 or later",
        )
