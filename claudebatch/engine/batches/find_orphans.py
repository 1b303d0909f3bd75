"""Looks through the account's batches for those whose making was not answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from claudebatch.clients.batch_protocol import MOST_LISTED, BatchClient, all_pages
from claudebatch.clients.batch_records import Batch
from claudebatch.core.errors import BatchNotFound
from claudebatch.engine.batches.orphans import KEPT_S, candidates, given_up, too_old
from claudebatch.engine.batches.parts import BatchParts
from claudebatch.storage.journal.batch_places import BatchPlace
from claudebatch.storage.journal.batches import BatchRow, foreign_batches


class OrphanFinder:
    """One for a session; lists may lag, so it is asked several times."""

    def __init__(self, parts: BatchParts) -> None:
        self._parts = parts
        # Mutable, by batch: since when it is looked for, on the clock that stands still
        # while the machine sleeps; and those that a candidate of another one may be.
        # And what the last list has shown, and by how much its server's clock was ahead
        # of ours.
        self._since: dict[int, float] = {}
        self._may_be: set[int] = set()
        self._last: list[Batch] = []
        self._ahead_s = 0.0

    async def look(
        self,
        client: BatchClient,
        rows: Sequence[BatchRow],
        *,
        places: Mapping[int, BatchPlace],
        taken: Collection[str],
        unproved: Collection[str],
    ) -> Mapping[int, Batch]:
        """The batch that may be that of each of *rows*, by its number; *places*: where
        they were built. Ids that are *taken*, or known to belong to others, are none.
        *unproved* are candidates of other batches of this run, whose results will tell.
        """
        listed, skews = await self._listed(client, rows, places)
        self._last = listed
        # Not from a question that nobody answered: a list must have been there to lag.
        for row in rows:
            self._since.setdefault(row.batch, self._parts.now())
        known = {*taken, *await self._parts.journal.read(foreign_batches)}
        known |= self._parts.known_elsewhere()
        found: dict[int, Batch] = {}
        given = set(unproved)
        for row in rows:
            skew_s = skews[row.batch]
            fitting = candidates(row, listed, taken=known | given, skew_s=skew_s)
            # One at a time: where its results prove another's, the next one is tried.
            if fitting:
                found[row.batch] = fitting[0]
                given.add(fitting[0].id)
        # Of two batches of one size the list may show one, and it goes to the older
        # intent: until its results tell, it may be that of the other as well.
        self._may_be = {
            row.batch
            for row in rows
            if row.batch not in found
            and candidates(row, listed, taken=known, skew_s=skews[row.batch])
        }
        return found

    def given_up(self, row: BatchRow) -> bool:
        """Whether *row*, of which no list tells, was never made."""
        looked_for_s = self._parts.now() - self._since[row.batch]
        return row.batch not in self._may_be and given_up(looked_for_s)

    async def shows_where_it_was_asked_for(
        self,
        client: BatchClient,
        place: BatchPlace | None,
        *,
        intent: BatchRow,
        ours: Collection[str],
    ) -> bool:
        """Whether the list is that of the workspace in which *intent* was sent: keys of
        other ones have lists of their own. Raises what the client raises.
        """
        shown = {batch.id for batch in self._last}
        if place is None or place.seen is None:
            # No list was seen then: one with a batch of this machine will have to do.
            return bool(shown & {*ours, *self._parts.known_elsewhere()})
        if not place.seen:
            # It was empty then, so nothing in it can be older than the intent.
            skew_s = _skew_s(place, 0.0)
            return not any(too_old(intent, batch, skew_s=skew_s) for batch in self._last)
        if shown & set(place.seen):
            return True
        for name in place.seen:
            # Further down the list than it was read, perhaps.
            with suppress(BatchNotFound):
                await client.retrieve(name)
                return True
        return False

    def is_too_old(self, intent: BatchRow, place: BatchPlace | None) -> bool:
        """Whether what *intent* may have made has no results any more."""
        # By the server's clock at both ends: ours may be a month ahead.
        made_s = intent.intent_ms / 1000 + _skew_s(place, self._ahead_s)
        return self._parts.wall_ms() / 1000 + self._ahead_s > made_s + KEPT_S

    def begin_anew(self, row: BatchRow) -> None:
        """The candidate of *row* was none: lists have all their time again."""
        self._since.pop(row.batch, None)

    async def _listed(
        self, client: BatchClient, rows: Sequence[BatchRow], places: Mapping[int, BatchPlace]
    ) -> tuple[list[Batch], dict[int, float]]:
        """What the list shows, and the skew of the clock that each intent was noted
        by.
        """
        listed: list[Batch] = []
        skew_s = self._ahead_s
        skews: dict[int, float] = {}
        async for page in all_pages(client, limit=MOST_LISTED):
            # `created_at` is the server's time, the intent is of ours.
            if page.server_time is not None:
                skew_s = page.server_time.timestamp() - self._parts.wall_ms() / 1000
                self._ahead_s = skew_s
            skews = {row.batch: _skew_s(places.get(row.batch), skew_s) for row in rows}
            listed += page.batches
            if page.batches and all(
                too_old(row, page.batches[-1], skew_s=skews[row.batch]) for row in rows
            ):
                break
        return listed, skews


def _skew_s(place: BatchPlace | None, now_s: float) -> float:
    # As it was when the batch was built: a clock that was wrong then, and has been set
    # since, would make a batch of ours too old to be ours, and its rows be paid twice.
    return now_s if place is None or place.skew_ms is None else place.skew_ms / 1000
