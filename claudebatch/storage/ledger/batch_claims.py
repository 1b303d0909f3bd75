"""Whose a batch is that the user names: it becomes the batch of one run, for good."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from claudebatch.core.errors import StorageError
from claudebatch.storage.journal.batches import nonce_of
from claudebatch.storage.journal.replacement import JOURNAL
from claudebatch.storage.ledger.known_batches import NOT_KNOWN
from claudebatch.storage.ledger.schema import open_ledger

_CLAIM = "INSERT OR IGNORE INTO batches (id, run, batch, requests) VALUES (?, ?, ?, 0)"
_LOOKED_FOR = (
    "SELECT b.run, b.batch, r.folder FROM batches b JOIN runs r ON r.run = b.run"
    " WHERE b.id LIKE ? || '%' AND b.run <> ?"
)


def claim_batch(ledger: Path, run: str, id: str, number: int, nonces: Collection[str]) -> str:
    """Note that the batch *id*, whose results bear *nonces*, is that of *run*, under
    *number*; returns the run that it is of already, empty where it is none. Nothing is
    noted where no ledger can be read.
    """
    try:
        with closing(open_ledger(ledger)) as connection:
            # Before the claim: who looks for this batch would take it for another's,
            # and send its rows again.
            owner = _who_looks_for(connection, run, nonces)
            if owner:
                return owner
            connection.execute(_CLAIM, (id, run, number))
            found = connection.execute("SELECT run FROM batches WHERE id = ?", (id,)).fetchone()
    except (sqlite3.Error, StorageError):
        return ""
    return "" if found[0] == run else str(found[0])


def _who_looks_for(ledger: sqlite3.Connection, run: str, nonces: Collection[str]) -> str:
    for other, batch, folder in ledger.execute(_LOOKED_FOR, (NOT_KNOWN, run)):
        if folder and nonce_of(Path(folder) / JOURNAL, batch) in nonces:
            return str(other)
    return ""
