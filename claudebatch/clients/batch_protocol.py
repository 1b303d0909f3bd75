"""The promise of every client of the Message Batches API.

Every method may raise `StopRun` (an account, an address: no other request can end
otherwise) or an `AttemptError` with these meanings:

    BatchNotFound      404. For some minutes it may be untrue of a batch that is alive
    BatchTooLarge      413 on create: cut smaller
    RateLimited        429: wait `retry_after`
    PathFault          a portal, a proxy or another server answers in the API's place
    may_be_billed      of create: it is unknown whether the batch was made. Do not send
                       it again, look for it in the list. False: it was certainly not
                       made
    retryable          of all others: asking again may help, and does no harm
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

from claudebatch.clients.batch_records import Batch, BatchPage
from claudebatch.clients.batch_results import BatchResult
from claudebatch.clients.batch_upload import BatchUpload

MOST_LISTED = 1000
"""Batches on one page, at most."""


class BatchClient(Protocol):
    """The batch endpoints, each asked once for each call: nothing is tried again in
    here.
    """

    async def create(self, upload: BatchUpload, *, betas: Sequence[str] = ()) -> Batch:
        """Make a batch. *betas* hold for all of its requests.

        An error of *upload* itself comes out as it is; then nothing was made.
        """
        ...

    async def retrieve(self, batch_id: str) -> Batch:
        """The batch as it is now."""
        ...

    async def page(self, *, limit: int = 100, after_id: str | None = None) -> BatchPage:
        """Up to *limit* batches, newest first: those that are older than *after_id*."""
        ...

    async def cancel(self, batch_id: str) -> Batch:
        """Begin to cancel; what was begun may still be answered and billed."""
        ...

    def results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        """What became of each request, in any order, while it is downloaded. Close it
        with `contextlib.aclosing`; a download that broke off begins anew.
        """
        ...

    async def delete(self, batch_id: str) -> None:
        """Remove an ended batch with its results, for good."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


async def all_pages(client: BatchClient, *, limit: int = 100) -> AsyncIterator[BatchPage]:
    """Every page of the list, newest first; each is asked for when it is wanted."""
    page = await client.page(limit=limit)
    yield page
    asked = set[str]()
    # A gateway that does not know `after_id` shows the same page for ever.
    while page.has_more and page.last_id is not None and page.last_id not in asked:
        asked.add(page.last_id)
        page = await client.page(limit=limit, after_id=page.last_id)
        yield page
