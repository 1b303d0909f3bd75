"""Plays many cases at once, each worker a process with a theatre and an API of its
own.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.drills import kernel
from tests.e2e.zygote import preload

Task = TypeVar("Task")
Player = Callable[[Task], dict[str, Any]]

_PIPE_BYTES = 1 << 20
_NUMBER_BYTES = 4
_TOLD = 10
"""Problems of a case; one line about it must fit into a pipe in one piece."""


def workers() -> int:
    """A session mostly waits; four for every core keep them all busy."""
    return 4 * (os.cpu_count() or 1)


def scratch() -> Path:
    """A folder for all cases: in memory where there is one, for `kill -9` loses nothing
    that was written.
    """
    memory = Path("/dev/shm")
    return Path(
        tempfile.mkdtemp(prefix="drill-", dir=memory if os.access(memory, os.W_OK) else None)
    )


def play_all(
    tasks: Sequence[Task],
    player: Callable[[int], tuple[Player[Task], Callable[[], None]]],
    count: int,
) -> Iterator[dict[str, Any]]:
    """What *player* (of a worker) says of every task, in the order in which they are
    done.

    A task that raises is one problem, and the worker goes on.
    """
    queue = _queue(len(tasks))
    reading, writing = os.pipe()
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _work(queue, tasks, player, number, writing)
        pids.append(pid)
    os.close(queue)
    os.close(writing)
    played = 0
    with os.fdopen(reading, "rb") as told:
        for line in told:
            played += 1
            yield json.loads(line)
    for pid in pids:
        os.waitpid(pid, 0)
    assert played == len(tasks), f"{played} of {len(tasks)} cases were played: a worker has died"


def _queue(count: int) -> int:
    reading, writing = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    for number in range(count):
        os.write(writing, number.to_bytes(_NUMBER_BYTES, "big"))
    os.close(writing)
    return reading


def _work(
    queue: int,
    tasks: Sequence[Task],
    player: Callable[[int], tuple[Player[Task], Callable[[], None]]],
    number: int,
    told: int,
) -> None:
    code = 1
    kernel.die_with_parent()
    try:
        play, close = player(number)
        while turn := os.read(queue, _NUMBER_BYTES):
            task = tasks[int.from_bytes(turn, "big")]
            try:
                found = play(task)
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                found = {
                    "scenario": "broken",
                    "problems": [f"{task}: {type(error).__name__}: {error}"],
                }
            found["problems"] = [problem[:200] for problem in found["problems"]][:_TOLD]
            os.write(
                told, json.dumps(found).encode() + b"\n"
            )  # below PIPE_BUF it stays in one piece
        close()
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(code)


def ready() -> Path:
    """Import whatever a run needs, once, and make a place for the cases."""
    preload()
    return scratch()


def clear(place: Path) -> None:
    """Leave nothing."""
    shutil.rmtree(place, ignore_errors=True)
