"""The API's refusals of a Messages body, version 2026-10-21, with the texts of recorded
answers where they exist.

What a model takes, and the shape of a body, are kept apart from the product's own
checks on purpose: the simulator shows where those are wrong. Deeper down both go by the
SDK's types and by the documented rules (docs/design/030).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.models.api_rules import broken_rules, broken_types, request_types
from claudebatch.simulator.count_input import forces_tool
from claudebatch.simulator.refusals import bad
from claudebatch.simulator.traits import Traits
from claudebatch.simulator.wire import Body

OLD_VERSION = "2023-06-01"
_PATH = re.compile(r'"([^"]+)" (.*)', re.DOTALL)
_MARKS = re.compile(r"is one of (\d+) cache breakpoints")
_INDEX = re.compile(r"\[(\d+)\]")
VERSIONS = frozenset({OLD_VERSION, "2026-10-21"})

SAMPLING = ("temperature", "top_p", "top_k")
FIELDS = frozenset(
    {
        *(
            "max_tokens",
            "messages",
            "model",
            "stream",
            "stop_sequences",
            "system",
            "tools",
            "tool_choice",
        ),
        *(
            "cache_control",
            "container",
            "diagnostics",
            "inference_geo",
            "metadata",
            "output_config",
        ),
        *("service_tier", "speed", "thinking"),
    }
)
ROLES = frozenset({"user", "assistant", "system"})
HIGH_EFFORTS = ("xhigh", "max")
MIN_BUDGET = 1_024
# Word for word: clients may compare it.
PREFILL = (
    "This model does not support assistant message prefill. "
    "The conversation must end with a user message."
)


def check_shape(body: Any, *, counting: bool = False, betas: Collection[str] = ()) -> Body:
    """Refuse bodies that no model accepts; *counting* omits `max_tokens`, which
    count_tokens does not accept. *betas* are the headers that the request names.
    """
    if not isinstance(body, dict):
        raise bad("Input should be a valid dictionary")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise bad(
            "model: Field required"
            if "model" not in body
            else "model: Input should be a valid string"
        )
    if not counting:
        _check_max_tokens(body)
    _check_messages(body)
    unknown = body.keys() - FIELDS - set(SAMPLING)
    judged = request_types().knows(betas)
    if betas:
        unknown = unknown - request_types().only_beta if judged else set()
    if unknown:
        raise bad(f"{min(unknown)}: Extra inputs are not permitted")
    _check_types(body)
    if judged:
        for problem in broken_types(body, betas=betas) or broken_rules(body):
            raise bad(_in_the_apis_words(problem))
    return body


def _in_the_apis_words(problem: Problem) -> str:
    """The path with dots, and what is wrong there; of the first problem, as the API
    does it.
    """
    marks = _MARKS.search(problem.reason)
    if marks is not None:
        return f"A maximum of 4 blocks with cache_control may be provided. Found {marks[1]}."
    found = _PATH.match(problem.reason)
    if found is None:
        return problem.reason
    place = _INDEX.sub(r".\1", found[1])
    return f"{place}: {found[2]}"


def check_for_model(body: Body, traits: Traits, version: str) -> None:
    """Refuse members that this model, or this API version, does not accept."""
    _check_sampling(body, traits, version)
    # A product check that misses this would fail each row of a file at the API only.
    last = body["messages"][-1]
    if last["role"] == "assistant":
        if not traits.prefill and not _is_paused(last["content"]):
            raise bad(PREFILL)
        _check_begun(last["content"])
    if not traits.system_turns and any(one["role"] == "system" for one in body["messages"]):
        raise bad("messages: role 'system' is not supported on this model")
    if body.get("speed") == "fast" and not traits.fast:
        raise bad("speed: fast mode is not supported by this model.")
    _check_thinking(body, traits)
    for number, tool in enumerate(body.get("tools") or ()):
        if tool.get("type") in traits.refused_tools:
            raise bad(f"tools.{number}.type: {tool['type']} is not supported by this model.")
    if forces_tool(body) and not traits.forced_tools:
        raise bad('tool_choice: "any" and "tool" are not supported by this model.')
    if body.get("max_tokens", 0) > traits.output_tokens:
        raise bad(
            f"max_tokens: {body['max_tokens']} > {traits.output_tokens}, "
            f"which is the maximum allowed number of output tokens for {body['model']}"
        )
    if body.get("inference_geo") is not None and traits.geo == "not_available":
        raise bad("inference_geo: not supported by this model.")


def _is_paused(content: Any) -> bool:
    """Whether a turn in which the API ran a tool is sent back to be continued."""
    return isinstance(content, list) and any(
        block.get("type") == "server_tool_use" for block in content
    )


def _check_begun(content: Any) -> None:
    last = content if isinstance(content, str) else content[-1].get("text") if content else ""
    if isinstance(last, str) and last != last.rstrip():
        raise bad("messages: final assistant content cannot end with trailing whitespace")


def check_length(tokens: int, traits: Traits) -> None:
    """Refuse a prompt that is longer than the model's window."""
    if tokens > traits.context_tokens:
        raise bad(f"prompt is too long: {tokens} tokens > {traits.context_tokens} maximum")


