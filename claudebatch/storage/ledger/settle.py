"""Dead runs: the money that they held becomes spend, as their journals say."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal, TypeAlias

from claudebatch.core.errors import StorageError
from claudebatch.storage.journal.batches import give_up_on_batches, undo_building
from claudebatch.storage.journal.queries import decide_unknown, give_up_on_sent
from claudebatch.storage.journal.rescue import absorb
from claudebatch.storage.ledger.rebuild import rebuild
from claudebatch.storage.ledger.schema import open_ledger
from claudebatch.storage.ledger.tables import DROP_HOLDS
from claudebatch.storage.run_folder import RunFolder

SettleVerdict: TypeAlias = Literal["billed", "free"]
"""The user's decision about attempts of unknown outcome."""

# The journal is gone, so the worst is assumed: a cap must never count too little.
_HELD_BECOMES_UNKNOWN = (
    "INSERT INTO spend (run, day, model, rule, unknown) SELECT run, day, '', '', amount FROM holds"
    " WHERE run = ? AND amount > 0 ON CONFLICT DO UPDATE SET unknown = unknown + excluded.unknown"
)
_DECIDE_ATTEMPTS = "UPDATE attempts SET cost = worst * ?, state = 5 WHERE run = ? AND state = 3"
_DECIDE_SUMS = (
    "UPDATE spend SET spent = spent + unknown * ?, unknown = 0, unknown_attempts = 0 WHERE run = ?"
)


def settle_dead(
    ledger: sqlite3.Connection, run: str, *, verdict: SettleVerdict | None = None
) -> bool:
    """Bring *run* in *ledger* to what its journal says and hold nothing for it; False
    while the run is alive.

    Attempts that were never sent are free again; those without an outcome are unknown,
    or as *verdict* says, which its journal notes first. Without its journal, all that
    it held counts as unknown. Must not be called inside a transaction of *ledger*.
    Raises `StorageError`.
    """
    folder = _folder(ledger, run)
    found = RunFolder.take(folder) if folder is not None else None
    if found == "alive":
        return False
    if found is None:
        without_journal(ledger, run, verdict)
        return True
    try:
        # The folder belongs to a newer run: its journal says nothing about this one.
        if found.meta("run_id") != run:
            without_journal(ledger, run, verdict)
            return True
        settle_taken(ledger, run, found, verdict=verdict)
    finally:
        found.close()
    return True


def settle_for_others(ledger: sqlite3.Connection, run: str) -> None:
    """As `settle_dead`, for another run that needs the money: an unusable journal must
    not stop it.

    All that such a run held counts as unknown, until its journal is mended and it is
    settled or resumed.
    """
    try:
        settle_dead(ledger, run)
    except (StorageError, sqlite3.Error):
        without_journal(ledger, run, None)


def settle_taken(
    ledger: sqlite3.Connection, run: str, folder: RunFolder, *, verdict: SettleVerdict | None = None
) -> None:
    """As `settle_dead`, of a *run* whose *folder* is open already."""
    # Before attempts are given up: a rescued answer would otherwise count as unknown.
    absorb(folder.path, run, folder.journal)
    give_up_on_sent(folder.journal)
    undo_building(folder.journal)
    if verdict is not None:
        decide_unknown(folder.journal, billed=verdict == "billed")
    rebuild(ledger, run, folder.journal, rehearsal=bool(folder.meta("simulated")))


def settle_replaced(path: Path, folder: RunFolder) -> None:
    """Before the run in *folder* is started over: settle the old one in the ledger at
    *path*, as far as that goes.

    Afterwards nothing could say which attempts were never sent. Raises nothing: a
    damaged run must not stand in the way.
    """
    with suppress(StorageError, sqlite3.Error):
        old = folder.predecessor()
        if old is None:
            return
        with closing(old.journal), closing(open_ledger(path)) as ledger:
            run = old.meta("run_id")
            if ledger.execute("SELECT 1 FROM runs WHERE run = ?", (run,)).fetchone():
                # Nobody will collect them: they count as maybe billed.
                give_up_on_batches(old.journal)
                settle_taken(ledger, run, old)


def _folder(ledger: sqlite3.Connection, run: str) -> Path | None:
    found = ledger.execute("SELECT folder FROM runs WHERE run = ?", (run,)).fetchone()
    return Path(found[0]) if found and found[0] else None


def without_journal(ledger: sqlite3.Connection, run: str, verdict: SettleVerdict | None) -> None:
    """Settle a run that has no journal any more: all that it held is unknown, or as
    *verdict* says.
    """
    ledger.execute("BEGIN IMMEDIATE")
    try:
        ledger.execute(_HELD_BECOMES_UNKNOWN, (run,))
        ledger.execute(DROP_HOLDS, (run,))
        if verdict is not None:
            ledger.execute(_DECIDE_ATTEMPTS, (verdict == "billed", run))
            ledger.execute(_DECIDE_SUMS, (verdict == "billed", run))
        ledger.execute("COMMIT")
    except BaseException:
        if ledger.in_transaction:
            ledger.execute("ROLLBACK")
        raise
