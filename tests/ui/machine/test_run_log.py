"""A log is complete at the end of a run, and a disk that does not take it costs one
warning and no more.
"""

from __future__ import annotations

import errno
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.notice import Notice
from claudebatch.ui.machine.log_lines import LogLines
from claudebatch.ui.machine.run_log import RunLog

WALL = datetime(2026, 11, 22, tzinfo=UTC)


class Disk:
    """`os.write` that fails, or takes only some bytes, as told."""

    def __init__(self) -> None:
        self.error: int | None = None
        self.takes: int | None = None

    def __call__(self, file: int, data: memoryview) -> int:
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        return os.write(file, data[: self.takes])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.log"


@pytest.fixture
def warnings() -> list[Notice]:
    return []


@pytest.fixture
def disk() -> Disk:
    return Disk()


def opened(path: Path, warnings: list[Notice], **more: Any) -> RunLog:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    lines = LogLines(now=lambda: 0.0, wall=lambda: WALL)
    return RunLog(file, lines, warn=warnings.append, **{"own_thread": False, **more})


def texts(path: Path) -> list[Any]:
    told = [json.loads(line) for line in path.read_text().splitlines()]
    return [line.get("text", line.get("lines")) for line in told]


def test_lines_are_written_by_the_beat_and_at_the_end(path, warnings):
    log = opened(path, warnings)
    log.start()
    log(Notice("W000", "a"))
    assert texts(path) == []
    log.flush()
    assert texts(path) == ["a"]
    log(Notice("W000", "b"))
    log.stop()
    log.stop()
    assert (texts(path), warnings) == (["a", "b"], [])


def test_its_own_thread_writes_without_being_asked(path, warnings):
    log = opened(path, warnings, own_thread=True)
    log.start()
    log(Notice("W000", "a"))
    end = time.monotonic() + 60
    while not texts(path):
        assert time.monotonic() < end
        time.sleep(0.01)
    log.stop()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EBADF])
def test_a_failing_disk_costs_one_warning_and_nothing_is_lost_once_it_works(
    path, warnings, disk, error
):
    log = opened(path, warnings, write=disk)
    disk.error = error
    for number in range(5):
        log(Notice("W000", str(number)))
        log.flush()
    assert [warning.text for warning in warnings] == [
        f"the log cannot be written ({os.strerror(error)}); the run goes on, lines may be "
        f"missing from it"
    ]
    disk.error = None
    log(Notice("W000", "5"))
    log.stop()
    assert texts(path) == ["0", "1", "2", "3", "4", "5"]
    assert len(warnings) == 1


def test_a_disk_that_takes_a_few_bytes_at_a_time_tears_no_line(path, warnings, disk):
    log = opened(path, warnings, write=disk)
    disk.takes = 7
    for number in range(20):
        log(Notice("W000", str(number)))
    log.flush()
    assert texts(path) == [str(number) for number in range(20)]


def test_a_disk_that_never_works_again_keeps_neither_the_run_nor_the_memory(path, warnings, disk):
    log = opened(path, warnings, write=disk, most_held=10_000)
    disk.error = errno.ENOSPC
    for _ in range(1000):
        log(Notice("W000", "x" * 100))
        log.flush()
    assert log._held <= 10_000
    assert len(log._rest) <= 10_000
    log.stop()
    assert (path.read_bytes(), len(warnings)) == (b"", 1)


def test_where_lines_are_missing_it_is_said_how_many(path, warnings, disk):
    log = opened(path, warnings, write=disk, most_held=500)
    disk.error = errno.ENOSPC
    for number in range(20):
        log(Notice("W000", str(number)))
    log.flush()
    disk.error = None
    log.flush()
    log(Notice("W000", "again"))
    log.stop()
    told = texts(path)
    kept = told.index(next(text for text in told if isinstance(text, int)))
    assert told == [*(str(number) for number in range(kept)), 20 - kept, "again"]
    assert 0 < kept < 20


def test_a_line_that_is_larger_than_the_bound_is_written_all_the_same(path, warnings):
    log = opened(path, warnings, most_held=500)
    log(Notice("W000", "x" * 900))
    log.stop()
    assert texts(path) == ["x" * 900]


def test_a_write_that_hangs_does_not_hold_up_the_end(path, warnings, monkeypatch):
    log = opened(path, warnings)

    class Stuck:
        def stop(self) -> bool:
            return False

    monkeypatch.setattr(log, "_ticker", Stuck())
    log(Notice("W000", "a"))
    log.stop()
    assert "it hangs" in warnings[0].text
    assert texts(path) == []
