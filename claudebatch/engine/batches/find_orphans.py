"""Looks through the account's batches for those whose making was not answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from claudebatch.clients.batch_protocol import MOST_LISTED, BatchClient, all_pages
from claudebatch.clients.batch_records import Batch
from claudebatch.engine.batches.orphans import candidates, given_up, too_old
from claudebatch.engine.batches.parts import BatchParts
from claudebatch.storage.journal.batches import BatchRow, foreign_batches


class OrphanFinder:
    """One for a session; lists may lag, so it is asked several times."""

    def __init__(self, parts: BatchParts, *, since_ms: int) -> None:
        """*since_ms*: when this session began to look."""
        self._parts = parts
        self._since_ms = since_ms

    async def look(
        self, client: BatchClient, rows: Sequence[BatchRow], *, taken: Collection[str]
    ) -> Mapping[int, Batch]:
        """The batch that may be that of each of *rows*, by its number; ids that are
        *taken*, or known to belong to others, are none.
        """
        listed, skew_s = await self._listed(client, rows)
        known = {*taken, *await self._parts.journal.read(foreign_batches)}
        known |= self._parts.known_elsewhere()
        found: dict[int, Batch] = {}
        for row in rows:
            fitting = candidates(row, listed, taken=known, skew_s=skew_s)
            # One at a time: where its results prove another's, the next one is tried.
            if fitting:
                found[row.batch] = fitting[0]
                known.add(fitting[0].id)
        return found

    def given_up(self, row: BatchRow) -> bool:
        """Whether *row*, of which no list tells, was never made."""
        return given_up(row, self._parts.wall_ms(), looked_since_ms=self._since_ms)

    async def _listed(
        self, client: BatchClient, rows: Sequence[BatchRow]
    ) -> tuple[list[Batch], float]:
        oldest = min(rows, key=lambda row: row.intent_ms)
        listed: list[Batch] = []
        skew_s = 0.0
        async for page in all_pages(client, limit=MOST_LISTED):
            # `created_at` is the server's time, the intent is of ours.
            if page.server_time is not None:
                skew_s = page.server_time.timestamp() - self._parts.wall_ms() / 1000
            listed += page.batches
            if page.batches and too_old(oldest, page.batches[-1], skew_s=skew_s):
                break
        return listed, skew_s
