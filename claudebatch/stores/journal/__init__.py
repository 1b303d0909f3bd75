"""The run's journal: written before anything is sent and before anything is shown."""

from claudebatch.stores.journal.journal import Journal
from claudebatch.stores.journal.queries import Totals
from claudebatch.stores.journal.rows import (
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
from claudebatch.stores.journal.schema import State, open_journal

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
