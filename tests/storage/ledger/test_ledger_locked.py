"""A ledger that somebody else keeps locked, or that a dead writer left in the middle of
a commit.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from claudebatch.core.errors import ExitCode, StorageError
from claudebatch.storage.ledger import SpendReader, open_ledger
from claudebatch.storage.ledger.past_answers import past_answers
from claudebatch.storage.ledger.run_index import RunRegister


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "state" / "spend.sqlite"
    with closing(open_ledger(place)) as ledger:
        ledger.execute("INSERT INTO holds VALUES ('r', '2026-11-22', 7)")
    return place


@pytest.fixture
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that keeps the file to itself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield other


def test_who_opens_a_locked_ledger_is_told_once_and_gives_up_when_the_patience_is_over(
    path, locked
):
    told: list[str] = []
    with pytest.raises(StorageError, match="database is locked") as refused:
        open_ledger(path, waits=lambda: told.append("waits"), patience_s=1.5)
    assert told == ["waits"]
    assert refused.value.exit_code == ExitCode.LOCAL_IO
    assert str(refused.value.fix).startswith("another program keeps it locked")


def test_a_ledger_that_is_free_again_while_somebody_waits_for_it_is_opened(path, locked):
    with closing(open_ledger(path, waits=lambda: locked.execute("COMMIT"))) as ledger:
        assert ledger.execute("SELECT amount FROM holds").fetchall() == [(7,)]
        assert ledger.execute("PRAGMA busy_timeout").fetchone() == (30_000,), (
            "whoever writes has more patience"
        )


def test_what_is_no_lock_is_not_waited_for(path):
    path.write_bytes(b"no database at all" * 100)
    told: list[str] = []
    with pytest.raises(StorageError, match="file is not a database"):
        open_ledger(path, waits=lambda: told.append("waits"))
    assert told == []


WRITER = """
import os, signal, sqlite3, sys
ledger = sqlite3.connect(sys.argv[1], isolation_level=None)
ledger.executescript("PRAGMA journal_mode = PERSIST; PRAGMA cache_size = 1; BEGIN IMMEDIATE")
ledger.executemany("INSERT INTO holds VALUES (?, 'd', 1)", ((f"other-{n}",) for n in range(5000)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def die_in_the_middle_of_a_commit(path: Path) -> None:
    """As `kill -9` may leave it: part of a transaction in the file, and how to undo it
    in its journal.
    """
    assert (
        subprocess.run([sys.executable, "-c", WRITER, str(path)], check=False).returncode
        == -signal.SIGKILL
    )


@pytest.mark.parametrize(
    "look",
    [lambda path: SpendReader(path).by("run"), lambda path: RunRegister(path).runs()],
    ids=["spend", "runs"],
)
def test_a_report_undoes_what_a_dead_writer_left_half_done(path, look):
    die_in_the_middle_of_a_commit(path)
    with (
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader,
        pytest.raises(sqlite3.Error),
    ):
        reader.execute("SELECT * FROM holds")  # else this shows nothing
    look(path)
    assert [(line.label, line.held) for line in SpendReader(path).by("run")] == [("r", 7)]


def test_a_look_in_passing_leaves_it_as_it_is(path):
    die_in_the_middle_of_a_commit(path)
    before = path.read_bytes()
    with pytest.raises(StorageError):
        list(past_answers(path))
    assert path.read_bytes() == before
