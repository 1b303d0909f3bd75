"""Processes of claudebatch: started by the zygote, signalled and waited for by their
id.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.moments import Moment
from tests.e2e.served import PATIENCE_S


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Process:
    """A process of claudebatch, started by the zygote."""

    def __init__(self, zygote: Zygote, pid: int, out: Path, err: Path) -> None:
        self._zygote = zygote
        self.pid = pid
        self._out = out
        self._err = err

    @property
    def running(self) -> bool:
        """Whether it has not ended yet, as far as the zygote has said."""
        return self._zygote.status(self.pid, wait_s=0) is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.running:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def wait(self) -> Done:
        """Wait for its end; a death by signal is a negative code."""
        code = self._zygote.status(self.pid, wait_s=PATIENCE_S)
        if code is None:
            self.send(signal.SIGKILL)
            raise AssertionError(f"still running after {PATIENCE_S} s; so far: {self.err}")
        return Done(code, self._out.read_text(), self.err)

    @property
    def out(self) -> bytes:
        """Standard output so far."""
        return self._out.read_bytes()

    @property
    def err(self) -> str:
        """Standard error so far."""
        return self._err.read_text()


class Zygote:
    """Forks processes; see zygote.py."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        script = Path(__file__).with_name("zygote.py")
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *filter(None, sys.path)])},
        )
        theirs.close()
        self._link = ours
        self._buffer = b""
        self._ended: dict[int, int] = {}
        assert self._heard(PATIENCE_S, "ready")

    def start(
        self,
        arguments: Iterable[str],
        environment: Mapping[str, str],
        folder: Path,
        streams: list[int],
        umask: int,
        ignore: Iterable[int] = (),
        moment: Moment | None = None,
    ) -> int:
        """Fork; returns the process's id."""
        wanted = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": str(folder),
            "umask": umask,
            "ignore": [int(number) for number in ignore],
            "moment": moment and moment.message(),
        }
        socket.send_fds(self._link, [json.dumps(wanted).encode()], streams)
        pid = self._heard(PATIENCE_S, "pid")
        assert pid is not None, "the zygote does not answer"
        return pid

    def status(self, pid: int, *, wait_s: float) -> int | None:
        """The exit code of *pid*, None while it runs."""
        end = time.monotonic() + wait_s
        while pid not in self._ended:
            left = end - time.monotonic()
            if self._heard(max(left, 0.0001), "ended") is None and left <= 0:
                return None
        return self._ended[pid]

    def close(self) -> None:
        """End it; processes that still run are left alone."""
        self._link.close()
        self._process.wait(PATIENCE_S)

    def _heard(self, wait_s: float, what: str) -> int | None:
        """The next message that says *what*, noting ends on the way; None after
        *wait_s*.
        """
        end = time.monotonic() + wait_s
        while True:
            while b"\n" in self._buffer:
                line, _, self._buffer = self._buffer.partition(b"\n")
                message = json.loads(line)
                if "ended" in message:
                    self._ended[message["ended"]] = message["status"]
                if what in message:
                    return int(message[what])
            self._link.settimeout(max(0.0001, end - time.monotonic()))
            try:
                data = self._link.recv(1 << 16)
            except (TimeoutError, BlockingIOError):
                return None
            assert data, f"the zygote has died: {self._process.wait(PATIENCE_S)}"
            self._buffer += data
