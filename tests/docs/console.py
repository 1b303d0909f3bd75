"""Console blocks of the documentation: read, run again, and compared but for what
differs between any two runs.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.processes import Zygote

HOME_IN_DOCS = "/home/ana"
TIMEOUT_S = 60
SERVER_READY = "Stop: Ctrl-C"

_SAME = (
    (r"\d{8}T\d{6}-[0-9a-f]{6}", "RUN"),
    (r"\d{4}-\d\d-\d\dT[\d:]+\+00:00", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DAY"),
    # Keys of cached answers hold the address, whose port differs.
    (r"\b[0-9a-f]{12}\b", "KEY"),
    (r"\([0-9a-f]{8}\)", "(DIGEST)"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"\d[\d,]*(\.\d+)?[kM]?", "N"),
    (r"\bN (bytes|KiB|MiB|GiB)", "SIZE"),
    (r"\bN (ms|s|min|h|d)\b( N (s|min|h)\b)?", "SPAN"),
    (r"[ \t]+", " "),
)


@dataclass(frozen=True)
class Example:
    """One command of a console block and what it is said to print."""

    command: str
    output: str


@dataclass
class Shell:
    """A folder, a home and an environment in which commands run one after the other, as
    a reader would type them.
    """

    folder: Path
    env: Mapping[str, str]
    zygote: Zygote | None = None
    """Forks the processes, where there is one: a page has dozens, and an interpreter of
    its own takes each of them a second.
    """
    last_code: int = field(default=0)

    def run(self, command: str) -> str:
        """What *command* prints on both its streams."""
        if command == "echo $?":
            return f"{self.last_code}\n"
        program, *arguments = shlex.split(command)
        assert program == "claudebatch", f"an example may only call claudebatch: {command}"
        line = [sys.executable, "-m", "claudebatch", *arguments]
        if arguments[0] == "simulate":
            return self._serve([*line, "--port", "0"])  # the reader's port may be taken here
        if self.zygote is not None:
            return self._forked(self.zygote, arguments)
        done = subprocess.run(
            line,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        self.last_code = done.returncode
        return done.stdout

    def _forked(self, zygote: Zygote, arguments: list[str]) -> str:
        with tempfile.TemporaryFile() as printed, open(os.devnull, "rb") as nothing:
            out = printed.fileno()
            streams = [nothing.fileno(), out, out]
            pid = zygote.start(arguments, self.env, self.folder, streams, umask=0o022)
            code = zygote.status(pid, wait_s=TIMEOUT_S)
            assert code is not None, f"still running after {TIMEOUT_S} s: {arguments}"
            self.last_code = code
            printed.seek(0)
            return printed.read().decode()

    def _serve(self, line: list[str]) -> str:
        with subprocess.Popen(
            line,
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as server:
            said: list[str] = []
            while not said or SERVER_READY not in said[-1]:
                said.append(server.stdout.readline())
                assert said[-1], "".join(said)
            server.send_signal(signal.SIGINT)
            self.last_code = server.wait(TIMEOUT_S)
        return "".join(said)


def examples(markdown: str) -> Iterator[Example]:
    """Every `$ command` of every console block, in order."""
    for block in re.findall(r"^```console\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Example(command, output)


def blocks(markdown: str, language: str) -> list[str]:
    """The contents of every fenced block in *language*."""
    return re.findall(rf"^```{language}\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)


def alike(text: str, home: str) -> list[str]:
    """The lines of *text* without numbers, times, run names, widths and whose home it
    was.
    """
    text = text.replace(home, "~").replace(HOME_IN_DOCS, "~")
    for pattern, word in _SAME:
        text = re.sub(pattern, word, text)
    return [line.strip() for line in text.strip().splitlines()]
