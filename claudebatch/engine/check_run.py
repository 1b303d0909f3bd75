"""Check and repair of a run: its journal, its results file, and its part of the spend
ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from claudebatch.core.errors import ClaudebatchError, LockedError, StorageError
from claudebatch.layers.response_cache.blocking import blocking_look_up
from claudebatch.outputs.rebuild_results import rebuild_taken
from claudebatch.outputs.run_table import RunTable
from claudebatch.setup.stores import existing_cache
from claudebatch.storage.journal.audit import JournalAudit, any_text, audit
from claudebatch.storage.journal.copies import FoundCopies
from claudebatch.storage.journal.queries import result_lines
from claudebatch.storage.journal.repair import RepairReport, restore
from claudebatch.storage.ledger import open_ledger
from claudebatch.storage.ledger.rebuild import agrees, rebuild
from claudebatch.storage.ledger.schema import not_reported
from claudebatch.storage.results_file import check_place, difference
from claudebatch.storage.run_folder import RunFolder

# A run that died is not damaged: its ledger is behind until the run is resumed or
# settled.
_SENT = "SELECT EXISTS (SELECT 1 FROM attempts WHERE state = 0)"
_ENDED = (
    "SELECT ended IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.run = r.run AND h.amount > 0)"
    " FROM runs r WHERE run = ?"
)


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """The result of checking one run."""

    run: str
    folder: Path
    output: Path | None
    audit: JournalAudit
    results: str | None
    """The difference of the results file from the journal; None: there is none, or the
    two need not agree.
    """
    ledger_agrees: bool
    """True as well where the ledger need not agree: it does not know the run, or the
    run is not settled.
    """
    restored: RepairReport | None = None
    """The outcome of the repair, if there was one."""

    @property
    def sound(self) -> bool:
        """Whether everything is as it was written."""
        return self.audit.sound and self.results is None and self.ledger_agrees


class RunPlaces(NamedTuple):
    """The places of copies of a journal's content."""

    ledger: Path
    cache: Path
    """The folder of the response cache."""
    waits: Callable[[], object] = not_reported
    """Called when another program keeps the ledger locked."""


def check_run(folder: Path, output: Path | None, places: Callable[[bool], RunPlaces]) -> CheckedRun:
    """Look through the run in *folder*, whose results are *output*; changes nothing.

    *places* gets whether the run is a rehearsal. Raises `LockedError` while the run
    goes on, `StorageError` where its journal cannot be opened at all.
    """
    with _taken(folder) as run, _ledger(places(_rehearsal(run))) as ledger:
        return _look(run, output, ledger)


def repair_run(
    folder: Path, output: Path | None, places: Callable[[bool], RunPlaces]
) -> CheckedRun:
    """As `check_run`, and mend the damage; returns the state from before the repair.

    Raises `StorageError` where SQLite itself finds the file broken: nothing that is in
    it can be relied on then.
    """
    if output is not None:
        check_place(output)
    with _taken(folder) as run:
        place = places(_rehearsal(run))
        with _ledger(place) as ledger:
            found = _look(run, output, ledger)
            if found.audit.structure is not None:
                # A repair writes into the file: in a broken one it could destroy more
                # than it mends.
                raise _beyond_repair(folder, found.audit.structure)
            return found if found.sound else _mended(run, found, output, ledger, place.cache)


def _mended(
    run: RunFolder,
    found: CheckedRun,
    output: Path | None,
    ledger: sqlite3.Connection | None,
    cache: Path,
) -> CheckedRun:
    with any_text(run.journal), blocking_look_up(existing_cache(cache)) as look_up:
        copies = FoundCopies(
            run.journal,
            found.audit,
            # Lines of a table are no copies.
            output=None if output and RunTable.noted(run, output) else output,
            look_up=look_up,
            ledger=ledger,
            run=found.run,
        )
    restored = restore(run.journal, found.audit, copies)
    # The next session looks at its input anew: the index of rows has no checksums.
    run.note(input="")
    # The order of trust: results and ledger are derived from the journal, so it is
    # mended first.
    if output is not None and not run.meta("set_aside"):
        rebuild_taken(run, output)
    if ledger is not None and _settled(ledger, run, found.run):
        rebuild(ledger, found.run, run.journal, rehearsal=_rehearsal(run), anew=True)
    return replace(found, restored=restored)


@contextmanager
def _taken(folder: Path) -> Iterator[RunFolder]:
    run = RunFolder.take(folder)
    if run is None:
        raise ClaudebatchError(
            "E600",
            f"{folder} contains no run",
            fix="name a results file, or see `claudebatch runs list`",
        )
    if run == "alive":
        raise LockedError(
            "E601",
            f"{folder}: the run is still going on",
            fix="wait for it or stop it, then try again",
        )
    with closing(run):
        yield run


@contextmanager
def _ledger(place: RunPlaces) -> Iterator[sqlite3.Connection | None]:
    if not place.ledger.exists():
        yield None
        return
    with closing(open_ledger(place.ledger, waits=place.waits)) as ledger:
        yield ledger


def _rehearsal(run: RunFolder) -> bool:
    return bool(run.meta("simulated"))


def _look(run: RunFolder, output: Path | None, ledger: sqlite3.Connection | None) -> CheckedRun:
    found = audit(run.journal)
    name = run.meta("run_id") if found.structure is None else run.path.name
    results = None
    agree = True
    # Results and ledger are compared with a sound journal only: with a damaged one they
    # would only seem wrong.
    if found.sound:
        results = _difference(run, output)
        if ledger is not None and _settled(ledger, run, name):
            agree = agrees(ledger, name, run.journal, rehearsal=_rehearsal(run))
    return CheckedRun(
        run=name,
        folder=run.path,
        output=output,
        audit=found,
        results=results,
        ledger_agrees=agree,
    )


def _difference(run: RunFolder, output: Path | None) -> str | None:
    if output is None or run.meta("stale") or run.meta("set_aside"):
        return None  # its next session writes it anew
    table = RunTable.noted(run, output)
    if table is not None:
        return table.difference()
    return difference(output, result_lines(run.journal, ordered=bool(run.meta("ordered"))))


def _settled(ledger: sqlite3.Connection, run: RunFolder, name: str) -> bool:
    """Whether the ledger has all of the run: not if it died, until it is resumed or
    settled.
    """
    (sent,) = run.journal.execute(_SENT).fetchone()
    known = ledger.execute(_ENDED, (name,)).fetchone()
    return not sent and known is not None and bool(known[0])


def _beyond_repair(folder: Path, why: str) -> StorageError:
    return StorageError(
        "E602",
        f"{folder}: SQLite cannot read the journal any more: {why}",
        fix="restore the folder from a copy, or start over with --fresh: answers in the response "
        "cache cost nothing",
    )
