"""The run's journal: written before anything is sent and before anything is shown."""

from claudebatch.storage.journal.journal import Journal
from claudebatch.storage.journal.queries import Totals
from claudebatch.storage.journal.rows import (
    IndexReport,
    RowKey,
    RowRecord,
    RowRef,
    Twin,
    Wanted,
    index_rows,
    pending_keys,
    pending_rows,
)
from claudebatch.storage.journal.schema import State, open_journal

__all__ = [
    "IndexReport",
    "Journal",
    "RowKey",
    "RowRecord",
    "RowRef",
    "State",
    "Totals",
    "Twin",
    "Wanted",
    "index_rows",
    "open_journal",
    "pending_keys",
    "pending_rows",
]
