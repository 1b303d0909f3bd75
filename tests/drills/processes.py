"""Whole processes of claudebatch that die, or meet a broken disk, where a drill wants
them to.

This process has imported everything once; each case is a fork of it that becomes
`claudebatch` with its own arguments, folder and environment. That takes milliseconds,
where a fresh interpreter takes a second.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.drills import kernel, selfkill
from tests.e2e.zygote import become

PATIENCE_S = 180.0
"""No session lasts longer; none is expected to come near it."""
STREAMS = "stdin", "stdout", "stderr"


class Word(Enum):
    """What becomes of a system call."""

    ALLOW = "allow"
    KILL = "kill"
    SHORTEN = "shorten"


@dataclass(frozen=True)
class Point:
    """One durable call of a session, as the drill saw it."""

    number: int
    name: str
    path: str
    at_s: float
    """When it was asked for, on the monotonic clock."""

    @property
    def place(self) -> str:
        """Which of our files it is about, without what differs from case to case."""
        return "request" if self.name == "sendto" else Path(self.path).name


Decide = Callable[[Point], Word | int]
"""A word, or the errno that the call fails with."""


@dataclass(frozen=True)
class Ended:
    """How a session ended; a death by signal is a negative code."""

    code: int
    points: tuple[Point, ...]

    @property
    def killed(self) -> bool:
        """Whether we have killed it."""
        return self.code == -signal.SIGKILL


@dataclass(frozen=True)
class Command:
    """What a process is to be."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    streams: Path
    """A folder with a file for each standard stream."""


def always(_: Point) -> Word:
    """Nothing happens."""
    return Word.ALLOW


def supervised(command: Command, decide: Decide) -> Ended:
    """A session whose every durable call *decide* decides on."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _be(command, lambda: kernel.send_listener(theirs, kernel.install()))
    theirs.close()
    with ours:
        gate = kernel.Gate(kernel.receive_listener(ours), pid)
    points: list[Point] = []
    try:
        _supervise(gate, pid, decide, points, own=str(command.folder.parent))
    finally:
        code = _reap(pid)
        gate.close()
    return Ended(code, tuple(points))


def killed_inside(command: Command, *, at: int) -> Ended:
    """A session that kills itself before its durable step number *at*, as far as Python
    sees such steps.
    """
    pid = os.fork()
    if pid == 0:
        _be(command, lambda: selfkill.die_at(at, command.folder.parent))
    return Ended(_reap(pid), ())


def killed_after(command: Command, seconds: float) -> Ended:
    """A session that is killed so long after its start, watched by nobody."""
    pid = os.fork()
    if pid == 0:
        _be(command, lambda: None)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)  # of one that has ended it is the body, not yet fetched
    return Ended(_reap(pid), ())


def killed_by_strace(command: Command, *, call: str, at: int) -> Ended:
    """A session that `strace` kills at the call number *at* of any one thread."""
    waiting, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        _be(command, lambda: _wait_for_tracer(waiting))
    os.close(waiting)
    inject = f"inject={call}:signal=SIGKILL:when={at}"
    log = command.streams / "strace"
    with subprocess.Popen(
        ["strace", "-f", "-qq", "-o", str(log), "-p", str(pid), "-e", inject]
    ) as tracer:
        end = time.monotonic() + PATIENCE_S
        while "TracerPid:\t0" in Path(f"/proc/{pid}/status").read_text() and time.monotonic() < end:
            time.sleep(0.001)
        os.close(go)
        code = _reap(pid)
        tracer.wait(PATIENCE_S)
    return Ended(code, ())


def run(command: Command, prepare: Callable[[], object] = lambda: None) -> Ended:
    """A session that nobody watches; *prepare* is called in its process first."""
    pid = os.fork()
    if pid == 0:
        _be(command, prepare)
    return Ended(_reap(pid), ())


def start(command: Command) -> int:
    """A process that goes on; returns its id."""
    pid = os.fork()
    if pid == 0:
        _be(command, lambda: None)
    return pid


def stop(pid: int) -> None:
    """End what `start` has started."""
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)


def _supervise(
    gate: kernel.Gate, pid: int, decide: Decide, points: list[Point], *, own: str
) -> None:
    while (asked := gate.next(PATIENCE_S)) is not None:
        if asked.name != "sendto" and (
            not asked.path.startswith(own) or asked.path.endswith(STREAMS)
        ):
            gate.allow(asked)
            continue
        point = Point(len(points) + 1, asked.name, asked.path, time.monotonic())
        points.append(point)
        word = decide(point)
        if word is Word.KILL:
            os.kill(pid, signal.SIGKILL)
            return
        if word is Word.SHORTEN:
            gate.shorten(asked)
        elif isinstance(word, int):
            gate.refuse(asked, word)
        else:
            gate.allow(asked)


def _be(command: Command, prepare: Callable[[], object]) -> None:
    """In the child: never returns."""
    code = 70
    kernel.die_with_parent()
    try:
        files = [
            os.open(
                command.streams / name,
                os.O_RDWR | os.O_CREAT | os.O_TRUNC * (name != "stdin"),
                0o600,
            )
            for name in STREAMS
        ]
        prepare()
        wanted = {
            "arguments": list(command.arguments),
            "environment": dict(command.environment),
            "folder": str(command.folder),
            "umask": 0o022,
            "ignore": [],
        }
        become(wanted, files)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait_for_tracer(waiting: int) -> None:
    kernel.let_anybody_trace()
    os.read(waiting, 1)
    os.close(waiting)


def _reap(pid: int) -> int:
    """The exit code of *pid*, once it has ended."""
    end = time.monotonic() + PATIENCE_S
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"process {pid} did not end")
        time.sleep(0.0005)
