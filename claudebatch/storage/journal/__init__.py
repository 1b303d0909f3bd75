"""The run's journal: written before anything is sent and before anything is shown."""

from claudebatch.storage.journal.journal import Journal
from claudebatch.storage.journal.queries import Totals
from claudebatch.storage.journal.row_index import index_rows
from claudebatch.storage.journal.row_records import (
    NUMBER_ID,
    DuplicateId,
    IndexReport,
    RowChoice,
    RowFilter,
    RowKey,
    RowRecord,
    RowRef,
)
from claudebatch.storage.journal.rows import order_pending, pending_keys, pending_rows
from claudebatch.storage.journal.schema import AttemptState, open_journal

__all__ = [
    "NUMBER_ID",
    "AttemptState",
    "DuplicateId",
    "IndexReport",
    "Journal",
    "RowChoice",
    "RowFilter",
    "RowKey",
    "RowRecord",
    "RowRef",
    "Totals",
    "index_rows",
    "open_journal",
    "order_pending",
    "pending_keys",
    "pending_rows",
]
