"""The parameters that a line may carry beside its prompt, with one check for each.

A problem names the offending value and its fix. Refusals of a single *model* are not
decided here, because the line's model is not known yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from claudebatch.core.errors import Problem
from claudebatch.core.jsonl import encode
from claudebatch.inputs.messages import check_system_blocks
from claudebatch.inputs.problems import MAX_PROBLEMS, member, shown, wrong
from claudebatch.models.api_rules import beta_names

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


def _kind(name: str, value: Any) -> Sequence[Problem]:
    """An object whose `type` is a string, if it has one; the API's types say which
    strings.
    """
    if not isinstance(value, dict):
        fix = 'write {"type": "…"}, or leave it out'
        return (wrong(name, 'an object with a "type"', value, fix),)
    kind = value.get("type")
    if isinstance(kind, str | None):
        return ()
    return (wrong(f"{name}.type", "a string", kind, "write it in quotes"),)


def _max_tokens(name: str, value: Any) -> Sequence[Problem]:
    # `true` is an int in Python.
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return (
            wrong(
                name,
                "a whole number from 0 up",
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
            "E320",
            f'"{name}" is {shown(value)}',
            "remove it: claudebatch decides itself when to stream",
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
    fix = 'write {"name": "…", "description": "…", "input_schema": {"type": "object", …}}'
    if not isinstance(tool, dict):
        return (wrong(where, "an object", tool, fix),)
    # Said by name, because the API's own message for it names none of this.
    if tool.get("type") == "function":
        return (Problem("E321", f'"{where}" is an OpenAI tool', fix),)
    return _kind(where, tool)


def _output_config(name: str, value: Any) -> Sequence[Problem]:
    problems = list(_object(name, value))
    if problems:
        return problems
    if not isinstance(value.get("effort"), str | None):
        fix = "write it in quotes, or leave it out"
        problems.append(wrong(f"{name}.effort", "a string", value["effort"], fix))
    if value.get("format") is not None:
        problems += _kind(f"{name}.format", value["format"])
    return problems


def _betas(_: str, value: Any) -> Sequence[Problem]:
    return beta_names(value)[1]


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
    "betas": _betas,
    "cache_control": _kind,
    "container": _container,
    "diagnostics": _object,
    "inference_geo": _text,
    "max_tokens": _max_tokens,
    "metadata": _metadata,
    "model": _text,
    "output_config": _output_config,
    "service_tier": _text,
    "speed": _text,
    "stop_sequences": _stop_sequences,
    "stream": _stream,
    "system": _system,
    "thinking": _kind,
    "tool_choice": _kind,
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
    "anthropic_beta": ("is a header", 'write "betas": ["…"]'),
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
    "logprobs": _openai("remove it; the Messages API returns no probabilities"),
    "logit_bias": _openai("remove it; the Messages API has no equal"),
    "max_completion_tokens": _openai('write "max_tokens"'),
    "n": _openai("remove it, and repeat the line as often as you want answers"),
    "parallel_tool_calls": _openai('write "disable_parallel_tool_use" in "tool_choice"'),
    "presence_penalty": _openai("remove it; the Messages API has no equal"),
    "reasoning_effort": _openai('write "output_config": {"effort": …}'),
    "response_format": _openai('write "output_config": {"format": …}'),
    "seed": _openai("remove it; answers cannot be made repeatable"),
    "stop": _openai('write "stop_sequences": […]'),
    "top_logprobs": _openai("remove it; the Messages API returns no probabilities"),
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
