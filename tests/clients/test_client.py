"""One attempt through the real SDK over real sockets: what is sent, and what every
ending becomes.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from dataclasses import replace

import anthropic
import pytest

from claudebatch.clients.client import ClaudeClient
from claudebatch.clients.wire_format import API_VERSION
from claudebatch.core.errors import (
    AccountRefused,
    AttemptError,
    ConfigError,
    NotServed,
    PathFault,
    RateLimited,
)

KEY = "sk-ant-test"


async def ending(client, call):
    try:
        return await client(call)
    except (AttemptError, AccountRefused) as error:
        return error


async def test_an_answer_becomes_a_reply_with_everything_that_decisions_need(
    simulate, connect, call
):
    simulator, url = await simulate()
    reply = await connect(url)(call("What is 1 + 1?"))
    message = json.loads(reply.message)
    assert (
        reply.text
        == "".join(block["text"] for block in message["content"] if block["type"] == "text")
        != ""
    )
    assert message["content"][0]["type"] == "thinking", "the first block is not the text"
    assert (reply.model, reply.stop_reason, reply.source) == ("claude-haiku-5-5", "end_turn", "api")
    assert reply.usage.input_tokens == message["usage"]["input_tokens"]
    assert reply.usage.output_tokens == message["usage"]["output_tokens"]
    assert json.loads(reply.raw_usage) == message["usage"]
    assert reply.request_id.startswith("req_")
    assert reply.simulated
    assert (reply.attempts, reply.latency_ms >= 0) == (1, True)
    assert simulator.stats()["requests"] == 1


async def test_limits_in_the_headers_come_with_the_reply(simulate, connect, call):
    from claudebatch.simulator import SimulatedAllowance

    _, url = await simulate(limits=SimulatedAllowance(rpm=600, itpm=50_000, otpm=10_000))
    limits = (await connect(url)(call())).limits
    assert (limits.requests.limit, limits.input_tokens.limit, limits.output_tokens.limit) == (
        600,
        50_000,
        10_000,
    )
    assert limits.requests.remaining == 599


async def test_the_body_is_sent_as_it_is_and_the_key_as_a_bearer(raw, connect, call):
    raw.say(200, {"content-type": "application/json"}, MESSAGE)
    wanted = call("Grüße, 你好 \u2028")
    await connect(raw.url)(wanted)
    (head,) = raw.heads
    lines = {
        name.lower(): value
        for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])
    }
    assert head.startswith("POST /v1/messages HTTP/1.1\r\n")
    assert raw.bodies == [wanted.body]
    assert lines["authorization"] == f"Bearer {KEY}"
    assert "x-api-key" not in lines
    assert lines["content-type"] == "application/json"
    assert lines["anthropic-version"] == API_VERSION


async def test_fast_mode_is_named_in_the_headers_of_those_requests_that_ask_for_it_and_of_no_other(
    raw, connect, call
):
    tool = {
        "name": "drive",
        "input_schema": {"type": "object"},
        "input_examples": [{"speed": "fast"}],
    }
    wanted = [
        call(speed="fast"),
        call(),
        call(speed="fast"),
        call(speed="standard"),
        call(tools=[tool]),
    ]
    client = connect(raw.url)
    for each in wanted:
        raw.say(200, {"content-type": "application/json"}, MESSAGE)
        await client(each)
    named = ["anthropic-beta: fast-mode-2026-02-01" in head.lower() for head in raw.heads]
    assert named == [True, False, True, False, False]


async def test_betas_of_a_row_go_with_it_and_are_joined_with_the_users_own(
    raw, connect, call, monkeypatch
):
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "Anthropic-Beta: own-1, own-2\nx-org: o")
    context, compact = "context-management-2025-06-27", "compact-2026-09-04"
    with_betas = [(context, compact), (), ("own-2",), (context,)]
    calls = [
        replace(one, prompt=replace(one.prompt, betas=betas))
        for one, betas in zip([call(), call(), call(), call(speed="fast")], with_betas, strict=True)
    ]
    client = connect(raw.url)
    for each in calls:
        raw.say(200, {"content-type": "application/json"}, MESSAGE)
        await client(each)
    sent = [re.findall(r"(?im)^anthropic-beta: (.*?)\r?$", head) for head in raw.heads]
    assert sent == [
        [f"own-1,own-2,{context},{compact}"],
        ["own-1, own-2"],
        ["own-1,own-2"],
        [f"own-1,own-2,{context},fast-mode-2026-02-01"],
    ]


def test_the_api_version_is_the_one_that_the_installed_sdk_sends_itself():
    assert anthropic.Anthropic(api_key="x").default_headers["anthropic-version"] == API_VERSION


async def test_the_environment_gives_key_and_base_url_when_nobody_else_does(
    raw, connect, call, monkeypatch
):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-from-the-environment")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", raw.url + "/")
    raw.say(200, {}, MESSAGE)
    await connect(None, api_key=None)(call())
    assert "authorization: Bearer sk-ant-from-the-environment" in raw.heads[0].replace(
        "Authorization", "authorization"
    )
    assert raw.heads[0].startswith("POST /v1/messages HTTP/1.1"), (
        "a slash at the end of the base URL is not doubled"
    )


async def test_a_base_url_with_a_path_keeps_it(raw, connect, call):
    raw.say(200, {}, MESSAGE)
    await connect(raw.url + "/gateway/claude")(call())
    assert raw.heads[0].startswith("POST /gateway/claude/v1/messages HTTP/1.1")


MESSAGE = json.dumps(
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 5},
    },
    indent=2,
).encode()


async def test_a_message_of_many_lines_is_kept_on_one(raw, connect, call):
    raw.say(200, {}, MESSAGE)
    reply = await connect(raw.url)(call())
    assert b"\n" not in reply.message
    assert json.loads(reply.message) == json.loads(MESSAGE)
    assert reply.text == "ab"


async def test_retry_after_on_a_200_means_nothing(raw, connect, call):
    raw.say(200, {"retry-after": "46", "x-should-retry": "true"}, MESSAGE)
    assert (await connect(raw.url)(call())).text == "ab"
    assert len(raw.heads) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"content": None},
        {"content": "a"},
        {"content": ["a"]},
        {"content": [{"type": "text", "text": 5}]},
        {"model": 5},
    ],
    ids=str,
)
async def test_a_message_of_another_form_is_paid_for_and_not_asked_for_again(
    raw, connect, call, changes
):
    raw.say(200, {}, json.dumps(json.loads(MESSAGE) | changes).encode())
    error = await ending(connect(raw.url), call())
    assert (type(error), error.type, error.status) == (AttemptError, "bad_answer", 200)
    assert (error.retryable, error.unavailable, error.may_be_billed) == (False, False, True)
    raw.say(200, {}, MESSAGE[:-9])
    # Cut off on its way, it may come whole.
    assert (await ending(connect(raw.url), call())).retryable


@pytest.mark.parametrize(
    ("fault", "type_", "status", "may_be_billed"),
    [
        ("529", "overloaded_error", 529, False),
        ("500", "api_error", 500, False),
        ("503", "api_error", 503, False),
        ("reset", "connection_error", None, True),
        ("cut", "connection_error", None, True),
        ("hang", "timeout", None, True),
        ("drip", "timeout", None, True),
        ("html", "bad_answer", 200, True),
        ("empty", "bad_answer", 200, True),
    ],
)
async def test_what_the_model_or_the_network_does_wrong_is_tried_again(
    simulate, connect, call, fault, type_, status, may_be_billed
):
    simulator, url = await simulate(script=(fault, "ok"))
    client = connect(url)
    error = await ending(client, call(deadline_s=0.3 if fault in ("hang", "drip") else 20.0))
    assert type(error) is (PathFault if fault == "html" else AttemptError)
    assert (error.type, error.status) == (type_, status)
    assert (error.retryable, error.unavailable, error.may_be_billed) == (True, True, may_be_billed)
    assert simulator.stats()["requests"] == 1, "the SDK does not retry on its own"
    if simulator.stats()["billed_pico"]:
        assert error.may_be_billed, "what the API bills is never taken for free"
    assert (await client(call())).text, "the client lives on"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("401", 401),
        ("402", 402),
        ("403", 403),
        ("spend_limit", 429),
        ("credit", 400),
        ("spend_400", 400),
    ],
)
async def test_what_refuses_the_account_stops_the_run_after_one_request(
    simulate, connect, call, fault, status
):
    simulator, url = await simulate(faults={fault: 1.0})
    error = await ending(connect(url), call())
    assert isinstance(error, AccountRefused)
    assert str(status) in error.message
    assert simulator.stats()["requests"] == 1


async def test_a_404_is_another_models_chance(simulate, connect, call):
    _, url = await simulate(script=("404",))
    client = connect(url)
    for wanted in (call(), call(model="claude-sonnet-3")):
        error = await ending(client, wanted)
        assert type(error) is NotServed
        assert (error.type, error.status, error.retryable) == ("not_found_error", 404, False)


async def test_a_429_says_when_to_come_back(simulate, connect, call):
    _, url = await simulate(script=("429",))
    error = await ending(connect(url), call())
    assert type(error) is RateLimited
    assert (error.retry_after, error.may_be_billed) == (1.0, False)
    assert error.request_id.startswith("req_")


@pytest.mark.parametrize("told", [True, False])
async def test_x_should_retry_is_heard_through_the_sdk_and_never_acted_on_by_it(
    raw, connect, call, told
):
    raw.say(
        400 if told else 529,
        {"x-should-retry": str(told).lower()},
        b'{"type":"error","error":{"type":"x"}}',
    )
    error = await ending(connect(raw.url), call())
    assert error.retryable is told
    assert len(raw.heads) == 1


async def test_an_error_page_of_a_proxy_is_still_an_error_of_that_status(raw, connect, call):
    raw.say(413, {"content-type": "text/html"}, b"<html><h1>413 Payload Too Large</h1></html>")
    error = await ending(connect(raw.url), call())
    assert (error.type, error.status, error.retryable) == ("request_too_large", 413, False)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_with_the_key(raw, connect, call, status):
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        raw.say(
            status, {"location": f"http://127.0.0.1:{elsewhere.getsockname()[1]}/v1/messages"}, b""
        )
        error = await ending(connect(raw.url), call())
        assert (type(error), error.status, error.may_be_billed) == (PathFault, status, False)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


async def test_a_connection_that_was_refused_is_not_billed(connect, call):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    error = await ending(connect(f"http://127.0.0.1:{port}"), call())
    assert (error.type, error.retryable, error.may_be_billed, error.unavailable) == (
        "connection_error",
        True,
        False,
        True,
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type":"error","error":{"type":"overloaded_error"}}',
        b'{"type":"message"}',
        b'{"type":"ping","model":"m","content":[],"usage":{}}',
        MESSAGE[:-9],
        MESSAGE + b"x",
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
async def test_a_200_that_is_no_whole_message_is_never_a_success(raw, connect, call, body):
    raw.say(200, {"content-type": "application/json", "request-id": "req_5"}, body)
    error = await ending(connect(raw.url), call())
    assert (error.type, error.retryable, error.may_be_billed, error.request_id) == (
        "bad_answer",
        True,
        True,
        "req_5",
    )


@pytest.mark.parametrize(
    "url", ["http://example.test", "http://10.0.0.1:8080", "http://localhost.example.test"]
)
async def test_the_key_is_never_sent_in_the_clear_over_a_network(connect, url):
    with pytest.raises(ConfigError, match="is not encrypted: your key would be readable"):
        connect(url)


@pytest.mark.parametrize("url", ["example.test", "api.anthropic.com/", "https://", "nowhere"])
async def test_what_is_no_base_url_is_refused_with_the_way_to_write_one(connect, url):
    with pytest.raises(ConfigError, match="is not a URL") as refused:
        connect(url)
    assert "https://" in (refused.value.fix or "")


@pytest.mark.parametrize(
    "url", ["https://example.test", "http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"]
)
async def test_https_and_loopback_may_carry_the_key(connect, url):
    assert isinstance(connect(url), ClaudeClient)


async def test_an_idle_connection_that_the_server_closed_leaves_the_bill_open(raw, connect, call):
    """The transport reports a lost connection and a refused one by the same name; only
    the second is free.
    """
    raw.answer = b""
    error = await ending(connect(raw.url), call())
    assert (error.type, error.may_be_billed) == ("connection_error", True)
    assert len(raw.bodies) == 1


async def test_a_server_that_speaks_no_tls_was_never_sent_anything(connect, call):
    async def plain(_, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with listening:
        error = await ending(
            connect(f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"), call()
        )
    assert (error.type, error.may_be_billed) == ("connection_error", False)
