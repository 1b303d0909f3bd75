"""What the rows of an estimate save by the API's prompt cache."""

from __future__ import annotations

from claudebatch.core.domain import Pico
from claudebatch.core.reports import PromptCacheUse
from claudebatch.estimate.request_shape import PlannedRow
from claudebatch.estimate.row_costs import CostedRow


class CacheSums:
    """Adds up rows; those of which nothing is kept count nothing."""

    def __init__(self) -> None:
        # Mutable, changed by `add` only.
        self._rows = 0
        self._written = self._read = 0.0
        self._expected: Pico = 0
        self._without: Pico = 0
        self._unread: Pico = 0
        self._batch = [0, 0, 0, 0]  # rows, most, fewest, unmarked

    def add(self, row: PlannedRow, found: CostedRow) -> None:
        """Add the next row that has a price."""
        share, live, uncached = row.share, found.live, found.uncached
        if share is None or live is None or uncached is None:
            return
        tokens = found.expected.usage.total_input
        self._rows += 1
        # As fractions: of a thousand rows each writes a thousandth.
        self._written += tokens * (share.minutes + share.hour)
        self._read += tokens * share.read
        self._expected += live.expected
        self._without += uncached.expected
        self._unread += found.unread

    def add_in_batch(self, found: CostedRow) -> None:
        """Add the next row that goes by batch."""
        if found.in_batch is not None:
            for place, amount in enumerate((1, *found.in_batch)):
                self._batch[place] += amount

    def use(self, beginnings: int) -> PromptCacheUse | None:
        """All of it, where so many *beginnings* are kept; None where none is."""
        batch_rows, most, fewest, unmarked = self._batch
        if not (self._rows or batch_rows):
            return None
        return PromptCacheUse(
            beginnings,
            self._rows,
            written_tokens=round(self._written),
            read_tokens=round(self._read),
            expected=self._expected,
            without=self._without,
            unread=self._unread,
            batch_rows=batch_rows,
            batch_most=most,
            batch_fewest=fewest,
            batch_without=unmarked,
        )