def _check_max_tokens(body: Body) -> None:
    value = body.get("max_tokens")
    if value is None:
        raise bad("max_tokens: Field required")
    # `true` is an int in Python.
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad("max_tokens: Input should be a valid integer")
    if value < 0:
        raise bad("max_tokens: Input should be greater than or equal to 0")
    if value == 0 and body.get("stream"):
        raise bad("max_tokens: 0 only fills the prompt cache and cannot be streamed")


def _check_messages(body: Body) -> None:
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise bad(
            "messages: Field required"
            if messages is None
            else "messages: Input should be a valid list"
        )
    if not messages:
        raise bad("messages: at least one message is required")
    for number, message in enumerate(messages):
        _check_message(number, message)


def _check_message(number: int, message: Any) -> None:
    if not isinstance(message, dict) or "role" not in message or "content" not in message:
        raise bad(f"messages.{number}: Input does not match the expected shape.")
    if message["role"] not in ROLES:
        raise bad(f"messages.{number}.role: Input should be 'user', 'assistant' or 'system'")
    # As strict as the API: a tolerant simulator would let a rehearsal pass that the
    # real run does not.
    if message.keys() - {"role", "content"}:
        raise bad(
            f"messages.{number}.{min(message.keys() - {'role', 'content'})}: Extra inputs are "
            f"not permitted"
        )
    content = message["content"]
    if not isinstance(content, str | list):
        raise bad(f"messages.{number}.content: Input should be a valid string or list")
    if not content and message["role"] != "assistant":
        raise bad(f"messages.{number}: all messages must have non-empty content")
    if isinstance(content, list):
        _check_blocks(f"messages.{number}.content", content)


def _check_blocks(where: str, blocks: list[Any]) -> None:
    for number, block in enumerate(blocks):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise bad(f"{where}.{number}.type: Field required")
        if block["type"] == "text" and not (isinstance(block.get("text"), str) and block["text"]):
            raise bad("messages: text content blocks must be non-empty")


def _check_types(body: Body) -> None:
    """Check the types of the few fields that the simulator itself reads."""
    system = body.get("system")
    if isinstance(system, list):
        _check_blocks("system", system)
    elif not isinstance(system, str | None):
        raise bad("system: Input should be a valid string or list")
    for name, kind, word in _KINDS:
        if not isinstance(body.get(name), kind | None):
            raise bad(f"{name}: Input should be a valid {word}")
    if not all(isinstance(tool, dict) for tool in body.get("tools") or ()):
        raise bad("tools.0: Input should be a valid dictionary")
    if not all(isinstance(text, str) and text for text in body.get("stop_sequences") or ()):
        raise bad("stop_sequences: each stop sequence must be a non-empty string")


_KINDS: tuple[tuple[str, type, str], ...] = (
    ("thinking", dict, "dictionary"),
    ("output_config", dict, "dictionary"),
    ("tool_choice", dict, "dictionary"),
    ("metadata", dict, "dictionary"),
    ("cache_control", dict, "dictionary"),
    ("tools", list, "list"),
    ("stop_sequences", list, "list"),
    ("stream", bool, "boolean"),
    ("inference_geo", str, "string"),
    ("speed", str, "string"),
)


def _check_sampling(body: Body, traits: Traits, version: str) -> None:
    for name in SAMPLING:
        if name not in body:
            continue
        if version != OLD_VERSION:
            raise bad(f"{name}: Extra inputs are not permitted")
        if not traits.sampling and not (name == "temperature" and body[name] == 1):
            raise bad(f"{name}: only the default value is supported by this model.")


def _check_thinking(body: Body, traits: Traits) -> None:
    effort = (body.get("output_config") or {}).get("effort")
    if effort is not None and not traits.efforts:
        raise bad("This model does not support the effort parameter.")
    if effort is not None and effort not in traits.efforts:
        levels = ", ".join(sorted(traits.efforts))
        raise bad(
            f"This model does not support effort level '{effort}'. Supported levels: {levels}."
        )
    thinking = body.get("thinking")
    if thinking is None:
        return
    spelling = thinking.get("type")
    if spelling not in traits.thinking:
        allowed = ", ".join(sorted(traits.thinking))
        raise bad(
            f"thinking.type: {spelling!r} is not supported by this model. Supported: {allowed}."
        )
    if spelling == "enabled":
        _check_budget(thinking["budget_tokens"], body.get("max_tokens"))
        if forces_tool(body):
            raise bad("Thinking may not be enabled when tool_choice forces tool use.")
    if traits.effort_capped and spelling != "adaptive" and effort in HIGH_EFFORTS:
        raise bad(f"thinking.type: {spelling!r} cannot be combined with effort {effort!r}.")


def _check_budget(budget: float, most: int | None) -> None:
    if budget < MIN_BUDGET:
        raise bad("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if most is not None and budget >= most:
        raise bad("`max_tokens` must be greater than `thinking.budget_tokens`.")
