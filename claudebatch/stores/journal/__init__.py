"""The run's journal: written before anything is sent and before anything is shown."""

from claudebatch.stores.journal.journal import Journal, Totals
from claudebatch.stores.journal.rows import IndexReport, RowRecord, RowRef, Twin, index_rows, pending_rows
from claudebatch.stores.journal.schema import State, open_journal

__all__ = [
    "IndexReport",
    "Journal",
    "RowRecord",
    "RowRef",
    "State",
    "Totals",
    "Twin",
    "index_rows",
    "open_journal",
    "pending_rows",
]
