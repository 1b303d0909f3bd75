"""One attempt at the Messages API through the official SDK.

Documented options only, chosen for what they cost: the aiohttp transport, no
OpenTelemetry, the request as the bytes that we hold already, the response as the bytes
that came. The SDK's own retries are off: it would sleep inside our slots, hide requests
from the limiter, and retry spend limits.

Long answers are asked for as streams, which are never silent for long, and so are those
that somebody wants to see grow; they come out as the same message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from claudebatch.clients import count_tokens, error_table
from claudebatch.clients.base_url import DIRECT_IN_THE_CLEAR, check_base_url
from claudebatch.clients.headers import HeaderFacts, read_headers
from claudebatch.clients.redaction import Redactor
from claudebatch.clients.stream_assembler import StreamFailed
from claudebatch.clients.suspend_guard import SuspendGuard
from claudebatch.core.domain import AnswerObserver, Call, Reply, asks_for_fast
from claudebatch.core.errors import AttemptError, CredentialError, StopRun
from claudebatch.core.message import BadAnswer, parse_message

if TYPE_CHECKING:
    import httpx2
    from anthropic import APIStatusError

    from claudebatch.clients.response_body import ReadTimeout

API_VERSION = "2026-10-21"
"""Sent with every request and part of every cache key, so that the two cannot disagree.
"""
_PATH = "/v1/messages"
_CONNECT_S = 10.0
# The default of 5 s means a new TLS handshake for every request of a slow run.
_KEEPALIVE_S = 60.0
STREAM_ABOVE = 16_384
"""`max_tokens` above which an answer is streamed.

