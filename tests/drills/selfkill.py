"""Death from inside, where the kernel will not help: a process that kills itself before
a durable step.

It patches the doors through which Python code reaches the disk, in the forked child
only: functions of `os`, `open` for writing, and every statement of `sqlite3`, before
and after. So it is coarser than the kernel's view: SQLite's own writes and fsyncs
within one statement, and those of C code, are one step here. SQLite's tests cover what
lies between.
"""

from __future__ import annotations

import builtins
import io
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ON_DESCRIPTORS = ("write", "fsync", "ftruncate")
_ON_PATHS = ("rename", "replace", "unlink", "remove", "mkdir")


def die_at(at: int, folder: Path) -> None:
    """Kill this process before durable step number *at*; steps on files outside of
    *folder* do not count.
    """
    step = _Step(at)
    for name in (*_ON_DESCRIPTORS, *_ON_PATHS):
        setattr(
            os, name, step.before(getattr(os, name), lambda what, *_, **__: _lies_in(what, folder))
        )
    opened = step.before(
        io.open, lambda path, *more, **named: _writes(*more, **named) and _lies_in(path, folder)
    )
    builtins.open = io.open = opened
    connect = sqlite3.connect

    def connecting(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return connect(*arguments, **{**options, "factory": _watched(step)})

    sqlite3.connect = connecting


class _Step:
    def __init__(self, at: int) -> None:
        self._at = at
        self._count = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Another durable step; the last one never happens."""
        with self._lock:
            self._count += 1
            if self._count == self._at:
                os.kill(os.getpid(), signal.SIGKILL)

    def before(
        self, function: Callable[..., Any], counts: Callable[..., bool]
    ) -> Callable[..., Any]:
        """*function* with a step before it."""

        def stepping(*arguments: Any, **options: Any) -> Any:
            if counts(*arguments, **options):
                self()
            return function(*arguments, **options)

        return stepping


def _watched(step: _Step) -> type[sqlite3.Connection]:
    class Watched(sqlite3.Connection):
        """Counts before and after what changes something."""

    def around(name: str) -> Callable[..., Any]:
        real = getattr(sqlite3.Connection, name)

        def stepping(self: sqlite3.Connection, sql: str, *rest: Any) -> Any:
            if sql.lstrip()[:6].upper() == "SELECT":
                return real(self, sql, *rest)
            step()
            found = real(self, sql, *rest)
            step()
            return found

        return stepping

    for name in ("execute", "executemany", "executescript"):
        setattr(Watched, name, around(name))
    return Watched


def _lies_in(what: Any, folder: Path) -> bool:
    """Whether a path, or the file of a descriptor, lies in *folder*; without /proc a
    descriptor always counts.
    """
    if isinstance(what, int):
        if what < 3 or not os.path.exists("/proc/self/fd"):
            return what >= 3
        what = f"/proc/self/fd/{what}"
    return os.path.realpath(what).startswith(os.path.realpath(folder))


def _writes(mode: str = "r", *_: Any, **__: Any) -> bool:
    return any(letter in mode for letter in "wax+")
