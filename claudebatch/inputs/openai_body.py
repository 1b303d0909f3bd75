"""The body of an OpenAI batch line as Messages API parameters.

Fields with the same meaning are translated, fields that ask for nothing (`"n": 1`) are
left out, and all others are refused by name: an answer to a question that was quietly
changed on the way is worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from claudebatch.core.errors import Problem
from claudebatch.core.jsonl import encode
from claudebatch.inputs.fields import CHECKS, REFUSED, one_of
from claudebatch.inputs.openai_messages import translate_messages
from claudebatch.inputs.openai_tools import translate_choice, translate_functions, translate_tools
from claudebatch.inputs.problems import (
    MAX_PROBLEMS,
    member,
    removal,
    shown,
    unknown,
    until_many,
    wrong,
)
from claudebatch.models.api_rules import LONGEST_USER_ID

NEUTRAL: Mapping[str, Any] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "n": 1,
    "presence_penalty": 0,
    "store": False,
    "stream": False,
}
"""Fields without an equal, each with the value at which it asks for nothing."""

WITHOUT_EQUAL: Mapping[str, str] = {
    "frequency_penalty": "remove it",
    "logit_bias": "remove it",
    "logprobs": "remove it: the Messages API returns no probabilities",
    "modalities": "remove it: answers are text",
    "n": "remove it, and repeat the line as often as you want answers",
    "presence_penalty": "remove it",
    "store": "remove it: answers are in the results file",
    "stream": "remove it: claudebatch decides itself when to stream",
    "audio": "remove it: answers are text",
    "prediction": "remove it",
    "prompt_cache_key": "remove it; see cache_control for prompt caching",
    "prompt_cache_retention": "remove it; see cache_control for prompt caching",
    "seed": "remove it: answers cannot be made repeatable",
    "stream_options": "remove it",
    "temperature": REFUSED["temperature"][1],
    "top_logprobs": "remove it: the Messages API returns no probabilities",
    "top_p": REFUSED["top_p"][1],
    "verbosity": "remove it, and say in the prompt how long the answer should be",
    "web_search_options": "remove it; a Messages API line can carry the web_search tool",
}


@dataclass(slots=True)
class OpenAiTranslation:
    """A translated body; `params` is whole only when there are no `problems`."""

    params: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    messages: list[Any] | None = None

    def check(self, name: str, value: Any, parameter: str) -> None:
        """Set *parameter* to *value*, *name* in the line, if the check passes."""
        found = CHECKS[parameter](name, value)
        self.problems.extend(found)
        if not found:
            self.set(name, parameter, value)

    def set(self, name: str, parameter: str, value: Any) -> None:
        """Set *parameter* to *value*; two fields with different values for it are a
        problem.
        """
        # `max_tokens` and `max_completion_tokens` are one parameter here: to pick one
        # in silence would be a guess.
        if self.params.setdefault(parameter, value) != value:
            self.problems.append(
                Problem(
                    "E370",
                    f'"{name}" contradicts another field for {parameter}',
                    "keep one of them",
                )
            )


def translate(body: dict[str, Any]) -> OpenAiTranslation:
    """*body* as Messages API parameters, with every problem of the translation."""
    out = OpenAiTranslation()
    strange = 0
    for name, value in body.items():
        translator = TRANSLATED.get(name)
        if translator is not None:
            translator(name, value, out)
        elif not _is_neutral(name, value):
            strange += 1
            # A hostile line may have a million fields.
            if strange <= MAX_PROBLEMS:
                out.problems.append(_refusal(name, value))
    if "messages" not in body:
        out.problems.append(
            Problem("E371", '"body" has no "messages"', 'write [{"role": "user", "content": "…"}]')
        )
    # After all other fields: the choice of a tool may come later in the line.
    if not out.params.get("tools"):
        _choose_no_tool(out)
    elif body.get("parallel_tool_calls") is False:
        _one_call_at_a_time(out)
    return out


def _is_neutral(name: str, value: Any) -> bool:
    neutral = NEUTRAL.get(name)
    return (
        name in NEUTRAL
        and value == neutral
        # In Python 0 == False: `"n": true` would pass for 1.
        and isinstance(value, bool) == isinstance(neutral, bool)
    )


def _refusal(name: str, value: Any) -> Problem:
    if name in WITHOUT_EQUAL:
        return Problem(
            "E372",
            f'"{name}" ({shown(value)}) has no equal in the Messages API',
            removal(name, WITHOUT_EQUAL[name]),
        )
    return unknown(name, [*TRANSLATED, *WITHOUT_EQUAL], "remove it, or use an Anthropic batch line")


_Translator: TypeAlias = Callable[[str, Any, OpenAiTranslation], None]


def _as(parameter: str) -> _Translator:
    """The field means what *parameter* means."""
    return lambda name, value, out: out.check(name, value, parameter)


def _messages(_: str, value: Any, out: OpenAiTranslation) -> None:
    out.messages = translate_messages(value, out.problems)


def _stop(name: str, value: Any, out: OpenAiTranslation) -> None:
    out.check(name, [value] if isinstance(value, str) else value, "stop_sequences")


def _user(name: str, value: Any, out: OpenAiTranslation) -> None:
    if isinstance(value, str) and len(value) > LONGEST_USER_ID:
        reason = f'"{name}" has {len(value)} characters'
        fix = f"the Messages API takes {LONGEST_USER_ID}: send a shorter one, a hash for example"
        out.problems.append(Problem("E373", reason, fix))
    elif isinstance(value, str):
        out.set(name, "metadata", {"user_id": value})
    else:
        out.problems.append(wrong(name, "a string", value, "write it in quotes, or leave it out"))


def _metadata(name: str, value: Any, out: OpenAiTranslation) -> None:
    if not isinstance(value, dict):
        out.problems.append(wrong(name, "an object", value, "write it in braces, or leave it out"))
        return
    for _, (key, item) in until_many(value.items(), out.problems):
        if isinstance(item, dict | list):
            out.problems.append(wrong(member(name, key), "a plain value", item, "flatten it"))
        # Null is an empty cell of an exporter; a rule should see no attribute, not the
        # word null.
        if item is not None:
            out.attributes[key] = item if isinstance(item, str) else encode(item).decode()


def _service_tier(name: str, value: Any, out: OpenAiTranslation) -> None:
    # OpenAI's "default" rules out paid priority, as `standard_only` does; its own word
    # would be refused.
    known = {"auto": "auto", "default": "standard_only"}
    tier = known.get(value) if isinstance(value, str) else None
    if tier is not None:
        out.set(name, "service_tier", tier)
        return
    out.problems.extend(one_of(*known)(name, value))


def _effort(name: str, value: Any, out: OpenAiTranslation) -> None:
    found = one_of("low", "medium", "high", "xhigh")(name, value)
    out.problems.extend(found)
    if not found:
        out.params.setdefault("output_config", {})["effort"] = value


def _response_format(name: str, value: Any, out: OpenAiTranslation) -> None:
    kind = value.get("type") if isinstance(value, dict) else value
    if kind == "text":
        return
    # `json_object` only promises some JSON: Claude has no such mode, and answers in
    # prose would fail the user's parser after the money is spent.
    if kind != "json_schema":
        fix = 'use {"type": "json_schema", …}, or ask for JSON in the prompt'
        out.problems.append(
            Problem(
                "E374",
                f'"{name}.type" is {shown(kind)}, which has no equal in the Messages API',
                fix,
            )
        )
        return
    spec = value.get("json_schema")
    schema = spec.get("schema") if isinstance(spec, dict) else None
    if not isinstance(schema, dict):
        out.problems.append(
            wrong(f"{name}.json_schema.schema", "an object", schema, "write the JSON schema there")
        )
    elif spec.get("description") is not None:
        reason = f'"{name}.json_schema.description" has no equal in the Messages API'
        out.problems.append(Problem("E375", reason, "move it into the schema's own description"))
    else:
        out.params.setdefault("output_config", {})["format"] = {
            "type": "json_schema",
            "schema": schema,
        }


def _translated(function: Callable[[str, Any, list[Problem]], Any], parameter: str) -> _Translator:
    """The field becomes *parameter* through *function*, which returns None for a
    problem.
    """

    def translator(name: str, value: Any, out: OpenAiTranslation) -> None:
        result = function(name, value, out.problems)
        if result is not None:
            out.set(name, parameter, result)

    return translator


def _parallel(name: str, value: Any, out: OpenAiTranslation) -> None:
    if not isinstance(value, bool):
        out.problems.append(
            wrong(name, "true or false", value, "leave it out for the default, true")
        )


def _choose_no_tool(out: OpenAiTranslation) -> None:
    """Leave out what is said about tools where there are none: the API refuses it."""
    out.params.pop("tools", None)
    # A forced choice of nothing is a mistake, which the API's own rules name.
    if out.params.get("tool_choice", {}).get("type") in ("auto", "none"):
        del out.params["tool_choice"]


def _one_call_at_a_time(out: OpenAiTranslation) -> None:
    choice = out.params.get("tool_choice", {"type": "auto"})
    # The API refuses the flag beside "none".
    if choice["type"] != "none":
        out.params["tool_choice"] = {**choice, "disable_parallel_tool_use": True}


TRANSLATED: Mapping[str, _Translator] = {
    "function_call": _translated(translate_choice, "tool_choice"),
    "functions": _translated(translate_functions, "tools"),
    "max_completion_tokens": _as("max_tokens"),
    "max_tokens": _as("max_tokens"),
    "messages": _messages,
    "metadata": _metadata,
    "model": _as("model"),
    "parallel_tool_calls": _parallel,
    "reasoning_effort": _effort,
    "response_format": _response_format,
    "safety_identifier": _user,
    "service_tier": _service_tier,
    "stop": _stop,
    "tool_choice": _translated(translate_choice, "tool_choice"),
    "tools": _translated(translate_tools, "tools"),
    "user": _user,
}
"""Fields with the same meaning under another name."""
