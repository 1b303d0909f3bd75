"""A world of its own for every end-to-end test: a folder, an environment, a simulated
API, and ways to run claudebatch.

`World.claudebatch` runs a command line in this process (fast: no start-up);
`World.launch` runs it in a process of its own, for what only a process can show:
signals, death, streams.
"""

from __future__ import annotations

import gc
import io
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from claudebatch.storage.ledger.known_batches import batch_lines
from tests.e2e.moments import Moment
from tests.e2e.processes import Done, Process, Zygote
from tests.e2e.served import PATIENCE_S, Served

__all__ = ["PATIENCE_S", "Done", "Process", "Served", "World", "Zygote", "prompts", "query"]

CONFIG = """\
limits: {tier: none}
retry: {base_s: 0.005, cap_s: 0.05}
"""
"""What every test runs under unless it says otherwise: no pace, short waits."""


class _Terminal(io.BytesIO):
    """A standard input at which somebody sits and types what is in it."""

    def isatty(self) -> bool:
        return True


class World:
    """Everything one test has: see the fixtures `world`, `serve` and `launch`."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        zygote: Zygote | None,
    ) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.work = folder / "work"
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self._zygote = zygote
        self._launched = 0
        self.processes: list[Process] = []
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "CLAUDEBATCH_CACHE_DIR": str(self.home / "cache"),
            "CLAUDEBATCH_STATE_DIR": str(self.home / "state"),
        }
        self.home.mkdir()
        self.work.mkdir()
        (self.work / "claudebatch.yaml").write_text(CONFIG)

    def point_at(self, url: str, *, key: str = "simulated") -> None:
        """Let claudebatch find the API at *url*."""
        self.environment |= {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": key}

    def path(self, name: str) -> Path:
        """A file of the working folder."""
        return self.work / name

    def configure(self, text: str) -> None:
        """Add *text* to claudebatch.yaml."""
        with self.path("claudebatch.yaml").open("a") as file:
            file.write(text)

    def write(self, name: str, rows: Iterable[Any]) -> Path:
        """A JSONL file."""
        path = self.path(name)
        path.write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
        )
        return path

    def results(self, name: str = "out.jsonl") -> dict[str, Any]:
        """The results by id; every id exactly once."""
        lines = [
            json.loads(line) for line in self.path(name).read_text(encoding="utf-8").splitlines()
        ]
        found = {line["id"]: line for line in lines}
        assert len(found) == len(lines), "an id has two results"
        return found

    def query(self, sql: str, *values: Any, output: str = "out.jsonl") -> list[tuple[Any, ...]]:
        """What the journal of *output* says."""
        return query(self.path(output + ".claudebatch") / "journal.sqlite", sql, *values)

    def settled(self, output: str = "out.jsonl") -> int:
        """Settled pico-dollars of the journal."""
        return int(self.query("SELECT coalesce(sum(cost), 0) FROM attempts", output=output)[0][0])

    def ledger(self) -> tuple[int, int]:
        """(spent, unknown or held) of the machine-wide ledger."""
        path = self.home / "state" / "spend.sqlite"
        if not path.exists():
            return 0, 0
        ((spent, unknown),) = query(
            path, "SELECT coalesce(sum(spent), 0), coalesce(sum(unknown), 0) FROM spend"
        )
        ((held,),) = query(path, "SELECT coalesce(sum(amount), 0) FROM holds")
        return spent, unknown + held

    def batch_states(self) -> list[str | None]:
        """How the ledger's batches stand, the newest first. It hears of one last, after
        the journal of its run.
        """
        return [line.state for line in batch_lines(self.home / "state" / "spend.sqlite")]

    def claudebatch(
        self, *arguments: str, stdin: bytes = b"", terminal: bool = False, umask: int = 0o022
    ) -> Done:
        """Run a command line in this process."""
        from claudebatch.__main__ import main

        self._capfd.readouterr()
        with self._monkeypatch.context() as patch:
            for name in list(os.environ):
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.work)
            patch.setattr(sys, "argv", ["claudebatch", *arguments])
            patch.setattr(
                sys, "stdin", io.TextIOWrapper(_Terminal(stdin) if terminal else io.BytesIO(stdin))
            )
            before = os.umask(umask)
            thresholds = gc.get_threshold()
            try:
                main()
                code = 0
            except SystemExit as leaving:
                code = int(leaving.code or 0)
            finally:
                os.umask(before)
                gc.set_threshold(*thresholds)
                gc.unfreeze()
        out, err = self._capfd.readouterr()
        return Done(code, out, err)

    def launch(
        self,
        *arguments: str,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        umask: int = 0o022,
        ignore: Iterable[int] = (),
        moment: Moment | None = None,
    ) -> Process:
        """Start a command line in a process of its own, which ignores the signals
        *ignore* from its birth and gets others at the *moment*.
        """
        assert self._zygote is not None, "ask for the fixture `processes`"
        self._launched += 1
        out, err = (self.folder / f"{name}-{self._launched}" for name in ("stdout", "stderr"))
        with (
            open(os.devnull, "rb") as nothing,
            out.open("wb") as out_file,
            err.open("wb") as err_file,
        ):
            streams = [
                nothing.fileno() if stdin is None else stdin,
                out_file.fileno() if stdout is None else stdout,
                err_file.fileno() if stderr is None else stderr,
            ]
            pid = self._zygote.start(
                arguments, self.environment, self.work, streams, umask, ignore, moment
            )
        process = Process(self._zygote, pid, out, err)
        self.processes.append(process)
        return process

    def until(self, true: Callable[[], bool], *, what: str = "it") -> None:
        """Wait until something has happened."""
        end = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < end, f"{what} has not happened within {PATIENCE_S} s"
            time.sleep(0.002)

    def files(self) -> list[Path]:
        """Every file and folder that claudebatch has made, outside the inputs."""
        return sorted(path for root in (self.home, self.work) for path in root.rglob("*"))


def query(path: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of a SQLite file, read only."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def prompts(count: int, **more: Any) -> list[dict[str, Any]]:
    """Rows `row-0`, `row-1`, … whose prompt is their id."""
    return [{"id": f"row-{n}", "prompt": f"row-{n}", **more} for n in range(count)]
