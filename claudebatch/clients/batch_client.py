"""The Message Batches API through the official SDK: bytes go up and come down as they
are, and every endpoint is asked once for each call.

The SDK's own batch methods would hold a batch whole, send a create up to three times,
and follow `results_url` to any host with the key.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from claudebatch.clients import error_table
from claudebatch.clients.batch_protocol import MOST_LISTED
from claudebatch.clients.batch_records import (
    Batch,
    BatchPage,
    read_batch,
    read_deleted,
    read_page,
)
from claudebatch.clients.batch_results import BatchResult, read_result
from claudebatch.clients.batch_upload import BatchUpload
from claudebatch.clients.headers import HeaderFacts
from claudebatch.clients.network_route import NetworkRoute
from claudebatch.clients.status_errors import cleanse
from claudebatch.clients.wire_format import BETA_HEADER
from claudebatch.core.errors import (
    AttemptError,
    BatchNotFound,
    BatchTooLarge,
    CommandRefused,
    NotServed,
    StopRun,
)
from claudebatch.core.message import BadAnswer

if TYPE_CHECKING:
    from claudebatch.clients.batch_exchange import Answer

PATH = "/v1/messages/batches"
# Statuses of a create that are not about the batch as it is.
_PASSING = frozenset({408, 409, 413, 429})

T = TypeVar("T")


class ClaudeBatches:
    """A `BatchClient`. Make it inside a running event loop; close it when done."""

    def __init__(
        self,
        *,
        api_key: str | None,
        base_url: str | None,
        idle_timeout_s: float,
        now: Callable[[], float],
        wall: Callable[[], datetime],
        secrets: Iterable[str] = (),
        route: NetworkRoute | None = None,
    ) -> None:
        """*idle_timeout_s*: how long an upload or a download may stand still.

        *secrets*: texts that no error may quote; the key itself need not be among them.
        """
        # Heavy (a second, 86 MB): nothing but sending may import it.
        from claudebatch.clients.batch_exchange import BatchExchange  # noqa: PLC0415

        self._exchange = BatchExchange(
            api_key=api_key,
            base_url=base_url,
            idle_timeout_s=idle_timeout_s,
            now=now,
            wall=wall,
            secrets=secrets,
            route=route or NetworkRoute(),
        )
        self._url = self._exchange.base_url + PATH

    async def create(self, upload: BatchUpload, *, betas: Sequence[str] = ()) -> Batch:
        """Make a batch; see `BatchClient`."""
        headers = {"content-type": "application/json"}
        if upload.length is not None:
            headers["content-length"] = str(upload.length)
        if betas:
            # A header of the request replaces the user's own of the same name.
            headers[BETA_HEADER] = ",".join(dict.fromkeys((*self._exchange.betas, *betas)))
        try:
            facts, body = await self._exchange.send(self._url, headers, upload)
            return _read(read_batch, facts, body)
        except (AttemptError, StopRun) as error:
            raise self._cleansed(_of_create(error)) from error

    async def retrieve(self, batch_id: str) -> Batch:
        """The batch as it is now."""
        return _read(read_batch, *await self._ask("GET", self._address(batch_id)))

    async def page(self, *, limit: int = 100, after_id: str | None = None) -> BatchPage:
        """Up to *limit* batches, newest first: those that are older than *after_id*."""
        query = f"?limit={max(1, min(limit, MOST_LISTED))}"
        if after_id is not None:
            query += f"&after_id={quote(after_id, safe='')}"
        return _read(read_page, *await self._ask("GET", self._url + query))

    async def cancel(self, batch_id: str) -> Batch:
        """Begin to cancel; what was begun may still be answered and billed."""
        return _read(read_batch, *await self._ask("POST", self._address(batch_id, "/cancel")))

    async def delete(self, batch_id: str) -> None:
        """Remove an ended batch with its results, for good."""
        _read(read_deleted, *await self._ask("DELETE", self._address(batch_id)))

    async def results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        """What became of each request, while it is downloaded."""
        lines = self._exchange.lines(self._address(batch_id, "/results"))
        try:
            async with aclosing(lines):
                async for line in lines:
                    yield read_result(line)
        except (AttemptError, StopRun) as error:
            raise self._cleansed(_of_reading(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()

    def _address(self, batch_id: str, more: str = "") -> str:
        # Of our own making: `results_url` could name another host, and the key goes
        # along.
        return f"{self._url}/{quote(batch_id, safe='')}{more}"

    async def _ask(self, method: str, url: str) -> Answer:
        try:
            return await self._exchange.ask(method, url)
        except (AttemptError, StopRun) as error:
            raise self._cleansed(_of_reading(error)) from error

    def _cleansed(self, error: AttemptError | StopRun) -> AttemptError | StopRun:
        cleanse(error, self._exchange.hide)
        return error


def _read(reader: Callable[[bytes, HeaderFacts], T], facts: HeaderFacts, body: bytes) -> T:
    try:
        return reader(body, facts)
    except BadAnswer as error:
        raise error_table.bad_answer(str(error), 200, facts) from error


def _of_reading(error: AttemptError | StopRun) -> AttemptError | StopRun:
    """An error of any endpoint but create: whatever happened, nothing was billed."""
    if not isinstance(error, AttemptError):
        return error
    if error.status == 404 and isinstance(error, NotServed):
        return BatchNotFound(**_facts(error))
    error.may_be_billed = False
    return error


def _of_create(error: AttemptError | StopRun) -> AttemptError | StopRun:
    """An error of create, which says whether a batch may have been made."""
    if not isinstance(error, AttemptError) or error.status is None:
        return error
    if error.status == 413:
        return BatchTooLarge(**_facts(error))
    if 400 <= error.status < 500 and error.status not in _PASSING and not error.retryable:
        return CommandRefused(
            "E718",
            f"the API refuses the batch: {error.status} {error.message}",
            fix="run the same command without batches, and please report this",
        )
    return error


def _facts(error: AttemptError) -> dict[str, Any]:
    return {
        "message": error.message,
        "type": error.type,
        "status": error.status,
        "request_id": error.request_id,
        "retry_after": error.retry_after,
    }
