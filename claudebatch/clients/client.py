"""One attempt at the Messages API through the official SDK.

Documented options only, chosen for their cost: the aiohttp transport, no OpenTelemetry,
the request as the bytes that we hold already, the response as the bytes that came.

Long answers are asked for as streams, which are never silent for long, and so are
answers with an observer; both come out as the same message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from claudebatch.clients import count_tokens, error_table
from claudebatch.clients.base_url import check_base_url
from claudebatch.clients.headers import HeaderFacts, read_headers
from claudebatch.clients.network_route import NetworkRoute
from claudebatch.clients.no_message import no_message
from claudebatch.clients.redaction import Redactor
from claudebatch.clients.status_errors import cleanse, clipped, error_of
from claudebatch.clients.stream_assembler import StreamFailed
from claudebatch.clients.suspend_guard import SuspendGuard
from claudebatch.clients.wire_format import (
    BETA_HEADER,
    MESSAGES_PATH,
    names_of,
    wire_body,
    wire_headers,
)
from claudebatch.core.domain import AnswerObserver, Call, Reply, asks_for_fast
from claudebatch.core.errors import AttemptError, StopRun
from claudebatch.core.message import BadAnswer, parse_message

if TYPE_CHECKING:
    import httpx2
    from anthropic import APIStatusError

    from claudebatch.clients.fast_transport import FastAnthropic
    from claudebatch.clients.response_body import ReadTimeout

_LONGEST_REASON = 160
_REFUSED = 400


class ClaudeClient:
    """The innermost handler. Make it inside a running event loop; close it when
    done.
    """

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
        route: NetworkRoute | None = None,
    ) -> None:
        """*secrets*: texts that no error may quote; the key itself need not be among
        them.
        """
        # Heavy (a second, 86 MB): nothing but sending may import it.
        from claudebatch.clients import (  # noqa: PLC0415
            connection_faults,
            response_body,
            sdk_connection,
        )

        self._now = now
        self._wall = wall
        self._idle_timeout_s = idle_timeout_s
        self._sdk = sdk_connection
        self._body = response_body
        self._route = route or NetworkRoute()
        self._explain = connection_faults.explain
        self._certain = connection_faults.CertainFaults()
        # Mutable: rows whose last answer could not be read as HTTP.
        self._unread_rows: set[int] = set()
        self._suspend_guard = SuspendGuard()
        self._client = sdk_connection.open_sdk(
            api_key=api_key,
            base_url=base_url,
            concurrency=concurrency,
            secrets=secrets,
            route=self._route,
        )
        # Mutable: whether a simulator answers at this address.
        self._simulated = False
        self._hide = _redactor(self._client, secrets).hide
        self._betas = names_of(sdk_connection.own_header(self._client, BETA_HEADER))
        base = str(self._client.base_url)
        check_base_url(base)
        # Absolute: the SDK then joins nothing, which is a twentieth of a call's CPU.
        self._url = base.rstrip("/") + MESSAGES_PATH
        self._count_url = base.rstrip("/") + count_tokens.PATH

    async def __call__(self, call: Call) -> Reply:
        """Send *call* once. Raises `AttemptError`, or `StopRun` when the account is
        refused.
        """
        try:
            return await self._attempt(call)
        except (AttemptError, StopRun) as error:
            cleanse(error, self._hide)
            if isinstance(error, AttemptError):
                error.simulated = self._simulated
            raise

    async def count(self, call: Call) -> int | None:
        """Input tokens of *call* as the API counts them, free of charge; None where it
        cannot. Raises as a call does.

        The API's count is an estimate, with a rate limit of its own: thousands a
        minute.
        """
        try:
            return await self._counted(call)
        except (AttemptError, StopRun) as error:
            cleanse(error, self._hide)
            raise

    async def objection(self, call: Call) -> str | None:
        """What the API has against the input of *call*, by a count of it; None:
        nothing. Raises where it cannot be asked.
        """
        try:
            await self._count(call)
        except (AttemptError, StopRun) as error:
            cleanse(error, self._hide)
            if isinstance(error, AttemptError) and error.status in count_tokens.NOT_COUNTED:
                return error.message if error.status == _REFUSED else None
            raise
        return None

    async def _counted(self, call: Call) -> int | None:
        try:
            return await self._count(call)
        except AttemptError as error:
            if error.status in count_tokens.NOT_COUNTED:
                return None
            raise

    async def _count(self, call: Call) -> int:
        try:
            async with asyncio.timeout(count_tokens.DEADLINE_S):
                response = await self._client.count(self._count_url, count_tokens.count_body(call))
                return count_tokens.counted(await response.aread())
        except TimeoutError as error:
            raise error_table.timed_out(count_tokens.DEADLINE_S) from error
        except self._sdk.STATUS_ERROR as error:
            raise self._refusal(error) from error
        except (self._sdk.CONNECTION_ERROR, *self._sdk.BROKEN_OFF) as error:
            fault = self._explain(error, self._route)
            raise error_table.connection_failed(f"no count: {fault.text}", sent=False) from error
        except BadAnswer as error:
            raise error_table.bad_answer(str(error), 200, self._headers([])) from error

    async def _attempt(self, call: Call) -> Reply:
        started = self._now()
        read_timeout: ReadTimeout | None = None
        headers: HeaderFacts | None = None
        try:
            async with asyncio.timeout(call.deadline_s) as limit:
                read_timeout = self._body.ReadTimeout(limit, self._idle_timeout_s)
                self._suspend_guard.watch(read_timeout)
                response = await self._ask(call, started)
                headers = self._headers(response.headers.raw, fast=asks_for_fast(call))
                if call.watch is not None:
                    call.watch.began(headers.limits)
                message = await self._read(response, read_timeout, headers, call.watch)
        except TimeoutError as error:
            if read_timeout is not None and read_timeout.silent:
                raise error_table.timed_out(
                    self._idle_timeout_s, silent=True, head=headers
                ) from error
            raise error_table.timed_out(call.deadline_s, head=headers) from error
        finally:
            if read_timeout is not None:
                self._suspend_guard.leave(read_timeout)
        try:
            return parse_message(
                message,
                request_id=headers.request_id and self._hide(headers.request_id),
                latency_ms=round((self._now() - started) * 1000),
                limits=headers.limits,
                simulated=headers.simulated,
            )
        except BadAnswer as error:
            raise no_message(
                message,
                response.headers.get("content-type", ""),
                status=response.status_code,
                headers=headers,
                reason=str(error),
            ) from error

    async def _ask(self, call: Call, began: float) -> httpx2.Response:
        """A response with a successful status, its body still unread."""
        try:
            headers = wire_headers(call, self._betas)
            response = await self._client.ask(self._url, wire_body(call), headers)
        except self._sdk.STATUS_ERROR as error:
            self._certain.answered()
            raise self._refusal(error, fast=asks_for_fast(call)) from error
        except self._sdk.CONNECTION_ERROR as error:
            raise self._unanswered(call, error, began) from error
        self._certain.answered()
        self._unread_rows.discard(call.row)
        return response

    def _unanswered(self, call: Call, error: Exception, began: float) -> Exception:
        """What becomes of an attempt without a status."""
        causes = list(_causes(error))
        unread = next((cause for cause in causes if isinstance(cause, self._sdk.UNREADABLE)), None)
        if unread is not None and not any(isinstance(one, self._sdk.NEVER_SENT) for one in causes):
            return self._unread(call, getattr(unread, "message", ""))
        fault = self._explain(error, self._route)
        if self._certain.ends_run(fault, began=began, now=self._now()):
            return error_table.unreachable(fault.text, fault.fix)
        sent = not any(isinstance(cause, self._sdk.NEVER_SENT) for cause in causes)
        return error_table.connection_failed(f"no answer: {fault.text}", sent=sent)

    def _unread(self, call: Call, reason: str) -> AttemptError:
        """An answer whose head the HTTP parser refuses: billed, and likely to come the
        same way again. A second one ends the row.
        """
        again = call.row not in self._unread_rows
        self._unread_rows.add(call.row)
        self._certain.answered()
        what = " ".join(reason.split()).rstrip(":")[:_LONGEST_REASON]
        return AttemptError(
            f"the gateway's answer cannot be read as HTTP: {what}",
            type="bad_answer",
            retryable=again,
            may_be_billed=True,
            unavailable=True,
        )

    async def _read(
        self,
        response: httpx2.Response,
        read_timeout: ReadTimeout,
        headers: HeaderFacts,
        watch: AnswerObserver | None,
    ) -> bytes:
        try:
            return await self._body.read_message(response, read_timeout, watch)
        except BadAnswer as error:
            raise error_table.bad_answer(str(error), response.status_code, headers) from error
        except StreamFailed as error:
            raise error_table.stream_failed(
                type=error.type,
                code=error.code,
                message=clipped(error.message),
                request_id=headers.request_id,
            ) from error
        except self._sdk.BROKEN_OFF as error:
            raise error_table.connection_failed(
                f"the answer broke off: {error or type(error).__name__}", sent=True, head=headers
            ) from error

    async def close(self) -> None:
        """Close the connections."""
        self._suspend_guard.stop()
        await self._client.close()

    def _headers(self, raw: list[tuple[bytes, bytes]], *, fast: bool = False) -> HeaderFacts:
        found = read_headers(raw, now=self._wall(), fast=fast)
        # The address stays: what once was a simulator breaks no connection that is
        # paid for.
        self._simulated = self._simulated or found.simulated
        return found

    def _refusal(self, error: APIStatusError, *, fast: bool = False) -> Exception:
        headers = self._headers(error.response.headers.raw, fast=fast)
        return error_of(error, headers)


def _redactor(client: FastAnthropic, secrets: Iterable[str]) -> Redactor:
    # The SDK reads key and token from the environment where we pass none.
    return Redactor((*secrets, client.api_key or "", client.auth_token or ""))


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__
