"""One attempt at the Messages API through the official SDK.

Documented options only, chosen for what they cost: the aiohttp transport, no OpenTelemetry, the request as the
bytes that we hold already, the response as the bytes that came. The SDK's own retries are off: it would sleep
inside our slots, hide requests from the limiter, and retry spend limits.

Long answers are asked for as streams, which are never silent for long, and come out as the same message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from claudebatch.clients import classify
from claudebatch.clients.fold import StreamFailed
from claudebatch.clients.headers import HeaderFacts, read_headers
from claudebatch.domain import Call, Reply
from claudebatch.errors import ConfigError, CredentialError
from claudebatch.messages import BadAnswer, parse_message

if TYPE_CHECKING:
    import httpx2
    from anthropic import APIStatusError

    from claudebatch.clients.body import Patience

API_VERSION = "2026-10-21"
"""Sent with every request and part of every cache key, so that the two cannot disagree."""
_PATH = "/v1/messages"
_CONNECT_S = 10.0
# The default of 5 s means a new TLS handshake for every request of a slow run.
_KEEPALIVE_S = 60.0
STREAM_ABOVE = 16_384
"""`max_tokens` above which an answer is streamed.

A plain one is silent until its end: at 50 tokens a second five and a half minutes for so many, and gateways drop
connections that are silent for six. The API itself wants a stream from ten minutes on, 21,333 tokens by its count.
"""
_LONGEST_MESSAGE = 2000
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class SdkClient:
    """The innermost handler. Make it inside a running event loop; close it when done."""

    def __init__(
        self,
        *,
        api_key: str | None,
        base_url: str | None,
        concurrency: int,
        idle_timeout_s: float,
        now: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        # Heavy (a second, 86 MB): nothing but sending may import it.
        import aiohttp  # noqa: PLC0415
        import anthropic  # noqa: PLC0415
        import httpx2  # noqa: PLC0415

        from claudebatch.clients import body  # noqa: PLC0415
        from claudebatch.clients.lean import LeanAnthropic  # noqa: PLC0415

        self._now = now
        self._wall = wall
        self._idle_timeout_s = idle_timeout_s
        self._status_error = anthropic.APIStatusError
        self._connection_error = anthropic.APIConnectionError
        # Not httpx2.ConnectError: the transport calls a connection that was lost after sending by that name, too.
        self._never_sent = (
            aiohttp.ClientConnectorError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.ClientHttpProxyError,
            httpx2.PoolTimeout,
            httpx2.UnsupportedProtocol,
        )
        # What the transport raises while a body is read; the SDK wraps only what comes before.
        self._lost = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)
        self._patience = body.Patience
        self._read_message = body.read_message
        try:
            self._client = LeanAnthropic(
                api_key=api_key,
                base_url=base_url,
                max_retries=0,
                open_telemetry=False,
                default_headers={"anthropic-version": API_VERSION},
                http_client=anthropic.DefaultAioHttpClient(
                    # Our own deadline bounds every attempt; a time-out of the connection pool would only lose rows.
                    timeout=httpx2.Timeout(None, connect=_CONNECT_S),
                    limits=httpx2.Limits(
                        max_connections=max(1000, concurrency),
                        max_keepalive_connections=max(100, concurrency),
                        keepalive_expiry=_KEEPALIVE_S,
                    ),
                    follow_redirects=False,
                    event_hooks={"response": [body.cut_error_body]},
                ),
            )
        except (anthropic.AnthropicError, ValueError) as error:
            raise CredentialError(f"the SDK refuses the credentials: {error}", fix="set ANTHROPIC_API_KEY") from error
        base = str(self._client.base_url)
        _check_base_url(base)
        # Absolute: the SDK then joins nothing, which is a twentieth of a call.
        self._url = base.rstrip("/") + _PATH

    async def __call__(self, call: Call) -> Reply:
        """Send *call* once. Raises `AttemptError`, or `StopRun` when the account is refused."""
        started = self._now()
        patience: Patience | None = None
        try:
            async with asyncio.timeout(call.deadline_s) as limit:
                response = await self._ask(call)
                patience = self._patience(limit, self._idle_timeout_s)
                headers = self._headers(response.headers.raw)
                message = await self._read(response, patience, headers)
        except TimeoutError as error:
            if patience is not None and patience.silent:
                raise classify.timed_out(self._idle_timeout_s, silent=True) from error
            raise classify.timed_out(call.deadline_s) from error
        try:
            return parse_message(
                message,
                request_id=headers.request_id,
                latency_ms=round((self._now() - started) * 1000),
                limits=headers.limits,
                simulated=headers.simulated,
            )
        except BadAnswer as error:
            raise classify.bad_answer(str(error), response.status_code, headers) from error

    async def _ask(self, call: Call) -> httpx2.Response:
        """A response whose head says success and whose body is still to come."""
        try:
            return await self._client.ask(self._url, on_the_wire(call))
        except self._status_error as error:
            raise self._refusal(error) from error
        except self._connection_error as error:
            sent = not any(isinstance(cause, self._never_sent) for cause in _causes(error))
            raise classify.connection_failed(f"no answer: {error.__cause__ or error}", sent=sent) from error

    async def _read(self, response: httpx2.Response, patience: Patience, headers: HeaderFacts) -> bytes:
        try:
            return await self._read_message(response, patience)
        except BadAnswer as error:
            raise classify.bad_answer(str(error), response.status_code, headers) from error
        except StreamFailed as error:
            raise classify.stream_failed(
                type=error.type, code=error.code, message=_clipped(error.message), request_id=headers.request_id
            ) from error
        except self._lost as error:
            raise classify.connection_failed(f"the answer broke off: {error}", sent=True) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _headers(self, raw: list[tuple[bytes, bytes]]) -> HeaderFacts:
        return read_headers(raw, now=self._wall())

    def _refusal(self, error: APIStatusError) -> Exception:
        headers = self._headers(error.response.headers.raw)
        if error.status_code < 400:
            return classify.redirected(error.status_code, error.response.headers.get("location"), headers)
        return classify.from_status(
            error.status_code,
            type=_text(error.type),
            code=_text(error.error_code),
            message=_clipped(_text(error.api_message) or _text(error.message) or ""),
            headers=headers,
        )


def on_the_wire(call: Call) -> bytes:
    """The body to send. `stream` is in it only here: it changes how an answer comes, never which."""
    if call.size.output_bound <= STREAM_ABOVE:
        return call.body
    return call.body[:-1] + b',"stream":true}'


def _clipped(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "…"


def _text(value: object) -> str | None:
    """*value* as the API means it; None where a gateway says something else. Half characters become `?`."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _check_base_url(url: str) -> None:
    parts = urlsplit(url)
    if not parts.hostname:
        raise ConfigError(f'"{url}" is no base URL', fix="write it whole, as in https://api.anthropic.com")
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise ConfigError(
            f"{parts.scheme}://{parts.hostname} would send the key in the clear", fix="use an https base URL"
        )
