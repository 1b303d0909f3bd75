"""What we read out of a Messages API answer: just the fields that decisions and the
results file need.

The body itself is kept as the bytes that came, so nothing the API says is lost, known
to us or not. Only where its bytes are no JSON, but for their encoding or for single
characters, it is kept repaired.
"""

from __future__ import annotations

from typing import Any

import msgspec

from claudebatch.core.domain import Pico, Reply, Source, Via
from claudebatch.core.limit_headers import Limits
from claudebatch.core.read_usage import read_usage
from claudebatch.core.whole_json import is_plain, marked, repaired


class BadAnswer(ValueError):
    """A body that is no complete message."""


class _Block(msgspec.Struct, gc=False):
    type: str
    text: str | None = None


class _Message(msgspec.Struct, gc=False):
    type: str
    model: str
    content: list[_Block]
    usage: msgspec.Raw = msgspec.Raw(b"null")
    stop_reason: Any = None
    """A text; of another type it costs no answer that is paid for."""
    replaced_characters: Any = 0
    """Ours: it stands in bodies that were repaired, so that cache and journal know."""


_message = msgspec.json.Decoder(_Message)
_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


# Each fact by its name: as a dictionary they would be copied three times for each row.
def parse_message(
    body: bytes,
    *,
    request_id: str | None = None,
    source: Source = "api",
    via: Via | None = "live",
    cost: Pico = 0,
    cost_known: bool = True,
    attempts: int = 1,
    attempt_id: int | None = None,
    latency_ms: int = 0,
    simulated: bool = False,
    limits: Limits | None = None,
) -> Reply:
    """The reply that *body*, one whole Messages API message, amounts to; raises
    `BadAnswer`. The others are fields of `Reply` that the body does not tell.
    """
    try:
        body, message = _read(body)
    except _NO_JSON as error:
        raise BadAnswer(f"the body is not a message: {error}") from error
    if message.type != "message":
        raise BadAnswer(f'the body is a "{message.type}", not a message')
    raw_usage, text = bytes(message.usage), _text(message.content)
    usage, counted = read_usage(raw_usage, wrote=bool(text) or _wrote(message.content))
    replaced = message.replaced_characters
    return Reply(
        message=body,
        model=message.model,
        text=text,
        stop_reason=message.stop_reason if isinstance(message.stop_reason, str) else None,
        usage=usage,
        counted=counted,
        raw_usage=raw_usage,
        replaced_characters=replaced if type(replaced) is int else 0,
        request_id=request_id,
        source=source,
        via=via,
        cost=cost,
        cost_known=cost_known,
        attempts=attempts,
        attempt_id=attempt_id,
        latency_ms=latency_ms,
        simulated=simulated,
        limits=limits,
    )


def _read(body: bytes) -> tuple[bytes, _Message]:
    """The message in *body*, and the body as it is kept."""
    if is_plain(body):
        try:
            return _decoded(body)
        except _NO_JSON:
            mended = repaired(body)
            if mended.body == body:
                raise
            return _decoded(marked(mended.body, mended.replaced))
    mended = repaired(body)
    return _decoded(marked(mended.body, mended.replaced))


def _decoded(body: bytes) -> tuple[bytes, _Message]:
    if 0x0A in body or 0x0D in body:  # laid out by a gateway: a result is one line
        body = msgspec.json.format(body, indent=-1)
    return body, _message.decode(body)


def _wrote(content: list[_Block]) -> bool:
    return any(block.text or block.type != "text" for block in content)


def _text(content: list[_Block]) -> str:
    if len(content) == 1:  # nearly always: joining would copy it
        block = content[0]
        return (block.text or "") if block.type == "text" else ""
    return "".join(block.text for block in content if block.type == "text" and block.text)
