"""RunFolder: one live run per output; the lock of a dead one is free at once."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from claudebatch.core.errors import ExitCode, LockedError, StorageError
from claudebatch.storage.run_folder import RunFolder, beside

STARTED = datetime(2026, 11, 22, 12, 30, 5, tzinfo=UTC)
ROOT = Path(__file__).parents[2]

HOLDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from claudebatch.storage.run_folder import RunFolder
started = datetime(2026, 11, 22, 9, tzinfo=UTC)
folder = RunFolder.open(Path(sys.argv[1]), started=started, fresh=False)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return beside(tmp_path / "out.jsonl")


def opened(place: Path, *, fresh: bool = False) -> RunFolder:
    return RunFolder.open(place, started=STARTED, fresh=fresh)


@pytest.fixture
def holder(place: Path):
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_folder_lies_beside_the_results(tmp_path: Path):
    assert beside(tmp_path / "out.jsonl") == tmp_path / "out.jsonl.claudebatch"


def test_a_second_run_is_refused_and_told_who_holds_it_and_since_when(
    place: Path, holder: subprocess.Popen[bytes]
):
    with pytest.raises(LockedError) as caught:
        opened(place)
    assert caught.value.exit_code is ExitCode.LOCKED
    assert f"process {holder.pid} on {socket.gethostname()}" in caught.value.message
    assert "2026-11-22T09:00:00+00:00" in caught.value.message
    assert caught.value.fix
    assert holder.poll() is None, "a live lock is never stolen"


def test_a_holder_that_is_killed_leaves_no_lock(place: Path, holder: subprocess.Popen[bytes]):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (place / "owner.json").exists(), "it had no time to tidy up"
    folder = opened(place)
    folder.close()


def test_within_one_process_it_is_held_only_once_too(place: Path):
    folder = opened(place)
    with pytest.raises(LockedError, match=str(os.getpid())):
        opened(place)
    folder.close()
    opened(place).close()


@pytest.mark.parametrize("owner", [None, b"", b"{", b"[]", b'{"pid":1}', b"\xff"], ids=repr)
def test_a_holder_that_has_not_yet_said_who_it_is_is_respected_all_the_same(
    place: Path, owner: bytes | None
):
    folder = opened(place)
    (place / "owner.json").unlink()
    if owner is not None:
        (place / "owner.json").write_bytes(owner)
    with pytest.raises(LockedError, match="just started"):
        opened(place)
    (place / "owner.json").unlink(missing_ok=True)
    folder.close()


def test_what_is_noted_is_there_the_next_time(place: Path):
    folder = opened(place)
    assert folder.meta("run_id") is None
    folder.note(run_id="r", lanes=["a", "b"], simulated=False)
    folder.note(run_id="r2")
    folder.close()
    folder = opened(place)
    assert (folder.meta("run_id"), folder.meta("lanes"), folder.meta("simulated")) == (
        "r2",
        ["a", "b"],
        False,
    )
    folder.close()


def test_starting_over_changes_nothing_until_it_takes_over(place: Path):
    folder = opened(place)
    folder.note(run_id="old")
    folder.spool.write_text("prompts")
    folder.close()
    folder = opened(place, fresh=True)
    assert folder.meta("run_id") is None
    folder.note(run_id="new")
    folder.close()
    folder = opened(place)
    assert (folder.meta("run_id"), folder.spool.read_text()) == ("old", "prompts")
    assert not [*place.glob("*.new*")], "what never took over is gone"
    folder.close()


def test_a_run_that_starts_over_takes_the_place_of_the_old_one(place: Path):
    folder = opened(place)
    folder.note(run_id="old")
    folder.start_over()
    folder.note(run_id="new")
    folder.take_over()
    folder.note(more=1)
    folder.close()
    folder = opened(place)
    assert (folder.meta("run_id"), folder.meta("more")) == ("new", 1)
    folder.close()


def test_the_log_of_a_dead_session_is_not_taken_for_that_of_its_successor(place: Path):
    opened(place).close()
    dead = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        " c.execute('PRAGMA wal_autocheckpoint=0');"
    )
    dead += "c.execute(\"INSERT INTO meta VALUES ('run_id', '1')\"); c.commit(); os._exit(0)"
    subprocess.run([sys.executable, "-c", dead, str(place / "journal.sqlite")], check=True)
    assert (place / "journal.sqlite-wal").stat().st_size
    folder = opened(place, fresh=True)
    folder.take_over()
    assert folder.meta("run_id") is None
    assert folder.journal.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    folder.close()


def test_a_journal_that_is_damaged_can_be_started_over(place: Path):
    opened(place).close()
    (place / "journal.sqlite").write_bytes(b"no database" * 1000)
    folder = opened(place, fresh=True)
    folder.note(run_id="new")
    folder.take_over()
    folder.close()
    folder = opened(place)
    assert folder.meta("run_id") == "new"
    folder.close()


def test_a_new_journal_that_somebody_looks_into_does_not_take_over(place: Path):
    folder = opened(place)
    folder.note(run_id="old")
    folder.close()
    folder = opened(place, fresh=True)
    folder.note(run_id="new")
    reader = sqlite3.connect(place / "journal.sqlite.new", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM meta").fetchall()
    folder.note(more=1)
    with pytest.raises(StorageError, match="cannot start over") as caught:
        folder.take_over()
    assert (caught.value.id, caught.value.fix) == ("E615", "try again")
    reader.close()
    folder.close()
    folder = opened(place)
    assert folder.meta("run_id") == "old", "the old run can still be resumed"
    folder.close()


def test_starting_over_is_refused_while_somebody_holds_it_and_takes_nothing_away(
    place: Path, holder: subprocess.Popen[bytes]
):
    (place / "input.jsonl").write_text("prompts")
    with pytest.raises(LockedError):
        opened(place, fresh=True)
    assert (place / "input.jsonl").read_text() == "prompts"


def test_a_journal_that_cannot_be_opened_does_not_keep_the_lock(place: Path):
    opened(place).close()
    (place / "journal.sqlite").write_bytes(b"no database" * 1000)
    kept = []  # an error that somebody still looks at keeps nothing locked
    for _ in range(2):
        with pytest.raises(StorageError, match="cannot be opened") as caught:
            opened(place)
        kept.append(caught)
    opened(place, fresh=True).close()


def test_everything_in_it_is_for_its_owner_only_whatever_the_umask(place: Path):
    former = os.umask(0)
    try:
        folder = opened(place)
        folder.note(a=1)
        modes = {entry.name: entry.stat().st_mode & 0o777 for entry in place.iterdir()}
        folder.close()
    finally:
        os.umask(former)
    assert place.stat().st_mode & 0o777 == 0o700
    assert {name: oct(mode) for name, mode in modes.items() if mode != 0o600} == {}


def test_a_planted_link_is_not_followed(place: Path, tmp_path: Path):
    (tmp_path / "precious").write_text("precious")
    for name in ("lock", "owner.json.new", "journal.sqlite"):
        place.mkdir(exist_ok=True)
        (place / name).symlink_to(tmp_path / "precious")
        with pytest.raises(StorageError):
            opened(place)
        (place / name).unlink()
    (place / "owner.json").symlink_to(tmp_path / "precious")
    opened(place).close()  # put in its place, not written through it
    assert (tmp_path / "precious").read_text() == "precious"


def test_of_many_that_start_at_once_exactly_one_gets_it(place: Path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(6)
    ]
    try:
        first = [process.stdout.readline() if process.stdout else b"" for process in processes]
        assert sorted(first) == [b""] * 5 + [b"held\n"]
        errors = [process.communicate()[1] for process in processes]
        assert sum(b"LockedError" in error for error in errors) == 5
    finally:
        for process in processes:
            process.kill()
            process.wait()
