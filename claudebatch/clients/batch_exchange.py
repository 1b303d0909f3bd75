"""Requests to the batch endpoints, and their answers: whole ones, and lines of one that
may be as long as it likes.

Imported with the SDK only, by `batch_client.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

import httpx2

from claudebatch.clients import connection_faults, error_table, sdk_connection
from claudebatch.clients.base_url import check_base_url
from claudebatch.clients.batch_results import LineSplitter, is_whole
from claudebatch.clients.batch_upload import BatchUpload, Sending
from claudebatch.clients.fast_transport import FastAnthropic
from claudebatch.clients.headers import HeaderFacts, read_headers, server_date
from claudebatch.clients.network_route import NetworkRoute
from claudebatch.clients.page_text import words_of
from claudebatch.clients.redaction import Redactor
from claudebatch.clients.response_body import ReadTimeout, decoded, read_message
from claudebatch.clients.status_errors import error_of
from claudebatch.clients.suspend_guard import SuspendGuard
from claudebatch.clients.web_page import is_web_page, page_text
from claudebatch.clients.wire_format import BETA_HEADER, names_of
from claudebatch.core.errors import AttemptError, PathFault, StopRun
from claudebatch.core.message import BadAnswer

# Batches at once, and their polls: never more than a few.
_CONNECTIONS = 16
_DEADLINE_S = 60.0
# A batch is read to its end before it is answered: minutes, for 256 MB.
_CREATED_WITHIN_S = 600.0
_UPLOADED_WITHIN_S = 6 * 3600.0
# After these it is unknown whether the API has done what it was asked.
_UNKNOWN = frozenset({408, 409})
_JSONL = {"accept": "application/binary"}

Answer: TypeAlias = tuple[HeaderFacts, bytes]


class BatchExchange:
    """The SDK's client, asked for bytes."""

    def __init__(
        self,
        *,
        api_key: str | None,
        base_url: str | None,
        idle_timeout_s: float,
        now: Callable[[], float],
        wall: Callable[[], datetime],
        secrets: Iterable[str],
        route: NetworkRoute,
    ) -> None:
        self._now = now
        self._wall = wall
        self._idle_timeout_s = idle_timeout_s
        self._route = route
        self._certain = connection_faults.CertainFaults()
        self._suspend_guard = SuspendGuard()
        self._connect = partial(
            sdk_connection.open_sdk,
            api_key=api_key,
            base_url=base_url,
            concurrency=_CONNECTIONS,
            secrets=tuple(secrets),
            route=route,
        )
        self._client = self._connect()
        # The SDK reads key and token from the environment where we pass none.
        self.hide = Redactor(
            (*secrets, self._client.api_key or "", self._client.auth_token or "")
        ).hide
        """Takes secrets out of a text."""
        self.betas = names_of(sdk_connection.own_header(self._client, BETA_HEADER))
        """Those that the user sends with every request."""
        self.base_url = str(self._client.base_url).rstrip("/")
        check_base_url(str(self._client.base_url))

    async def ask(self, method: str, url: str) -> Answer:
        """The answer to a request without a body."""
        async with self._patience(_DEADLINE_S) as patience:
            return await self._whole(await self._open(method, url, {}), patience)

    async def send(self, url: str, headers: Mapping[str, str], upload: BatchUpload) -> Answer:
        """The answer to an upload.

        Its errors are `may_be_billed` where the last byte has left and no answer says
        that nothing was done. An error of the upload itself comes out as it is.
        """
        sending: Sending | None = None
        # A connection of its own: an idle one may have been closed by the other side,
        # which shows only when the body is on its way, and then it is unknown.
        client = self._connect()
        try:
            async with self._patience(_UPLOADED_WITHIN_S) as patience:
                sending = Sending(upload, lambda: self._moved(sending, patience))
                self._moved(sending, patience)
                response = await self._open("POST", url, headers, sending, client=client)
                return await self._whole(response, patience)
        except (AttemptError, StopRun) as error:
            if sending is not None and sending.failure is not None:
                raise sending.failure from error
            if isinstance(error, AttemptError):
                complete = sending is not None and sending.complete
                error.may_be_billed = complete and _may_have_done_it(error)
            raise
        finally:
            await client.close()

    async def lines(self, url: str) -> AsyncGenerator[bytes, None]:
        """The lines of an answer, each when it has come."""
        async with self._patience(_DEADLINE_S):
            response = await self._open("GET", url, _JSONL)
        facts = self._facts(response)
        splitter = LineSplitter()
        try:
            async with aclosing(self._pieces(response, facts)) as pieces:
                first = True
                async for piece in pieces:
                    if first and is_web_page(piece, response.headers.get("content-type", "")):
                        words = words_of(page_text(piece))
                        raise error_table.web_page(words, response.status_code, facts)
                    first = False
                    for line in splitter.feed(piece):
                        yield line
            if (rest := splitter.rest()) and is_whole(rest):
                yield rest
            elif rest:
                raise _broken("in the middle of a line", facts)
        except BadAnswer as error:
            raise error_table.bad_answer(str(error), response.status_code, facts) from error
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close the connections."""
        self._suspend_guard.stop()
        await self._client.close()

    def _patience(self, seconds: float) -> _Patience:
        return _Patience(seconds, self._suspend_guard)

    def _moved(self, sending: Sending | None, patience: ReadTimeout) -> None:
        done = sending is not None and sending.complete
        patience.allow(_CREATED_WITHIN_S if done else self._idle_timeout_s)

    async def _whole(self, response: httpx2.Response, patience: ReadTimeout) -> Answer:
        facts = self._facts(response)
        try:
            # The SDK has read the answer to a DELETE already.
            read = response.is_closed
            body = response.content if read else await read_message(response, patience)
        except sdk_connection.BROKEN_OFF as error:
            raise _broken(str(error) or type(error).__name__, facts) from error
        except BadAnswer as error:
            raise error_table.bad_answer(str(error), response.status_code, facts) from error
        if is_web_page(body, response.headers.get("content-type", "")):
            raise error_table.web_page(words_of(page_text(body)), response.status_code, facts)
        return facts, body

    async def _open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        sending: Sending | None = None,
        *,
        client: FastAnthropic | None = None,
    ) -> httpx2.Response:
        """A response with a successful status, its body still unread."""
        began = self._now()
        try:
            response = await (client or self._client).exchange(method, url, headers, sending)
        except sdk_connection.STATUS_ERROR as error:
            self._certain.answered()
            facts = read_headers(error.response.headers.raw, now=self._wall())
            raise error_of(error, facts) from error
        except sdk_connection.CONNECTION_ERROR as error:
            raise self._unanswered(error, began) from error
        self._certain.answered()
        return response

    def _unanswered(self, error: Exception, began: float) -> Exception:
        fault = connection_faults.explain(error, self._route)
        if self._certain.ends_run(fault, began=began, now=self._now()):
            return error_table.unreachable(fault.text, fault.fix)
        sent = not any(isinstance(one, sdk_connection.NEVER_SENT) for one in _causes(error))
        return error_table.connection_failed(f"no answer: {fault.text}", sent=sent)

    async def _pieces(
        self, response: httpx2.Response, facts: HeaderFacts
    ) -> AsyncGenerator[bytes, None]:
        """The body, piece by piece. Only our own waits are limited: whoever takes the
        pieces has all the time in the world.
        """
        pieces = decoded(response)
        try:
            while (piece := await self._next(pieces, facts)) is not None:
                yield piece
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def _next(self, pieces: AsyncIterator[bytes], facts: HeaderFacts) -> bytes | None:
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                return await anext(pieces, None)
        except TimeoutError as error:
            raise error_table.timed_out(self._idle_timeout_s, silent=True, head=facts) from error
        except httpx2.DecodingError as error:
            raise BadAnswer(f"the body cannot be decompressed: {error}") from error
        except sdk_connection.BROKEN_OFF as error:
            raise _broken(str(error) or type(error).__name__, facts) from error

    def _facts(self, response: httpx2.Response) -> HeaderFacts:
        raw = response.headers.raw
        return replace(read_headers(raw, now=self._wall()), server_time=server_date(raw))


class _Patience:
    """A deadline around one request, which stands still while the process does."""

    def __init__(self, seconds: float, guard: SuspendGuard) -> None:
        self._seconds = seconds
        self._guard = guard
        self._limit = asyncio.timeout(seconds)
        # Made when it begins: only then the limit has a moment.
        self._patience: ReadTimeout | None = None

    async def __aenter__(self) -> ReadTimeout:
        await self._limit.__aenter__()
        self._patience = ReadTimeout(self._limit, self._seconds)
        self._guard.watch(self._patience)
        return self._patience

    async def __aexit__(self, *raised: Any) -> None:
        if self._patience is not None:
            self._guard.leave(self._patience)
        try:
            await self._limit.__aexit__(*raised)
        except TimeoutError as error:
            raise error_table.timed_out(self._seconds) from error


def _may_have_done_it(error: AttemptError) -> bool:
    if isinstance(error, PathFault):
        return error.may_be_billed
    status = error.status
    return status is None or status < 400 or status >= 500 or status in _UNKNOWN


def _broken(reason: str, facts: HeaderFacts) -> AttemptError:
    return error_table.connection_failed(f"the answer broke off: {reason}", sent=True, head=facts)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__
