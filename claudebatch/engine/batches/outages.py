"""An outage of the batch endpoints: since when questions of one kind were all in vain.

What is with the API goes on by itself, so a run that nobody answers loses nothing by
its end: the same command collects.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.clients.batch_records import Batch, BatchPage
from claudebatch.clients.batch_results import BatchResult
from claudebatch.clients.batch_upload import BatchUpload
from claudebatch.core.errors import ApiUnavailable, AttemptError, BatchNotFound

T = TypeVar("T")


class BatchOutage:
    """Each kind of question for itself: an account that tells how batches stand and
    never hands results out is away, too. Pure: no clock, no I/O.
    """

    def __init__(self, max_outage_s: float) -> None:
        self._max_outage_s = max_outage_s
        # Mutable, changed by the methods below only: the moment of the first failure
        # since the last answer, and the last failure, by kind.
        self._since: dict[str, float] = {}
        self._last: dict[str, tuple[float, AttemptError]] = {}

    def answered(self, kind: str) -> None:
        """A question of *kind* was answered."""
        self._since.pop(kind, None)

    def failed(self, kind: str, now: float, error: AttemptError) -> None:
        """A question of *kind* was not."""
        # The API knows what it is asked, and has an answer: no outage. Nor is a gateway
        # that refuses the list, which says only how much room the queue has.
        unlisted = kind == "list" and error.status is not None and not error.retryable
        if isinstance(error, BatchNotFound) or unlisted:
            self.answered(kind)
            return
        self._since.setdefault(kind, now)
        self._last[kind] = now, error

    @property
    def error(self) -> AttemptError | None:
        """The last failure of an outage that is too long; None: there is none."""
        for kind, since in self._since.items():
            # By the failures themselves: while a long download kept the task busy,
            # nobody asked, and nobody knows.
            last, error = self._last[kind]
            if last - since >= self._max_outage_s:
                return error
        return None

    def stop(self) -> ApiUnavailable | None:
        """Why the run is to end; None: it goes on."""
        if (error := self.error) is None:
            return None
        return ApiUnavailable(
            "E782",
            f"batches could not be asked about for too long: {error.message}",
            fix="wait until the API is back, then run the same command: it collects",
        )


class AskedBatches:
    """A `BatchClient` that tells *outage* what becomes of each question. A create has a
    patience of its own: it may have made its batch.
    """

    def __init__(self, client: BatchClient, outage: BatchOutage, now: Callable[[], float]) -> None:
        self._client = client
        self._outage = outage
        self._now = now

    async def create(self, upload: BatchUpload, *, betas: Sequence[str] = ()) -> Batch:
        """Make a batch."""
        return await self._client.create(upload, betas=betas)

    async def retrieve(self, batch_id: str) -> Batch:
        """The batch as it is now."""
        return await self._asked("retrieve", self._client.retrieve(batch_id))

    async def page(self, *, limit: int = 100, after_id: str | None = None) -> BatchPage:
        """Up to *limit* batches, newest first."""
        return await self._asked("list", self._client.page(limit=limit, after_id=after_id))

    async def cancel(self, batch_id: str) -> Batch:
        """Begin to cancel; refused for what has ended, which is no outage."""
        return await self._client.cancel(batch_id)

    async def results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        """What became of each request."""
        try:
            async with aclosing(self._client.results(batch_id)) as results:
                async for result in results:
                    yield result
        except AttemptError as error:
            self._outage.failed("results", self._now(), error)
            raise
        self._outage.answered("results")

    async def delete(self, batch_id: str) -> None:
        """Remove an ended batch."""
        await self._client.delete(batch_id)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _asked(self, kind: str, question: Awaitable[T]) -> T:
        try:
            found = await question
        except AttemptError as error:
            self._outage.failed(kind, self._now(), error)
            raise
        self._outage.answered(kind)
        return found
