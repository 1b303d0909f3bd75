"""A world of its own for every end-to-end test: a folder, an environment, a simulated API, and ways to run claudebatch.

`World.claudebatch` runs a command line in this process (fast: no start-up); `World.launch` runs it in a process of its
own, for what only a process can show: signals, death, streams.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from claudebatch.domain import Pico, Usage
from claudebatch.models import Catalog
from claudebatch.prices import PriceBook
from claudebatch.simulator import Simulator, SimulatorSettings

PATIENCE_S = 60.0
"""Nothing is waited for longer than this; nothing is expected to come near it."""

CONFIG = """\
limits: {tier: none}
retry: {base_s: 0.005, cap_s: 0.05}
"""
"""What every test runs under unless it says otherwise: no pace, short waits."""


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


class Served:
    """A simulated API in a thread of its own, so that a run in this process can be its client."""

    def __init__(self, **settings: Any) -> None:
        self._prices = PriceBook.load(at=datetime(2026, 11, 22, tzinfo=UTC))
        self.bodies: list[dict[str, Any]] = []
        self._ready: Future[str] = Future()
        self._settings = SimulatorSettings(**{"latency": "fixed:0.001", **settings})
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="simulator")
        self._thread.start()
        self.url = self._ready.result(PATIENCE_S)

    def ask(self, question: Callable[[Simulator], Any]) -> Any:
        """What *question* finds, asked in the simulator's own thread."""

        async def answer() -> Any:
            return question(self._simulator)

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(PATIENCE_S)

    def stats(self) -> dict[str, Any]:
        """What it saw."""
        found: dict[str, Any] = self.ask(lambda simulator: simulator.stats())
        return found

    @property
    def requests(self) -> int:
        """How many requests it saw."""
        return int(self.stats()["requests"])

    def set_faults(self, faults: Mapping[str, float], script: tuple[str, ...] = ()) -> None:
        """From now on these go wrong."""
        self.ask(lambda simulator: simulator.set_faults(faults, script))

    def asked(self) -> Counter[str]:
        """How often each prompt text was asked."""
        return Counter(text_of(body) for body in self.bodies)

    def close(self) -> None:
        """Stop, whatever is in flight."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(PATIENCE_S)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        catalog = Catalog.load()
        self._simulator = Simulator(
            self._settings,
            bill=self._bill,
            pool_of=catalog.pool_of,
            now=time.monotonic,
            wall=lambda: datetime.now(UTC),
            rng=random.Random(11),
        )
        self._simulator.on_request = self.bodies.append
        try:
            self._ready.set_result(await self._simulator.start())
            await self._stopped.wait()
        finally:
            await self._simulator.stop()

    def _bill(self, model: str, usage: Usage) -> Pico:
        return self._prices.cost(model, usage)


def text_of(body: Mapping[str, Any]) -> str:
    """The text of a request's last message."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else json.dumps(content)


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
        self, arguments: Iterable[str], environment: Mapping[str, str], folder: Path, streams: list[int], umask: int
    ) -> int:
        """Fork; returns the process's id."""
        wanted = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": str(folder),
            "umask": umask,
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
        """The next message that says *what*, noting ends on the way; None after *wait_s*."""
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
                self._buffer += self._link.recv(1 << 16)
            except (TimeoutError, BlockingIOError):
                return None


class _Terminal(io.BytesIO):
    """A standard input at which somebody sits and types nothing."""

    def isatty(self) -> bool:
        return True


class World:
    """Everything one test has: see the fixtures `world`, `serve` and `launch`."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], zygote: Zygote | None
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
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    def results(self, name: str = "out.jsonl") -> dict[str, Any]:
        """The results by id; every id exactly once."""
        lines = [json.loads(line) for line in self.path(name).read_text(encoding="utf-8").splitlines()]
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
        """(spent, held) of the machine-wide ledger."""
        path = self.home / "state" / "spend.sqlite"
        if not path.exists():
            return 0, 0
        return query(path, "SELECT coalesce(sum(spent), 0), coalesce(sum(held), 0) FROM spend")[0]  # type: ignore[return-value]

    def claudebatch(self, *arguments: str, stdin: bytes = b"", terminal: bool = False, umask: int = 0o022) -> Done:
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
            patch.setattr(sys, "stdin", io.TextIOWrapper(_Terminal() if terminal else io.BytesIO(stdin)))
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
        self, *arguments: str, stdin: int | None = None, stdout: int | None = None, umask: int = 0o022
    ) -> Process:
        """Start a command line in a process of its own."""
        assert self._zygote is not None, "ask for the fixture `processes`"
        self._launched += 1
        out, err = (self.folder / f"{name}-{self._launched}" for name in ("stdout", "stderr"))
        with open(os.devnull, "rb") as nothing, out.open("wb") as out_file, err.open("wb") as err_file:
            streams = [
                nothing.fileno() if stdin is None else stdin,
                out_file.fileno() if stdout is None else stdout,
                err_file.fileno(),
            ]
            pid = self._zygote.start(arguments, self.environment, self.work, streams, umask)
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
