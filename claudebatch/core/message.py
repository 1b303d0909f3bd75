"""What we read out of a Messages API answer: just the fields that decisions and the
results file need.

The body itself is kept as the bytes that came, so nothing the API says is lost, known
to us or not.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from claudebatch.core.domain import Reply, Usage


class BadAnswer(ValueError):
    """A body that is no complete message."""


# No answer counts fewer than none or more than a thousand windows; what says so may not
# become money.
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


# Dearer than tokens: more would not fit where money is kept.
_Searches = Annotated[int, msgspec.Meta(ge=0, le=10**6)]


class _Creation(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: _Count | None = 0
    ephemeral_1h_input_tokens: _Count | None = 0


class _ServerTools(msgspec.Struct, gc=False):
    web_search_requests: _Searches | None = 0


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: _Count | None = 0


class _Usage(msgspec.Struct, gc=False):
    input_tokens: _Count | None = 0
    output_tokens: _Count | None = 0
    cache_creation_input_tokens: _Count | None = 0
    cache_read_input_tokens: _Count | None = 0
    cache_creation: _Creation | None = None
    server_tool_use: _ServerTools | None = None
    output_tokens_details: _OutputDetails | None = None
    inference_geo: str | None = None
    speed: str | None = None
    service_tier: str | None = None


class _Block(msgspec.Struct, gc=False):
    type: str
    text: str | None = None


class _Message(msgspec.Struct, gc=False):
    type: str
    model: str
    content: list[_Block]
    usage: msgspec.Raw
    stop_reason: str | None = None


_message = msgspec.json.Decoder(_Message)
_usage = msgspec.json.Decoder(_Usage)


def parse_message(body: bytes, **facts: Any) -> Reply:
    """The reply that *body*, one whole Messages API message, amounts to; raises
    `BadAnswer`.

    *facts* are fields of `Reply` that the body does not tell: request_id, latency_ms,
    limits, …
    """
    try:
        if b"\n" in body or b"\r" in body:  # laid out by a gateway: a result is one line
            body = msgspec.json.format(body, indent=-1)
        message = _message.decode(body)
        usage = _usage.decode(message.usage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"the body is no message: {error}") from error
    if message.type != "message":
        raise BadAnswer(f'the body is a "{message.type}", not a message')
    raw_usage = bytes(message.usage)
    return Reply(
        body,
        message.model,
        _text(message.content),
        message.stop_reason,
        _flat(usage),
        raw_usage,
        **facts,
    )


def _text(content: list[_Block]) -> str:
    if len(content) == 1:  # nearly always: joining would copy it
        block = content[0]
        return (block.text or "") if block.type == "text" else ""
    return "".join(block.text for block in content if block.type == "text" and block.text)


def _flat(usage: _Usage) -> Usage:
    creation, tools, details = (
        usage.cache_creation,
        usage.server_tool_use,
        usage.output_tokens_details,
    )
    written_1h = (creation.ephemeral_1h_input_tokens or 0) if creation else 0
    # Without a breakdown every write is a 5-minute one; with one, the total still
    # rules.
    written_5m = (usage.cache_creation_input_tokens or 0) - written_1h
    # By position: this runs for every row, and names take a third longer.
    return Usage(
        usage.input_tokens or 0,
        usage.output_tokens or 0,
        written_5m if written_5m > 0 else 0,
        written_1h,
        usage.cache_read_input_tokens or 0,
        (tools.web_search_requests or 0) if tools else 0,
        usage.inference_geo,
        usage.speed,
        usage.service_tier,
        (details.thinking_tokens or 0) if details else 0,
    )
