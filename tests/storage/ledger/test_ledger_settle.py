"""Dead runs: what they set aside becomes what they spent, as their journals tell it, or
counts as unknown for good.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from claudebatch.core.errors import StorageError
from claudebatch.storage.journal.schema import VERSION, AttemptState
from claudebatch.storage.journal.statements import write_intents, write_outcomes
from claudebatch.storage.ledger import LedgerWriter, RunEntry, SpendReader, open_ledger, settle_dead
from claudebatch.storage.ledger.purge import purge
from claudebatch.storage.ledger.settle import settle_for_others
from claudebatch.storage.run_folder import RunFolder
from tests.support.journals import intent, outcome

STARTED = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Dead:
    """A run that died: three requests sent, one answered, one refused, one never heard
    of; a fourth only held for.
    """

    def __init__(self, root: Path, run: str = "run-1") -> None:
        self.path = root / "state" / "spend.sqlite"
        self.folder = root / "out.jsonl.claudebatch"
        self.run = run
        self.live = RunFolder.open(self.folder, started=STARTED, fresh=False)
        self.live.note(run_id=run, simulated=False)
        writer = LedgerWriter.open(
            self.path, RunEntry(run, "out.jsonl", STARTED.isoformat(), folder=str(self.folder))
        )
        writer.apply([intent(number) for number in (1, 2, 3, 4)], [])
        write_intents(self.live.journal, [intent(number) for number in (1, 2, 3)])
        write_outcomes(self.live.journal, [outcome(1, cost=7), outcome(2, AttemptState.FAILED)])
        self.writer = writer

    def die(self) -> None:
        """Let go of the lock as a death does, and write nothing."""
        self.writer._connection.close()
        self.live.close()

    def settle(self, verdict=None) -> bool:
        ledger = open_ledger(self.path)
        try:
            return settle_dead(ledger, self.run, verdict=verdict)
        finally:
            ledger.close()

    def purge(self, *, forget: bool = False, places: Path | None = None) -> bool:
        ledger = open_ledger(self.path)
        (folder,) = ledger.execute("SELECT folder FROM runs WHERE run = ?", (self.run,)).fetchone()
        try:
            return purge(
                ledger, self.run, folder, places=places or self.path.parent / "runs", forget=forget
            )
        finally:
            ledger.close()

    def money(self) -> tuple[int, int, int]:
        """Spent, unknown, held."""
        lines = SpendReader(self.path).by("run", run=self.run)
        return tuple(
            sum(getattr(line, name) for line in lines) for name in ("spent", "unknown", "held")
        )  # type: ignore[return-value]


@pytest.fixture
def run(tmp_path: Path) -> Dead:
    return Dead(tmp_path)


def test_a_live_run_is_left_alone(run: Dead):
    before = run.money()
    assert not run.settle() and not run.settle("free") and not run.purge()
    assert run.money() == before and before[2] >= 400
    assert run.folder.exists()
    run.die()


def test_what_was_never_sent_is_free_again_and_what_has_no_outcome_is_unknown(run: Dead):
    run.die()
    assert run.settle()
    assert run.money() == (7, 100, 0)
    assert run.settle() and run.money() == (7, 100, 0), "again changes nothing"


@pytest.mark.parametrize(("verdict", "spent"), [("billed", 107), ("free", 7)])
def test_a_verdict_is_in_the_journal_and_the_ledger(run: Dead, verdict, spent):
    run.die()
    assert run.settle(verdict)
    assert run.money() == (spent, 0, 0)
    again = RunFolder.open(run.folder, started=STARTED, fresh=False)
    states = again.journal.execute("SELECT state, cost FROM attempts ORDER BY attempt").fetchall()
    again.close()
    assert states == [
        (AttemptState.ANSWERED, 7),
        (AttemptState.FAILED, 0),
        (AttemptState.SETTLED, spent - 7),
    ]


def test_a_verdict_whose_ledger_could_not_be_written_is_not_lost(run: Dead):
    run.die()
    ledger = open_ledger(run.path)
    ledger.execute(
        "CREATE TRIGGER t BEFORE INSERT ON attempts BEGIN SELECT raise(ABORT, 'disk'); END"
    )
    with pytest.raises(sqlite3.Error):
        settle_dead(ledger, run.run, verdict="free")
    assert run.money()[2] >= 400, "until then it counts too much"
    ledger.execute("DROP TRIGGER t")
    assert settle_dead(ledger, run.run)
    ledger.close()
    assert run.money() == (7, 0, 0)


def test_without_its_journal_all_that_was_held_counts_as_unknown_for_good(run: Dead):
    run.die()
    held = run.money()[2]
    for entry in run.folder.iterdir():
        entry.unlink()
    assert run.settle()
    assert run.money() == (0, held, 0)
    assert run.settle("free") and run.money() == (0, 0, 0), "but for the user's word"


def test_a_folder_that_another_run_has_taken_over_says_nothing_of_the_first(run: Dead):
    run.live.note(run_id="run-2")
    run.die()
    held = run.money()[2]
    assert run.settle()
    assert run.money() == (0, held, 0)
    assert run.purge() and run.folder.exists(), "nor is it removed with the first"


def test_a_journal_that_cannot_be_added_up_is_an_error_and_no_crash(run: Dead):
    run.live.journal.execute("UPDATE attempts SET cost = 'much', state = 1")
    run.die()
    with pytest.raises(StorageError, match=r"journal\.sqlite.*damaged"):
        run.settle()
    assert run.money()[2] >= 400


@pytest.mark.parametrize(
    "trouble", ["PRAGMA user_version = 99", "UPDATE attempts SET cost = 'much', state = 1"]
)
def test_a_journal_that_cannot_be_read_is_no_trouble_of_those_who_need_its_money(
    run: Dead, trouble: str
):
    run.live.journal.execute(trouble)
    run.die()
    held = run.money()[2]
    with closing(open_ledger(run.path)) as ledger:
        settle_for_others(ledger, run.run)
    assert run.money() == (0, held, 0)
    with closing(sqlite3.connect(run.folder / "journal.sqlite", isolation_level=None)) as journal:
        journal.execute(f"PRAGMA user_version = {VERSION}")
        journal.execute("UPDATE attempts SET cost = 7, state = 1 WHERE attempt = 1")
        journal.execute("UPDATE attempts SET cost = 0, state = 2 WHERE attempt = 2")
        journal.execute("UPDATE attempts SET cost = 0, state = 0 WHERE attempt = 3")
    assert run.settle() and run.money() == (7, 100, 0), "once it can be read, it is believed"


def test_purging_settles_first_and_keeps_the_sums(run: Dead):
    (run.folder / "mine.txt").write_text("the user's own")
    run.die()
    assert run.purge()
    assert run.money() == (7, 100, 0)
    assert [entry.name for entry in run.folder.iterdir()] == ["mine.txt"], (
        "what we did not make stays"
    )
    assert run.purge(forget=True)
    assert run.money() == (0, 0, 0)


def test_a_folder_that_is_none_of_ours_is_never_removed(run: Dead, tmp_path: Path):
    run.die()
    other = tmp_path / "precious"
    run.folder.rename(other)
    ledger = open_ledger(run.path)
    ledger.execute("UPDATE runs SET folder = ?", (str(other),))
    ledger.close()
    with pytest.raises(StorageError, match="is not"):
        run.purge()
    assert (other / "journal.sqlite").exists()
    link = tmp_path / "link.claudebatch"
    link.symlink_to(other)
    ledger = open_ledger(run.path)
    ledger.execute("UPDATE runs SET folder = ?", (str(link),))
    ledger.close()
    run.purge()
    assert (other / "journal.sqlite").exists(), "nor through a link"


def test_what_agrees_already_is_not_written_again_and_lost_details_are(run: Dead):
    run.die()
    assert run.settle()
    ledger = open_ledger(run.path)
    before = ledger.total_changes
    assert settle_dead(ledger, run.run)
    assert ledger.total_changes == before, "a long run is opened again at once"
    ledger.execute("DELETE FROM attempts WHERE attempt = 1")
    assert settle_dead(ledger, run.run)
    assert ledger.execute("SELECT count(*) FROM attempts").fetchone() == (3,)
    ledger.close()
