"""A `BatchClient` over real sockets for tests in virtual time: while it asks, no time
passes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.clients.batch_records import Batch, BatchPage
from claudebatch.clients.batch_results import BatchResult
from claudebatch.clients.batch_upload import BatchUpload
from tests.support.virtual import real_io


class PatientBatches:
    """Hands every call on to *client*."""

    def __init__(self, client: BatchClient) -> None:
        self._client = client

    async def create(self, upload: BatchUpload, *, betas: Sequence[str] = ()) -> Batch:
        with real_io():
            return await self._client.create(upload, betas=betas)

    async def retrieve(self, batch_id: str) -> Batch:
        with real_io():
            return await self._client.retrieve(batch_id)

    async def page(self, *, limit: int = 100, after_id: str | None = None) -> BatchPage:
        with real_io():
            return await self._client.page(limit=limit, after_id=after_id)

    async def cancel(self, batch_id: str) -> Batch:
        with real_io():
            return await self._client.cancel(batch_id)

    async def results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        async with aclosing(self._client.results(batch_id)) as results:
            while True:
                with real_io():
                    result = await anext(results, None)
                if result is None:
                    return
                yield result

    async def delete(self, batch_id: str) -> None:
        with real_io():
            await self._client.delete(batch_id)

    async def close(self) -> None:
        with real_io():
            await self._client.close()
