"""The same Message as server-sent events, in the order in which the API sends them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from claudebatch.simulator import wire

PIECE = 40
"""Characters of text in one delta, about as many as the API sends at once."""
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event, and the approximate tokens that are produced for it."""

    data: bytes
    tokens: float = 0.0


def events(message: wire.Body) -> Iterator[StreamEvent]:
    """Every event of the stream for *message*."""
    usage = message["usage"]
    opening = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
    }
    # The API reports one output token at the start: a client that took this for the
    # final count would bill 1 token for a whole answer.
    opening["usage"] = {**usage, "output_tokens": min(1, usage["output_tokens"])}
    yield _event({"type": "message_start", "message": opening})
    yield StreamEvent(PING)
    # Tokens are spread over the characters, so that a client which counts text as it
    # comes sees output at the rate at which the limits count it.
    thought = usage["output_tokens_details"]["thinking_tokens"]
    written = sum(_length(delta) for block in message["content"] for delta in _deltas(block))
    per_character = (usage["output_tokens"] - thought) / written if written else 0.0
    for index, block in enumerate(message["content"]):
        yield from _block_events(index, block, thought, per_character)
    ending = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    counted = {name: usage[name] for name in _CLOSING_USAGE}
    yield _event({"type": "message_delta", "delta": ending, "usage": counted})
    yield _event({"type": "message_stop"})


def befallen(message: wire.Body, fault: str | None) -> list[StreamEvent]:
    """The events of *message* as *fault* leaves them, with the fault's own event."""
    whole = list(events(message))
    # Half of the events: the usage of the start is known, that of the end is not.
    half = whole[: (len(whole) + 1) // 2]
    match fault:
        case "stream_open":
            # Without its `message_stop` a body ends in order, but the answer is not
            # complete: only the missing event says so.
            return whole[:-1]
        case "stream_error":
            return [*half, _event(_OVERLOADED)]
        case "stream_hang":
            return half
    return whole


_OVERLOADED: wire.Body = {
    "type": "error",
    "error": {"details": None, "type": "overloaded_error", "message": "Overloaded"},
}
_CLOSING_USAGE = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "output_tokens_details",
)


def _block_events(
    index: int, block: wire.Body, thought: int, per_character: float
) -> Iterator[StreamEvent]:
    yield _event({"type": "content_block_start", "index": index, "content_block": _empty(block)})
    for delta in _deltas(block):
        # Thoughts are not shown; the signature at their end is the first sign of them.
        tokens = thought if delta["type"] == "signature_delta" else _length(delta) * per_character
        yield _event({"type": "content_block_delta", "index": index, "delta": delta}, tokens)
    yield _event({"type": "content_block_stop", "index": index})


def _empty(block: wire.Body) -> wire.Body:
    match block["type"]:
        case "text":
            return {"type": "text", "text": ""}
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case _:
            return {**block, "input": {}}


def _deltas(block: wire.Body) -> Iterator[wire.Body]:
    match block["type"]:
        case "text":
            for start in range(0, len(block["text"]), PIECE):
                yield {"type": "text_delta", "text": block["text"][start : start + PIECE]}
        case "thinking":
            yield {"type": "thinking_delta", "thinking": ""}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case _:
            yield {"type": "input_json_delta", "partial_json": wire.encode(block["input"]).decode()}


def _length(delta: wire.Body) -> int:
    """Visible characters of *delta*."""
    return len(delta.get("text", "")) + len(delta.get("partial_json", ""))


def _event(value: wire.Body, tokens: float = 0.0) -> StreamEvent:
    name: str = value["type"]
    return StreamEvent(b"event: %s\ndata: %s\n\n" % (name.encode(), wire.encode(value)), tokens)
