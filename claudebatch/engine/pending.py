"""Rows of a lane that still need an answer, a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from claudebatch.setup.run_options import RunOptions
from claudebatch.storage.journal import (
    Journal,
    RowFilter,
    RowKey,
    RowRef,
    order_pending,
    pending_keys,
    pending_rows,
)
from claudebatch.storage.journal.row_records import Road

# The number before that of the first row.
_BEFORE_ALL = -1


def wanted_rows(options: RunOptions) -> RowFilter:
    """The rows that *options* ask for."""
    return RowFilter(
        options.limit,
        options.retry_failed,
        options.retry_cut,
        left_out=options.unknown == "skip",
    )


@dataclass(slots=True)
class RowOrder:
    """The order in which the rows of a session are taken."""

    # Mutable: set once, before the first row is taken.
    by_beginning: bool = False
    """Whether rows that share a beginning follow each other; else as in the input."""


class PendingRows:
    """Asks the journal, between two groups of its writes."""

    def __init__(self, journal: Journal, wanted: RowFilter, order: RowOrder | None = None) -> None:
        self._journal = journal
        self._wanted = wanted
        self._order = order or RowOrder()

    def by(self, road: Road) -> PendingRows:
        """Those of them that go by *road*."""
        return PendingRows(self._journal, self._wanted._replace(road=road), self._order)

    async def put_together(self) -> None:
        """From now on, have rows that share a beginning follow each other, once the
        journal has their groups.
        """
        self._order.by_beginning = await self._journal.read(
            lambda connection: order_pending(connection, self._wanted)
        )

    async def refs(self, lane: str, after: int, count: int) -> list[RowRef]:
        """The next *count* rows of *lane* after row number *after*, as the feed reads
        them.
        """
        # A batch has no order, and its rows are read as they lie in the input.
        in_order = self._order.by_beginning and self._wanted.road != "batch"
        return await self._journal.read(
            lambda connection: pending_rows(
                connection, self._wanted, lane, after, count, in_order=in_order
            )
        )

    async def any(self, lanes: Iterable[str]) -> bool:
        """Whether any row of *lanes* still needs an answer."""
        for lane in lanes:
            if await self.refs(lane, _BEFORE_ALL, 1):
                return True
        return False

    async def keys(self, lane: str, after: int, count: int) -> list[RowKey]:
        """The same rows by their cache keys."""
        return await self._journal.read(
            lambda connection: pending_keys(connection, self._wanted, lane, after, count)
        )
