"""The size of a request: expected and at most, input and output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claudebatch.core.domain import Size
from claudebatch.models.catalog import ModelFacts
from claudebatch.models.tokens.attachments import Attachments
from claudebatch.models.tokens.text import longest, text_tokens
from claudebatch.models.tokens.tools import NO_TOOLS, tool_size

_REQUEST_BYTES = 60
# Bytes of JSON around the text of a request and of each message, which are not text.
_MESSAGE_BYTES = 28
_REQUEST_TOKENS = 4
_MESSAGE_TOKENS = 4
# Tokens that the API adds to every request, such as the instruction for thinking.
_FRAME_BOUND = 256
_SCHEMA_TOKENS = 130
# The instruction that the API adds for `output_config.format`; the schema itself is
# part of the body.
_SCHEMA_BOUND = 1_000

USUAL_ANSWER = 400
"""Output tokens of a usual answer without thinking."""
# The same with the thinking before it, by effort.
_THINKING_ANSWER = {"low": 300, "medium": 500, "high": 800, "xhigh": 1_600, "max": 3_200}


def measure(
    params: Mapping[str, Any], body: bytes, facts: ModelFacts, *, expected_output: int | None = None
) -> Size:
    """The size of the request *params*, whose canonical JSON is *body*, for the model
    of *facts*.

    A byte-level tokenizer never makes more tokens than bytes, and JSON never shortens
    text, so the body's length in Unicode's longest form is an upper bound.
    `expected_output` replaces the built-in length of an answer.
    """
    tools = tool_size(params, facts) if "tools" in params else NO_TOOLS
    attached = Attachments(params, facts) if b'"image"' in body or b'"document"' in body else None
    schema = "output_config" in params and _has_schema(params)
    max_tokens = params.get("max_tokens", facts.max_output)
    if expected_output is None:
        expected_output = _usual_output(params, facts)
    return Size(
        input_tokens=_expected(params, body, facts, attached)
        + tools.tokens
        + schema * _SCHEMA_TOKENS,
        input_bound=_bound(
            body, facts, attached, tools.bound + schema * _SCHEMA_BOUND, tools.rounds
        ),
        output_tokens=min(max_tokens, expected_output),
        output_bound=max_tokens,
        web_searches_bound=tools.web_searches,
    )


def expected_input(params: Mapping[str, Any], body: bytes, facts: ModelFacts) -> int:
    """Expected input tokens alone."""
    return measure(params, body, facts, expected_output=0).input_tokens


def _expected(
    params: Mapping[str, Any], body: bytes, facts: ModelFacts, attached: Attachments | None
) -> int:
    messages = len(params.get("messages") or ())
    not_text = _REQUEST_BYTES + messages * _MESSAGE_BYTES
    tokens = _REQUEST_TOKENS + messages * _MESSAGE_TOKENS
    if attached is not None:
        not_text += attached.base64_bytes
        tokens += attached.tokens
    return tokens + round(text_tokens(body, not_text, facts.tokenizer))


def _bound(
    body: bytes, facts: ModelFacts, attached: Attachments | None, added: int, rounds: int
) -> int:
    """The upper bound of input: with server tools the whole window for every round,
    else at most one window, because the API refuses more.
    """
    # Results of a server tool go into the next round, and nobody can say how long they
    # are.
    if rounds > 1:
        return facts.context_window * rounds
    if attached is not None and attached.fills_window:
        return facts.context_window
    tokens = len(body) if body.isascii() else longest(body)
    if attached is not None:
        tokens += attached.images * facts.image_tokens_max - attached.base64_bytes
    return min(facts.context_window, tokens + _FRAME_BOUND + added)


def _has_schema(params: Mapping[str, Any]) -> bool:
    config = params.get("output_config")
    return isinstance(config, dict) and config.get("format") is not None


def _usual_output(params: Mapping[str, Any], facts: ModelFacts) -> int:
    thinking = params.get("thinking")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    thinks = facts.thinking_default != "off" if kind is None else kind in ("adaptive", "enabled")
    if not thinks:
        return USUAL_ANSWER
    config = params.get("output_config")
    effort = config.get("effort") if isinstance(config, dict) else None
    return _THINKING_ANSWER.get(effort or facts.default_effort or "medium", USUAL_ANSWER)
