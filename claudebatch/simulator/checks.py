"""The API's refusals of a Messages body, version 2026-10-21, with the texts of recorded
answers where they exist.

Kept apart from the product's own checks on purpose: the simulator shows where those are
wrong.
"""

from __future__ import annotations

from typing import Any

from claudebatch.simulator.count_input import forces_tool
from claudebatch.simulator.refusals import bad
from claudebatch.simulator.traits import Traits
from claudebatch.simulator.wire import Body

OLD_VERSION = "2023-06-01"
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
# Word for word: clients may compare it.
PREFILL = (
    "This model does not support assistant message prefill. "
    "The conversation must end with a user message."
)


def check_shape(body: Any, *, counting: bool = False) -> Body:
    """Refuse bodies that no model accepts; *counting* omits `max_tokens`, which
    count_tokens does not accept.
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
    if unknown:
        raise bad(f"{min(unknown)}: Extra inputs are not permitted")
    _check_types(body)
    return body


def check_for_model(body: Body, traits: Traits, version: str) -> None:
    """Refuse members that this model, or this API version, does not accept."""
    _check_sampling(body, traits, version)
    # A product check that misses this would fail each row of a file at the API only.
    if body["messages"][-1]["role"] == "assistant" and not traits.prefill:
        raise bad(PREFILL)
    _check_thinking(body, traits)
    if forces_tool(body) and not traits.forced_tools:
        raise bad('tool_choice: "any" and "tool" are not supported by this model.')
    if body.get("max_tokens", 0) > traits.output_tokens:
        raise bad(
            f"max_tokens: {body['max_tokens']} > {traits.output_tokens}, "
            f"which is the maximum allowed number of output tokens for {body['model']}"
        )
    if body.get("inference_geo") is not None and traits.geo == "not_available":
        raise bad("inference_geo: not supported by this model.")


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
    if not content:
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
    if not all(
        isinstance(tool, dict) and isinstance(tool.get("name"), str)
        for tool in body.get("tools") or ()
    ):
        raise bad("tools.0.name: Field required")
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
    if effort is not None and not traits.effort:
        raise bad("This model does not support the effort parameter.")
    thinking = body.get("thinking")
    if thinking is None:
        return
    spelling = thinking.get("type")
    if spelling not in traits.thinking:
        allowed = ", ".join(sorted(traits.thinking))
        raise bad(
            f"thinking.type: {spelling!r} is not supported by this model. Supported: {allowed}."
        )
    if traits.effort_capped and spelling != "adaptive" and effort in HIGH_EFFORTS:
        raise bad(f"thinking.type: {spelling!r} cannot be combined with effort {effort!r}.")
