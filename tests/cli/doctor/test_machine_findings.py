"""What `doctor` sees on this machine."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest

from claudebatch.cli.doctor import machine_findings
from claudebatch.core.errors import ExitCode
from claudebatch.storage.health import damage


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE"])
def test_a_key_is_named_by_where_it_was_found_and_never_shown(name: str, tmp_path: Path) -> None:
    found = machine_findings.credential({name: "sk-secret-canary"}, home=tmp_path)
    assert (found.state, found.exit_code) == ("ok", ExitCode.OK)
    assert name in found.text
    assert "canary" not in repr(found)


def test_no_key_fails_as_a_run_would(tmp_path: Path) -> None:
    found = machine_findings.credential({}, home=tmp_path)
    assert (found.state, found.exit_code) == ("failure", ExitCode.AUTH)
    assert found.fix


def test_a_folder_that_is_not_there_yet_is_judged_by_the_nearest_above_it(tmp_path: Path) -> None:
    [found] = machine_findings.folder(
        "state", tmp_path / "a" / "b", now=time.monotonic, private=True
    )
    assert found.state == "ok"
    assert not (tmp_path / "a").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_private_folder_that_others_can_read_is_told_with_its_mode(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.mkdir()
    place.chmod(0o755)
    first, _ = machine_findings.folder("state", place, now=time.monotonic, private=True)
    assert first.state == "warning"
    assert "0755" in first.text
    assert "chmod 700" in (first.fix or "")
    place.chmod(0o700)
    assert [
        found.state
        for found in machine_findings.folder("state", place, now=time.monotonic, private=True)
    ] == ["ok"]


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    first, *_ = machine_findings.folder("state", tmp_path, now=time.monotonic, private=True)
    assert (first.state, first.exit_code) == ("failure", ExitCode.LOCAL_IO)


def test_a_disk_that_is_slow_to_sync_is_a_warning(tmp_path: Path) -> None:
    ticks = iter([0.0, 0.25])
    [found] = machine_findings.folder(
        "this folder", tmp_path, now=lambda: next(ticks), private=False
    )
    assert found.state == "warning"
    assert "250.0 ms" in found.text


def test_a_place_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    if os.getuid() == 0:
        place = Path("/proc")  # not even root makes a file there
    else:
        place = tmp_path / "closed"
        place.mkdir(mode=0o500)
    *_, found = machine_findings.folder("this folder", place, now=time.monotonic, private=False)
    assert (found.state, found.exit_code) == ("failure", ExitCode.LOCAL_IO)


def test_a_damaged_database_is_found_and_a_busy_or_missing_one_is_not_called_damaged(
    tmp_path: Path,
) -> None:
    path = tmp_path / "spend.sqlite"
    assert machine_findings.database("ledger", path, fix="…").state == "ok"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE t (x)")
    connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 200)
    assert machine_findings.database("ledger", path, fix="…").state == "ok"
    connection.execute("BEGIN EXCLUSIVE")
    assert damage(path) is None
    connection.execute("COMMIT")
    connection.close()
    data = bytearray(path.read_bytes())
    data[4096 : 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)
    found = machine_findings.database("ledger", path, fix="…")
    assert (found.state, found.exit_code) == ("failure", ExitCode.LOCAL_IO)
    path.write_bytes(b"no database at all, but long enough to be read as one" * 20)
    assert damage(path) is not None


def test_few_open_files_are_told_with_the_command_that_allows_more() -> None:
    found = machine_findings.open_files(1000, 200)
    assert found.state == "note"
    assert found.fix == "ulimit -n 1064"
    assert machine_findings.open_files(1000, 1000).state == "ok"
