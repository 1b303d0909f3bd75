"""Forgetting a run: its folder with the answers in it, and its single requests in the
ledger.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from claudebatch.core.errors import StorageError
from claudebatch.storage.journal.batches import open_batches, waiting
from claudebatch.storage.ledger.settle import settle_taken, without_journal
from claudebatch.storage.run_folder import SUFFIX, RunFolder


def purge(ledger: sqlite3.Connection, run: str, folder: str, *, places: Path, forget: bool) -> bool:
    """Remove *run*'s *folder* and its requests from *ledger*; False, and nothing is
    touched, while the run is alive.

    Its sums are brought to what its journal says, and stay, because caps and reports
    count on them, unless *forget*. Only a run's folder is removed (beside its results,
    or in *places*), and in it only our own files; never results. Raises `StorageError`
    for a run whose batches are with the API: only its journal can collect them.
    """
    found = RunFolder.take(_ours(Path(folder), places)) if folder else None
    if found == "alive":
        return False
    if found is not None and found.meta("run_id") == run:
        try:
            _require_collected(found)
            # First, while the journal can still say what was spent: afterwards it is
            # gone.
            settle_taken(ledger, run, found)
        except BaseException:
            found.close()
            raise
        found.erase()
    else:
        if found is not None:  # another run has taken its place
            found.close()
        without_journal(ledger, run, None)
    # Last: a purge that was interrupted before can be repeated.
    _forget(ledger, run, sums=forget)
    return True


def _require_collected(folder: RunFolder) -> None:
    batches = [] if folder.meta("simulated") else open_batches(folder.journal)
    if batches:
        raise StorageError(
            "E791",
            f"{folder.path}: {waiting(batches)}; purged, their answers would be lost, and their "
            f"money",
            fix="run the same command again to collect them, or cancel them first "
            "(`claudebatch batches`)",
        )


def _ours(folder: Path, places: Path) -> Path:
    # The path comes from a file that another program may have changed: never delete
    # whatever it names.
    if folder.name.endswith(SUFFIX) or folder.parent == places:
        return folder
    raise StorageError(
        "E620",
        f"{folder}: the spend ledger calls this a run's folder, which it is not; nothing was "
        f"removed",
        fix="remove it yourself if it is one",
    )


def _forget(ledger: sqlite3.Connection, run: str, *, sums: bool) -> None:
    # Without these the ids would stay readable in the free pages of the file and in its
    # rollback journal.
    ledger.execute("PRAGMA secure_delete = ON")
    ledger.execute("PRAGMA journal_size_limit = 0")
    ledger.execute("BEGIN IMMEDIATE")
    try:
        ledger.execute("DELETE FROM attempts WHERE run = ?", (run,))
        ledger.execute(
            "UPDATE runs SET folder = '', ended = coalesce(ended, started) WHERE run = ?", (run,)
        )
        if sums:
            ledger.execute("DELETE FROM spend WHERE run = ?", (run,))
            ledger.execute("DELETE FROM runs WHERE run = ?", (run,))
        ledger.execute("COMMIT")
    except BaseException:
        if ledger.in_transaction:
            ledger.execute("ROLLBACK")
        raise
