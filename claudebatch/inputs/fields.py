"""The parameters that a line may carry beside its prompt, with one check for each.

A problem names the offending value and its fix. Refusals of a single *model* are not
decided here, because the line's model is not known yet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from claudebatch.core.errors import Problem
from claudebatch.core.jsonl import encode
from claudebatch.inputs.messages import check_system_blocks
from claudebatch.inputs.problems import MAX_PROBLEMS, member, shown, wrong
from claudebatch.models.catalog import EFFORTS, THINKING_KINDS

Check: TypeAlias = Callable[[str, Any], Sequence[Problem]]

MAX_TOKENS_LIMIT = 1_000_000
"""No model writes more than 300,000 tokens; a typo of several digits would be held
against the cap at its full price.
"""


def _text(name: str, value: Any) -> Sequence[Problem]:
    if isinstance(value, str) and value:
        return ()
    return (
        wrong(name, "a string that is not empty", value, "write it in quotes, or leave it out"),
    )


def _object(name: str, value: Any) -> Sequence[Problem]:
    if isinstance(value, dict):
        return ()
    return (wrong(name, "an object", value, "write it in braces, or leave it out"),)


def one_of(*options: str) -> Check:
    """A check for one of *options*."""

    def check(name: str, value: Any) -> Sequence[Problem]:
        if value in options:
            return ()
        return (wrong(name, "one of " + ", ".join(options), value, "choose one, or leave it out"),)

    return check


def _kind(name: str, value: Any, kinds: Collection[str]) -> Sequence[Problem]:
    """An object whose `type` is one of *kinds*."""
    if not isinstance(value, dict):
        example = next(iter(kinds))
        return (
            wrong(
                name,
                'an object with a "type"',
                value,
                f'write {{"type": "{example}"}}, or leave it out',
            ),
        )
    return one_of(*kinds)(f"{name}.type", value.get("type"))


def _max_tokens(name: str, value: Any) -> Sequence[Problem]:
    # `true` is an int in Python.
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        return (
            wrong(
                name,
                "a whole number above 0",
                value,
                "write a number such as 1024, or leave it out",
            ),
        )
    if value > MAX_TOKENS_LIMIT:
        return (
            wrong(
                name, f"at most {MAX_TOKENS_LIMIT}", value, "no model writes that much: lower it"
            ),
        )
    return ()


def _stop_sequences(name: str, value: Any) -> Sequence[Problem]:
    if isinstance(value, list) and all(isinstance(text, str) and text for text in value):
        return ()
    return (
        wrong(
            name, "a list of strings that are not empty", value, 'write ["END"], or leave it out'
        ),
    )


def _stream(name: str, value: Any) -> Sequence[Problem]:
    # Exporters of other tools write `"stream": false` into every line.
    if value is False:
        return ()
    return (
        Problem(
            f'"{name}" is {shown(value)}', "remove it: claudebatch decides itself when to stream"
        ),
    )


def _system(name: str, value: Any) -> Sequence[Problem]:
    if isinstance(value, str):
        return ()
    if isinstance(value, list):
        return check_system_blocks(name, value)
    return (
        wrong(
            name, "a string or a list of text blocks", value, "write it in quotes, or leave it out"
        ),
    )


def _tools(name: str, value: Any) -> Sequence[Problem]:
    if not isinstance(value, list):
        return (
            wrong(
                name,
                "a list of tools",
                value,
                'write [{"name": …, "input_schema": …}], or leave it out',
            ),
        )
    # A generator: a list of a million broken tools is only read up to the limit.
    problems = (problem for n, tool in enumerate(value) for problem in _tool(f"{name}[{n}]", tool))
    return list(islice(problems, MAX_PROBLEMS))


def _tool(where: str, tool: Any) -> Sequence[Problem]:
    """Check a custom tool; a tool that Anthropic defines is known by its `type`
    alone.
    """
    fix = 'write {"name": "…", "description": "…", "input_schema": {"type": "object", …}}'
    if not isinstance(tool, dict):
        return (wrong(where, "an object", tool, fix),)
    kind = tool.get("type")
    # Said by name, because the API's own message for it names none of this.
    if kind == "function":
        return (Problem(f'"{where}" is an OpenAI tool', fix),)
    # Anthropic adds such tools often; a list of them here would refuse the next one.
    if isinstance(kind, str) and kind != "custom":
        return ()
    if not isinstance(tool.get("input_schema"), dict):
        return (wrong(f"{where}.input_schema", "an object", tool.get("input_schema"), fix),)
    return _text(f"{where}.name", tool.get("name"))


def _tool_choice(name: str, value: Any) -> Sequence[Problem]:
    problems = _kind(name, value, ("auto", "any", "tool", "none"))
    return problems or (_text(f"{name}.name", value.get("name")) if value["type"] == "tool" else ())


def _thinking(name: str, value: Any) -> Sequence[Problem]:
    problems = _kind(name, value, THINKING_KINDS)
    if problems or value["type"] != "enabled":
        return problems
    return _max_tokens(f"{name}.budget_tokens", value.get("budget_tokens"))


def _output_config(name: str, value: Any) -> Sequence[Problem]:
    problems = list(_object(name, value))
    if problems:
        return problems
    if value.get("effort") is not None:
        problems += one_of(*EFFORTS)(f"{name}.effort", value["effort"])
    if value.get("format") is not None:
        problems += _format(f"{name}.format", value["format"])
    return problems


def _format(name: str, value: Any) -> Sequence[Problem]:
    return _kind(name, value, ("json_schema",)) or _object(f"{name}.schema", value.get("schema"))


def _cache_control(name: str, value: Any) -> Sequence[Problem]:
    problems = _kind(name, value, ("ephemeral",))
    if problems or value.get("ttl") is None:
        return problems
    return one_of("5m", "1h")(f"{name}.ttl", value["ttl"])


def _container(name: str, value: Any) -> Sequence[Problem]:
    return () if isinstance(value, dict) else _text(name, value)


def _metadata(name: str, value: Any) -> Sequence[Problem]:
    problems = _object(name, value)
    if problems:
        return problems
    faults = (
        problem
        for key, item in value.items()
        for problem in _metadata_value(member(name, key), item)
    )
    return list(islice(faults, MAX_PROBLEMS))


def _metadata_value(where: str, value: Any) -> Sequence[Problem]:
    # The only member that is sent.
    if where == "metadata.user_id" and not isinstance(value, str | None):
        return (wrong(where, "a string", value, "the API takes it as text: write it in quotes"),)
    if isinstance(value, dict | list):
        return (
            wrong(
                where,
                "a string, a number or true/false",
                value,
                "rules compare plain values: flatten it",
            ),
        )
    return ()


CHECKS: Mapping[str, Check] = {
    "cache_control": _cache_control,
    "container": _container,
    "diagnostics": _object,
    "inference_geo": _text,
    "max_tokens": _max_tokens,
    "metadata": _metadata,
    "model": _text,
    "output_config": _output_config,
    "service_tier": one_of("auto", "standard_only"),
    "speed": one_of("standard", "fast"),
    "stop_sequences": _stop_sequences,
    "stream": _stream,
    "system": _system,
    "thinking": _thinking,
    "tool_choice": _tool_choice,
    "tools": _tools,
}
"""Every parameter that a line may carry. `messages` is content, checked in messages.py.
"""

_SAMPLING = (
    "is no longer a parameter: since API version 2026-10-21 every model answers 400 to it, even "
    "at its default",
    "remove it; say in the prompt how the answer should be",
)
_HEADER = ("is a header of the whole run, not a field of a line", "remove it")
_BETA = ("belongs to a beta of the API, which claudebatch does not use", "remove it")
_SDK = ("is an argument of the SDK, not a parameter of the API", "remove it")


def _openai(instead: str) -> tuple[str, str]:
    return "is OpenAI's", instead


REFUSED: Mapping[str, tuple[str, str]] = {
    "temperature": _SAMPLING,
    "top_p": _SAMPLING,
    "top_k": _SAMPLING,
    "user_profile_id": _HEADER,
    "workspace_id": _HEADER,
    "anthropic_version": _HEADER,
    "anthropic_beta": _BETA,
    "betas": _BETA,
    "billing_policy": _BETA,
    "context_management": _BETA,
    "fallbacks": (_BETA[0], "remove it; claudebatch's own fallbacks are in its configuration"),
    "mcp_servers": _BETA,
    "output_format": (
        "is the beta's name of a structured answer",
        'write "output_config": {"format": …}',
    ),
    "effort": ("is a member of output_config", 'write "output_config": {"effort": …}'),
    "max_tokens_to_sample": ("is the old name of max_tokens", 'write "max_tokens"'),
    "extra_body": _SDK,
    "extra_headers": _SDK,
    "extra_query": _SDK,
    "timeout": _SDK,
    "max_retries": _SDK,
    "frequency_penalty": _openai("remove it; the Messages API has no equal"),
    "function_call": _openai('write "tool_choice"'),
    "functions": _openai('write "tools", each with its "input_schema"'),
    "logprobs": _openai("remove it; the Messages API tells no probabilities"),
    "logit_bias": _openai("remove it; the Messages API has no equal"),
    "max_completion_tokens": _openai('write "max_tokens"'),
    "n": _openai("remove it, and repeat the line as often as you want answers"),
    "parallel_tool_calls": _openai('write "disable_parallel_tool_use" in "tool_choice"'),
    "presence_penalty": _openai("remove it; the Messages API has no equal"),
    "reasoning_effort": _openai('write "output_config": {"effort": …}'),
    "response_format": _openai('write "output_config": {"format": …}'),
    "seed": _openai("remove it; answers cannot be made repeatable"),
    "stop": _openai('write "stop_sequences": […]'),
    "top_logprobs": _openai("remove it; the Messages API tells no probabilities"),
    "user": _openai('write "metadata": {"user_id": …}'),
}
"""Fields that are known and refused by name, each with its reason and fix. Guessing by
likeness would take a parameter of a beta for a misspelling.
"""


def attributes_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The members of checked *metadata* for routing rules, which are not sent: all but
    `user_id`.
    """
    return {
        key: value if isinstance(value, str) else encode(value).decode()
        for key, value in metadata.items()
        if value is not None and key != "user_id"
    }
