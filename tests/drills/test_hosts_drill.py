"""The drill over several hosts in its short form, with processes that are forked; all
of it: `python -m tests.drills.hosts --all`.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.drills.hosts import Started, race
from tests.e2e.processes import Process, Zygote
from tests.support.redis_servers import needs_redis_server


class Forked:
    """A forked process, used as `Popen` is."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def poll(self) -> int | None:
        return None if self._process.running else 0

    def kill(self) -> None:
        self._process.send(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        return self._process.wait().code


@needs_redis_server
def test_a_process_that_is_killed_in_a_race_for_a_cap_loses_and_repeats_nothing() -> None:
    pytest.importorskip("redis")
    zygote = Zygote()

    def starts(arguments: list[str], environment: dict[str, str], folder: Path) -> Started:
        said = folder / "stderr"
        with open(os.devnull, "rb") as nothing, said.open("ab") as file:
            streams = [nothing.fileno(), file.fileno(), file.fileno()]
            pid = zygote.start(arguments, environment, folder, streams, 0o022)
        return Forked(Process(zygote, pid, said, said))

    try:
        found = race(2, 12, 1, short=True, starts=starts)
    finally:
        zygote.close()
    assert (found.broken, found.killed, found.lost) == ([], 1, 0)