A plain one is silent until its end: at 50 tokens a second five and a half minutes for
so many, and gateways drop connections that are silent for six. The API itself wants a
stream from ten minutes on, 21,333 tokens by its count.
"""
_FAST_MODE: Mapping[str, str] = MappingProxyType({"anthropic-beta": "fast-mode-2026-02-01"})
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_LONGEST_MESSAGE = 2000
_LONGEST_TYPE = 100


class ClaudeClient:
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
        secrets: Iterable[str] = (),
    ) -> None:
        """*secrets*: what must be in no error, whoever quotes it; the key itself need
        not be among them.
        """
        # Heavy (a second, 86 MB): nothing but sending may import it.
        import aiohttp  # noqa: PLC0415
        import anthropic  # noqa: PLC0415
        import httpx2  # noqa: PLC0415

        from claudebatch.clients import response_body  # noqa: PLC0415
        from claudebatch.clients.fast_transport import FastAnthropic, FastHttp  # noqa: PLC0415

        self._now = now
        self._wall = wall
        self._idle_timeout_s = idle_timeout_s
        self._status_error = anthropic.APIStatusError
        self._connection_error = anthropic.APIConnectionError
        # Not httpx2.ConnectError: the transport calls a connection that was lost after
        # sending by that name, too.
        self._never_sent = (
            aiohttp.ClientConnectorError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.ClientHttpProxyError,
            httpx2.PoolTimeout,
            httpx2.UnsupportedProtocol,
        )
        # What the transport raises while a body is read; the SDK wraps only what comes
        # before.
        self._lost = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)
        self._patience = response_body.ReadTimeout
        self._awake = SuspendGuard()
        self._read_message = response_body.read_message
        try:
            self._client = FastAnthropic(
                api_key=api_key,
                base_url=base_url,
                max_retries=0,
                open_telemetry=False,
                default_headers={"anthropic-version": API_VERSION},
                http_client=FastHttp(
                    # Our own deadline bounds every attempt; a time-out of the
                    # connection pool would only lose rows.
                    timeout=httpx2.Timeout(None, connect=_CONNECT_S),
                    limits=httpx2.Limits(
                        max_connections=max(1000, concurrency),
                        max_keepalive_connections=max(100, concurrency),
                        keepalive_expiry=_KEEPALIVE_S,
                    ),
                    follow_redirects=False,
                    mounts=DIRECT_IN_THE_CLEAR,
                    event_hooks={"response": [response_body.cut_error_body]},
                ),
            )
        except (anthropic.AnthropicError, ValueError) as error:
            reason = Redactor(secrets).hide(str(error))
            raise CredentialError(
                f"the SDK refuses the credentials: {reason}", fix="set ANTHROPIC_API_KEY"
            ) from error
        self._hide = Redactor(
            (*secrets, self._client.api_key or "", self._client.auth_token or "")
        ).hide
        base = str(self._client.base_url)
        check_base_url(base)
        # Absolute: the SDK then joins nothing, which is a twentieth of a call.
        self._url = base.rstrip("/") + _PATH
        self._count_url = base.rstrip("/") + count_tokens.PATH

    async def __call__(self, call: Call) -> Reply:
        """Send *call* once. Raises `AttemptError`, or `StopRun` when the account is
        refused.
        """
        try:
            return await self._attempt(call)
        except (AttemptError, StopRun) as error:
            self._cleanse(error)
            raise

    async def count(self, call: Call) -> int | None:
        """Input tokens of *call* as the API counts them, free of charge; None where it
        cannot. Raises as a call does.

        An estimate, with a rate limit of its own: thousands a minute.
        """
        try:
            return await self._counted(call)
        except (AttemptError, StopRun) as error:
            self._cleanse(error)
            raise

    def _cleanse(self, error: AttemptError | StopRun) -> None:
        """Hide secrets: words of the server's, or of libraries that speak of our
        request, may quote one.
        """
        error.message = self._hide(error.message)
        if isinstance(error, AttemptError):
            error.type = self._hide(error.type)[:_LONGEST_TYPE]
            error.request_id = error.request_id and self._hide(error.request_id)

    async def _counted(self, call: Call) -> int | None:
        try:
            async with asyncio.timeout(count_tokens.DEADLINE_S):
                response = await self._client.count(self._count_url, count_tokens.count_body(call))
                return count_tokens.counted(await response.aread())
        except TimeoutError as error:
            raise error_table.timed_out(count_tokens.DEADLINE_S) from error
        except self._status_error as error:
            refusal = self._refusal(error)
            if isinstance(refusal, AttemptError) and error.status_code in count_tokens.NOT_COUNTED:
                return None
            raise refusal from error
        except (self._connection_error, *self._lost) as error:
            raise error_table.connection_failed(
                f"no count: {error.__cause__ or error}", sent=False
            ) from error
        except BadAnswer as error:
            raise error_table.bad_answer(str(error), 200, self._headers([])) from error

    async def _attempt(self, call: Call) -> Reply:
        started = self._now()
        patience: ReadTimeout | None = None
        headers: HeaderFacts | None = None
        try:
            async with asyncio.timeout(call.deadline_s) as limit:
                patience = self._patience(limit, self._idle_timeout_s)
                self._awake.watch(patience)
                response = await self._ask(call)
                headers = self._headers(response.headers.raw)
                if call.watch is not None:
                    call.watch.began(headers.limits)
                message = await self._read(response, patience, headers, call.watch)
        except TimeoutError as error:
            if patience is not None and patience.silent:
                raise error_table.timed_out(
                    self._idle_timeout_s, silent=True, head=headers
                ) from error
            raise error_table.timed_out(call.deadline_s, head=headers) from error
        finally:
            if patience is not None:
                self._awake.leave(patience)
        try:
            return parse_message(
                message,
                request_id=headers.request_id and self._hide(headers.request_id),
                latency_ms=round((self._now() - started) * 1000),
                limits=headers.limits,
                simulated=headers.simulated,
            )
        except BadAnswer as error:
            raise error_table.bad_answer(str(error), response.status_code, headers) from error

    async def _ask(self, call: Call) -> httpx2.Response:
        """A response whose head says success and whose body is still to come."""
        try:
            return await self._client.ask(self._url, on_the_wire(call), headers_of(call))
        except self._status_error as error:
            raise self._refusal(error) from error
        except self._connection_error as error:
            sent = not any(isinstance(cause, self._never_sent) for cause in _causes(error))
            raise error_table.connection_failed(
                f"no answer: {error.__cause__ or error}", sent=sent
            ) from error

    async def _read(
        self,
        response: httpx2.Response,
        patience: ReadTimeout,
        headers: HeaderFacts,
        watch: AnswerObserver | None,
    ) -> bytes:
        try:
            return await self._read_message(response, patience, watch)
        except BadAnswer as error:
            raise error_table.bad_answer(str(error), response.status_code, headers) from error
        except StreamFailed as error:
            raise error_table.stream_failed(
                type=error.type,
                code=error.code,
                message=_clipped(error.message),
                request_id=headers.request_id,
            ) from error
        except self._lost as error:
            raise error_table.connection_failed(
                f"the answer broke off: {error}", sent=True, head=headers
            ) from error

    async def close(self) -> None:
        """Close the connections."""
        self._awake.stop()
        await self._client.close()

    def _headers(self, raw: list[tuple[bytes, bytes]]) -> HeaderFacts:
        return read_headers(raw, now=self._wall())

    def _refusal(self, error: APIStatusError) -> Exception:
        headers = self._headers(error.response.headers.raw)
        if error.status_code < 400:
            return error_table.redirected(
                error.status_code, error.response.headers.get("location"), headers
            )
        return error_table.from_status(
            error.status_code,
            type=_text(error.type),
            code=_text(error.error_code),
            message=_clipped(_text(error.api_message) or _text(error.message) or ""),
            headers=headers,
        )


def on_the_wire(call: Call) -> bytes:
    """The body to send. `stream` is in it only here: it changes how an answer comes,
    never which.
    """
    watched = (
        call.watch is not None and call.size.output_bound > 0
    )  # a request for no output may not be a stream
    if call.size.output_bound <= STREAM_ABOVE and not watched:
        return call.body
    return call.body[:-1] + b',"stream":true}'


def headers_of(call: Call) -> Mapping[str, str]:
    """What this one request needs besides the usual headers: some models serve fast
    mode only to those who name it.
    """
    return _FAST_MODE if asks_for_fast(call) else _NO_HEADERS


def _clipped(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "…"


def _text(value: object) -> str | None:
    """*value* as the API means it; None where a gateway says something else. Half
    characters become `?`.
    """
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__
