"""How much room the account's queue of batches has, beside what others have in it: runs
of this machine, and whatever else the account's list shows.

Of a full queue the API tells only once a batch has been sent up whole, which may be 200
megabytes, again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from claudebatch.clients.batch_protocol import MOST_LISTED, BatchClient, all_pages
from claudebatch.core.errors import AttemptError
from claudebatch.engine.batches.parts import BatchParts
from claudebatch.storage.journal.batches import BatchRow

# Seldom enough to be no load on the pace, and others' batches take minutes at least.
_LOOK_S = 60.0
# Older ones have ended or expired: what is behind them does not wait.
_LIVES = timedelta(hours=25)
_MOST_PAGES = 10
# The newest: by them the workspace is known again.
_SOME = 5


class QueueRoom:
    """Requests that may still be put into the queue."""

    def __init__(self, parts: BatchParts) -> None:
        self._parts = parts
        # Mutable, changed by `look` only: what the list has shown, by id, and when.
        self._listed: dict[str, int] = {}
        self._looked = float("-inf")
        self.others = 0
        """Requests that others have in it, as far as is known."""
        # And how far its clock was ahead of the one of ours that nobody sets.
        self._server_ahead_ms: float | None = None
        self.seen: Sequence[str] | None = None
        """Some of the ids that the last list showed; None: there was none."""

    async def look(self, client: BatchClient, own: list[BatchRow]) -> int:
        """How many requests there is room for; *own*: the batches of this run that are
        with the API.
        """
        if self._parts.now() - self._looked >= _LOOK_S:
            self._looked = self._parts.now()
            await self._look_at_list(client)
        # The ledger first: of what the list shows, that has ended as well, it knows.
        elsewhere = await self._parts.journal.read(lambda _: self._parts.queue.elsewhere())
        known = {**elsewhere, **self._listed}
        for row in own:
            known.pop(row.id or "", None)
        self.others = sum(known.values())
        queued = sum(row.requests for row in own)
        room = self._parts.queue.most_own - queued
        if self.others > self._parts.queue.most:
            # More than the tier was taken to allow: it allows more, and the API says
            # when that is used up.
            return room
        return min(room, self._parts.queue.most - queued - self.others)

    @property
    def skew_ms(self) -> int | None:
        """By how much the server's clock is ahead of ours now; None: not known."""
        if self._server_ahead_ms is None:
            return None
        # Ours may have been set since the list was read. After a sleep this is too
        # little: then older batches are looked at as well, and none is overlooked.
        server_ms = self._server_ahead_ms + self._parts.now() * 1000
        return round(server_ms - self._parts.wall_ms())

    def made(self, id: str) -> None:
        """The account has a new batch: that of this answer to a create."""
        self.seen = (id, *(self.seen or ()))[:_SOME]

    async def _look_at_list(self, client: BatchClient) -> None:
        listed: dict[str, int] = {}
        pages = 0
        earliest = self._parts.wall() - _LIVES
        try:
            async for page in all_pages(client, limit=MOST_LISTED):
                pages += 1
                if page.server_time is not None:
                    server_ms = page.server_time.timestamp() * 1000
                    self._server_ahead_ms = server_ms - self._parts.now() * 1000
                for batch in page.batches:
                    listed[batch.id] = 0 if batch.ended else batch.counts.processing
                if not page.batches or page.batches[-1].created_at < earliest:
                    break
                if pages >= _MOST_PAGES:
                    break
        except AttemptError:
            # What was known before, and the ledger, have to do.
            return
        self._listed = listed
        self.seen = tuple(listed)[:_SOME]
