"""The batch endpoints at the pace that the API lets them be asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.clients.batch_records import Batch, BatchPage
from claudebatch.clients.batch_results import BatchResult
from claudebatch.clients.batch_upload import BatchUpload
from claudebatch.core.errors import AttemptError, RateLimited
from claudebatch.core.limit_headers import Limits
from claudebatch.layers.rate_limit.bucket_mirror import BucketMirror

# Shorter ones round to zero and would spin the loop.
_SHORTEST_WAIT_S = 0.001

T = TypeVar("T")


class BatchPace:
    """One pool for all endpoints and models, with the mirror of every other pool."""

    def __init__(
        self,
        per_minute: float,
        *,
        share: float,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """*share* of the limit that is ours."""
        self._share = share
        self._now = now
        self._sleep = sleep
        self._mirror = BucketMirror(per_minute * share, now=now(), share=share)

    async def turn(self) -> None:
        """Wait until one request may leave."""
        # One task asks: nobody can overtake between the look and the take.
        while (wait_s := self._mirror.wait_for(1, self._now())) > 0:
            await self._sleep(max(wait_s, _SHORTEST_WAIT_S))
        self._mirror.take(1, self._now())

    def heard(self, limits: Limits | None) -> None:
        """An answer states *limits*: batch answers have had none, and may."""
        stated = None if limits is None else limits.requests.limit
        if stated and stated * self._share != self._mirror.per_minute:
            self._mirror.set_rate(stated * self._share, self._now(), share=self._share)

    def refused(self) -> None:
        """The API did not let a request in."""
        self._mirror.refused(self._now())


class PacedBatches:
    """A `BatchClient` that takes its turn before each request."""

    def __init__(self, client: BatchClient, pace: BatchPace) -> None:
        self._client = client
        self._pace = pace

    async def create(self, upload: BatchUpload, *, betas: Sequence[str] = ()) -> Batch:
        """Make a batch. A 429 may be about the queue: it says nothing of the pace."""
        # Before the upload: a turn that is waited for within it would break it off.
        await self._pace.turn()
        batch = await self._client.create(upload, betas=betas)
        self._pace.heard(batch.limits)
        return batch

    async def retrieve(self, batch_id: str) -> Batch:
        """The batch as it is now."""
        batch = await self._asked(lambda: self._client.retrieve(batch_id))
        self._pace.heard(batch.limits)
        return batch

    async def page(self, *, limit: int = 100, after_id: str | None = None) -> BatchPage:
        """Up to *limit* batches, newest first."""
        return await self._asked(lambda: self._client.page(limit=limit, after_id=after_id))

    async def cancel(self, batch_id: str) -> Batch:
        """Begin to cancel."""
        return await self._asked(lambda: self._client.cancel(batch_id))

    async def results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        """What became of each request."""
        # One turn for a download, however long: its lines are no requests.
        await self._pace.turn()
        try:
            async with aclosing(self._client.results(batch_id)) as results:
                async for result in results:
                    yield result
        except RateLimited:
            self._pace.refused()
            raise

    async def delete(self, batch_id: str) -> None:
        """Remove an ended batch."""
        await self._asked(lambda: self._client.delete(batch_id))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        await self._pace.turn()
        try:
            return await ask()
        except AttemptError as error:
            self._pace.heard(error.limits)
            if isinstance(error, RateLimited):
                self._pace.refused()
            raise
