"""Results as the result lines of batch APIs: programs that read a finished batch of
Anthropic's or OpenAI's read these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from claudebatch.core.jsonl import decode, encode_in_order
from claudebatch.outputs.line_values import LineValues, ResultLines, put_rows, text_of

# The words of OpenAI's `finish_reason` for those of a message's `stop_reason`.
_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def write_anthropic_batch(lines: ResultLines, file: BinaryIO) -> int:
    """Lines as the Message Batches API has them: the message byte for byte, failures as
    `errored`; returns their number.
    """
    return put_rows(file, map(_anthropic_line, map(LineValues, lines(True))))


def write_openai_batch(lines: ResultLines, file: BinaryIO) -> int:
    """Lines as OpenAI's Batch API has them, each answer as a chat completion; returns
    their number.

    `created` is 0: a result line does not say when its answer came.
    """
    numbered = enumerate(map(LineValues, lines(True)), 1)
    return put_rows(file, (_openai_line(record, number) for number, record in numbered))


def _anthropic_line(record: LineValues) -> bytes:
    message = record.raw(("message",))
    if message is not None:
        result = b'{"type":"succeeded","message":%b}' % message
    else:
        result = b'{"type":"errored","error":%b}' % encode_in_order(_anthropic_error(record))
    return b'{"custom_id":%b,"result":%b}\n' % (_custom_id(record), result)


def _openai_line(record: LineValues, number: int) -> bytes:
    raw = record.raw(("message",))
    status, body, error = _refused(record) if raw is None else (200, _completion(decode(raw)), None)
    request = text_of(record.raw(("request_id",) if raw else ("error", "request_id")))
    response = {"status_code": status, "request_id": request, "body": body}
    rest = encode_in_order({"response": response if status else None, "error": error})
    name = encode_in_order(f"batch_req_{number}")
    return b'{"id":%b,"custom_id":%b,%b\n' % (name, _custom_id(record), rest[1:])


def _custom_id(record: LineValues) -> bytes:
    """The row's id as a string: both APIs take no numbers there."""
    return encode_in_order(text_of(record.raw(("id",))) or "")


def _anthropic_error(record: LineValues) -> dict[str, Any]:
    kind, words, request = (
        text_of(record.raw(("error", name))) for name in ("type", "message", "request_id")
    )
    return {
        "type": "error",
        "error": {"type": kind, "message": words},
        "request_id": request,
    }


def _refused(record: LineValues) -> tuple[int, dict[str, Any] | None, dict[str, Any] | None]:
    """(status, body, error) of a failed row: a body where the API answered, else an
    error.
    """
    kind, words, status = (
        text_of(record.raw(("error", name))) for name in ("type", "message", "status")
    )
    if status is None:
        return 0, None, {"code": kind, "message": words}
    error = {"message": words, "type": kind, "param": None, "code": kind}
    return int(status), {"error": error}, None


def _completion(message: dict[str, Any]) -> dict[str, Any]:
    blocks = [block for block in message.get("content") or () if isinstance(block, dict)]
    texts = [str(block.get("text", "")) for block in blocks if block.get("type") == "text"]
    answer: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    calls = list(_tool_calls(blocks))
    if calls:
        answer["tool_calls"] = calls
    stop = message.get("stop_reason")
    choice = {
        "index": 0,
        "message": answer,
        "logprobs": None,
        "finish_reason": _FINISH_REASONS.get(str(stop), "stop"),
    }
    return {
        "id": message.get("id"),
        "object": "chat.completion",
        "created": 0,
        "model": message.get("model"),
        "choices": [choice],
        "usage": _usage(message.get("usage") or {}),
    }


def _tool_calls(blocks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for block in blocks:
        if block.get("type") == "tool_use":
            arguments = encode_in_order(block.get("input")).decode()
            function = {"name": block.get("name"), "arguments": arguments}
            yield {"id": block.get("id"), "type": "function", "function": function}


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    # OpenAI's count of the prompt has the cached tokens in it, Anthropic's has not.
    cached = int(usage.get("cache_read_input_tokens") or 0)
    written = int(usage.get("cache_creation_input_tokens") or 0)
    prompt = int(usage.get("input_tokens") or 0) + cached + written
    completion = int(usage.get("output_tokens") or 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
