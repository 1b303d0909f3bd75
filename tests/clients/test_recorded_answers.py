"""Answers that the real API once gave, recorded, through the real SDK and our own
parsing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.errors import AccountRefused, AttemptError, NotServed, RateLimited
from claudebatch.core.message import BadAnswer, parse_message

RECORDED = Path(__file__).parents[2].parent / "shared" / "recorded"
if not RECORDED.is_dir():
    pytest.skip("the recorded answers are not here", allow_module_level=True)

CASES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(RECORDED.glob("*.json"))
}
MESSAGES = [
    name
    for name, case in CASES.items()
    if case["status"] == 200
    and isinstance(case["body"], dict)
    and case["body"].get("type") == "message"
]
ERRORS = [name for name, case in CASES.items() if case["status"] >= 400]
# Said by the server about the bytes on its own wire.
NOT_REPLAYED = {"content-length", "content-encoding", "transfer-encoding", "connection"}


def replay(raw, case):
    headers = {
        name: value for name, value in case["headers"].items() if name.lower() not in NOT_REPLAYED
    }
    body = case["body"]
    raw.say(case["status"], headers, (body if isinstance(body, str) else json.dumps(body)).encode())
    return {name.lower(): value for name, value in headers.items()}


def test_there_is_something_to_replay():
    assert len(MESSAGES) >= 15
    assert len(ERRORS) >= 15
    assert parse_message(json.dumps(CASES["thinking"]["body"]).encode()).usage.thinking_tokens > 0


@pytest.mark.parametrize("name", MESSAGES)
async def test_every_recorded_message_becomes_a_reply(name, raw, connect, call):
    body = CASES[name]["body"]
    headers = replay(raw, CASES[name])
    reply = await connect(raw.url)(call())
    assert json.loads(reply.message) == body
    assert reply.text == "".join(
        block["text"] for block in body["content"] if block["type"] == "text"
    )
    assert (reply.model, reply.stop_reason) == (body["model"], body["stop_reason"])
    assert reply.request_id == headers.get("request-id")
    assert (reply.limits is not None) is any(
        name.startswith("anthropic-ratelimit") for name in headers
    )
    assert not reply.simulated
    check_usage(reply, body["usage"])
    assert parse_message(json.dumps(body).encode()).usage == reply.usage


def check_usage(reply, told):
    usage = reply.usage
    written, read = (
        told.get("cache_creation_input_tokens") or 0,
        told.get("cache_read_input_tokens") or 0,
    )
    assert json.loads(reply.raw_usage) == told
    assert (usage.input_tokens, usage.output_tokens) == (
        told["input_tokens"],
        told["output_tokens"],
    )
    assert (usage.cache_creation_input_tokens, usage.cache_read_input_tokens) == (written, read)
    assert usage.thinking_tokens == (told.get("output_tokens_details") or {}).get(
        "thinking_tokens", 0
    )
    assert usage.total_input == told["input_tokens"] + written + read
    assert usage.limited_input == told["input_tokens"] + written
    for kind in ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"):
        if told.get("cache_creation"):
            assert getattr(usage, kind) == told["cache_creation"][kind]
    if not told.get("cache_creation"):
        assert usage.ephemeral_5m_input_tokens == written


@pytest.mark.parametrize("name", ERRORS)
async def test_every_recorded_error_is_understood(name, raw, connect, call):
    case = CASES[name]
    headers = replay(raw, case)
    with pytest.raises((AttemptError, AccountRefused)) as caught:
        await connect(raw.url)(call())
    error, status = caught.value, case["status"]
    assert type(error) is meaning(name, status)
    told = case["body"]["error"] if isinstance(case["body"], dict) else {}
    assert told.get("message", "") in error.message
    if isinstance(error, AttemptError):
        assert (error.status, error.may_be_billed, error.unavailable) == (
            status,
            False,
            status >= 500,
        )
        assert error.type == told.get("type", error.type)
        assert error.request_id == headers.get("request-id")
        assert error.retryable is (status == 429 or status >= 500)
        assert error.retry_after == (
            float(headers["retry-after"]) if "retry-after" in headers else None
        )
    assert len(raw.heads) == 1


def meaning(name, status):
    if status == 401 or name == "err_400_credit":
        return AccountRefused
    if name == "err_400_prompt_too_long":
        return NotServed
    return {404: NotServed, 429: RateLimited}.get(status, AttemptError)


@pytest.mark.parametrize(
    "name", [name for name in CASES if name.startswith(("stream_", "batch_", "count_", "models_"))]
)
def test_nothing_else_that_was_recorded_passes_for_a_message(name):
    body = CASES[name]["body"]
    with pytest.raises(BadAnswer):
        parse_message((body if isinstance(body, str) else json.dumps(body)).encode())
