"""What we read out of a Messages API answer: just the fields that decisions and the results file need.

The body itself is kept as the bytes that came, so nothing the API says is lost, known to us or not.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from claudebatch.domain import Reply, Usage


class BadAnswer(ValueError):
    """A body that is no complete message."""


# No answer counts fewer than none or more than a thousand windows; what says so may not become money.
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


class _Creation(msgspec.Struct):
    ephemeral_5m_input_tokens: _Count | None = 0
    ephemeral_1h_input_tokens: _Count | None = 0


class _ServerTools(msgspec.Struct):
    web_search_requests: _Count | None = 0


class _Usage(msgspec.Struct):
    input_tokens: _Count | None = 0
    output_tokens: _Count | None = 0
    cache_creation_input_tokens: _Count | None = 0
    cache_read_input_tokens: _Count | None = 0
    cache_creation: _Creation | None = None
    server_tool_use: _ServerTools | None = None
    inference_geo: str | None = None
    speed: str | None = None


class _Block(msgspec.Struct):
    type: str
    text: str | None = None


class _Message(msgspec.Struct):
    type: str
    model: str
    content: list[_Block]
    usage: msgspec.Raw
    stop_reason: str | None = None


_message = msgspec.json.Decoder(_Message)
_usage = msgspec.json.Decoder(_Usage)


def parse_message(body: bytes, **facts: Any) -> Reply:
    """The reply that *body*, one whole Messages API message, amounts to; raises `BadAnswer`.

    *facts* are fields of `Reply` that the body does not tell: request_id, latency_ms, limits, …
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
    texts = [block.text for block in message.content if block.type == "text" and block.text]
    return Reply(
        message=body,
        model=message.model,
        text=texts[0] if len(texts) == 1 else "".join(texts),
        stop_reason=message.stop_reason,
        usage=_flat(usage),
        raw_usage=bytes(message.usage),
        **facts,
    )


def _flat(usage: _Usage) -> Usage:
    written_1h = (usage.cache_creation.ephemeral_1h_input_tokens or 0) if usage.cache_creation else 0
    # Without a breakdown every write is a 5-minute one; with one, the total still rules.
    written_5m = max(0, (usage.cache_creation_input_tokens or 0) - written_1h)
    return Usage(
        input_tokens=usage.input_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        ephemeral_5m_input_tokens=written_5m,
        ephemeral_1h_input_tokens=written_1h,
        cache_read_input_tokens=usage.cache_read_input_tokens or 0,
        web_search_requests=(usage.server_tool_use.web_search_requests or 0) if usage.server_tool_use else 0,
        inference_geo=usage.inference_geo,
        speed=usage.speed,
    )
