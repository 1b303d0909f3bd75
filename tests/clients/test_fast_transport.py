"""What is kept from one request to the next is what would have been built again."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import pytest

from claudebatch.clients.fast_transport import FastAnthropic, FastHttp

URL = "http://127.0.0.1:9/v1/messages"
PATIENCE = httpx2.Timeout(7.0, connect=3.0)


def facts(request: httpx2.Request) -> tuple[Any, ...]:
    """All of *request* that matters on the wire."""
    return (
        request.method,
        str(request.url),
        sorted(request.headers.raw),
        request.content,
        request.extensions,
    )


@pytest.fixture
async def pair():
    """The lean client, and the one that it stands for, with the same settings."""
    settings = {"headers": {"X-Ours": "1", "User-Agent": "us"}, "timeout": httpx2.Timeout(9.0)}
    lean, usual = FastHttp(**settings), anthropic.DefaultAioHttpClient(**settings)
    yield lean, usual
    await lean.aclose()
    await usual.aclose()


@pytest.mark.parametrize(
    "more",
    [
        {
            "headers": httpx2.Headers({"x-api-key": "k", "user-agent": "them"}),
            "content": b"{}",
            "timeout": PATIENCE,
        },
        {
            "headers": httpx2.Headers({"x": "1"}),
            "content": b"{}",
            "timeout": PATIENCE,
            "files": None,
            "params": None,
        },
        {
            "headers": httpx2.Headers({"x": "1"}),
            "content": b"{}",
            "timeout": PATIENCE,
            "params": {"beta": "true"},
        },
        {
            "headers": httpx2.Headers({"x": "1"}),
            "timeout": PATIENCE,
            "extensions": {"sni_hostname": "a-b"},
        },
        {"headers": httpx2.Headers({"x": "1"}), "content": b"{}"},
        {"headers": {"x": "1"}, "content": b"{}"},
        {"json": {"a": 1}},
    ],
    ids=[
        "as the SDK asks",
        "nothing more",
        "a query",
        "a server name",
        "its own time-outs",
        "a dict",
        "nothing given",
    ],
)
async def test_a_request_is_the_same_as_when_nothing_is_kept(pair, more):
    lean, usual = pair
    for _ in range(2):
        assert facts(lean.build_request("POST", URL, **more)) == facts(
            usual.build_request("POST", URL, **more)
        )


async def test_what_was_kept_for_one_request_is_not_in_the_next(pair):
    lean, usual = pair
    for headers, patience in (
        ({"accept": "a"}, PATIENCE),
        ({"accept": "b", "x": "1"}, httpx2.Timeout(1.0)),
    ):
        more = {"headers": httpx2.Headers(headers), "content": b"{}", "timeout": patience}
        assert facts(lean.build_request("POST", URL, **more)) == facts(
            usual.build_request("POST", URL, **more)
        )


async def test_cookies_that_a_server_sets_are_sent_as_the_sdk_would(pair):
    for client in pair:
        client.cookies.set("__cf_bm", "x")
    more = {"headers": httpx2.Headers({"a": "1"}), "content": b"{}", "timeout": PATIENCE}
    lean, usual = (client.build_request("POST", URL, **more) for client in pair)
    assert lean.headers["cookie"] == usual.headers["cookie"] == "__cf_bm=x"


async def test_later_requests_differ_from_the_first_in_body_and_own_headers_only():
    requests: list[httpx2.Request] = []

    async def note(request: httpx2.Request) -> None:
        requests.append(request)

    http = FastHttp(event_hooks={"request": [note]})
    async with FastAnthropic(
        api_key="k", base_url="http://127.0.0.1:9", max_retries=0, http_client=http
    ) as client:
        client._idempotency_header = "idempotency-key"  # as the SDK has it for other APIs
        for number in range(3):
            with pytest.raises(anthropic.APIConnectionError):
                await client.ask(URL, b'{"n":%d}' % number, {"anthropic-beta": str(number)})
    assert [request.content for request in requests] == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    assert [request.headers["anthropic-beta"] for request in requests] == ["0", "1", "2"]
    assert {str(request.url) for request in requests} == {URL}
    assert len({request.headers["idempotency-key"] for request in requests}) == 3
    alike = [sorted(name for name, _ in request.headers.raw) for request in requests]
    assert alike[0] == alike[1] == alike[2]
