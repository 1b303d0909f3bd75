"""Where a case plays: a folder, an environment, a simulated API in its own process, and
eyes that leave no trace.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import claudebatch.simulator.http as simulator_http
from tests.drills.processes import PATIENCE_S, Command, start, stop

CONFIG = """\
limits: {tier: none}
retry: {base_s: 0.005, cap_s: 0.05}
"""
ANSWERED, SENT, UNKNOWN = 1, 0, 3


class Api:
    """`claudebatch simulate`, whose answers pass for real ones: cache and ledger take
    them.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        for name in ("work", "home"):
            (folder / name).mkdir(parents=True)
        (folder / "stdin").touch()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": str(folder / "home"),
        }
        simulator_http.MARK, mark = b"", simulator_http.MARK
        try:
            self._pid = start(Command(["simulate", *options], environment, folder / "work", folder))
        finally:
            simulator_http.MARK = mark
        self.url = self._listening(folder / "stdout")
        self._client = http.client.HTTPConnection(
            self.url.removeprefix("http://"), timeout=PATIENCE_S
        )

    def settled(self) -> list[dict[str, Any]]:
        """The log, once no request is being worked on any more."""
        end = time.monotonic() + PATIENCE_S
        while self.ask("GET", "/__stats")["in_flight"] and time.monotonic() < end:
            time.sleep(0.001)
        events: list[dict[str, Any]] = self.ask("GET", "/__log")["events"]
        return events

    def reset(self) -> None:
        """Forget everything."""
        self.settled()
        self.ask("POST", "/__reset")

    def script(self, *faults: str) -> None:
        """What befalls the next requests."""
        self.ask("POST", "/__faults", {"script": list(faults)})

    def stats(self) -> dict[str, Any]:
        """Its counts."""
        return self.ask("GET", "/__stats")

    def close(self) -> None:
        """End it."""
        self._client.close()
        stop(self._pid)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Any request, as from another program."""
        data = None if body is None else json.dumps(body)
        self._client.request(method, path, data, headers or {})
        with self._client.getresponse() as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found

    @staticmethod
    def _listening(file: Path) -> str:
        end = time.monotonic() + PATIENCE_S / 3
        while time.monotonic() < end:
            if file.exists() and (text := file.read_text()).endswith("\n"):
                return text.split()[-1]
            time.sleep(0.005)
        raise AssertionError(
            f"the simulator does not start: {file.with_name('stderr').read_text()}"
        )


@dataclass
class Seen:
    """What lies on the disk, read from a copy."""

    answers: dict[str, str] = field(default_factory=dict)
    """By row id, the id of the message that is written down for it."""
    sent: set[str] = field(default_factory=set)
    """Rows with an attempt that has no outcome."""
    attempts: set[str] = field(default_factory=set)
    """Rows with any attempt."""
    shown: dict[str, str] = field(default_factory=dict)
    """By row id, the message in a whole line of the results file."""
    twice: list[str] = field(default_factory=list)
    spent: int = 0
    unknown: int = 0
    """Worst cases of attempts whose outcome nobody knows, in pico-dollars."""
    ledger: int = 0
    """Everything that the machine-wide ledger counts."""
    damage: list[str] = field(default_factory=list)


class Stage:
    """One case's own files."""

    def __init__(self, folder: Path, api: Api) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.home = folder / "home"
        self.api = api
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "CLAUDEBATCH_CACHE_DIR": str(self.home / "cache"),
            "CLAUDEBATCH_STATE_DIR": str(self.home / "state"),
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": "simulated",
        }
        self.work.mkdir(parents=True)
        self.home.mkdir()
        (self.work / "claudebatch.yaml").write_text(CONFIG)

    @property
    def output(self) -> Path:
        """The results file."""
        return self.work / "out.jsonl"

    def write(self, name: str, rows: list[dict[str, Any]]) -> Path:
        """A JSONL file of the working folder."""
        path = self.work / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def command(self, *arguments: str, stdin: bytes = b"") -> Command:
        """That command line, here."""
        (self.folder / "stdin").write_bytes(stdin)
        return Command(arguments, self.environment, self.work, self.folder)

    def errors(self) -> str:
        """What the last session said."""
        return (self.folder / "stderr").read_text(errors="replace")

    def look(self) -> Seen:
        """Everything that a judge must know, from copies: looking heals nothing."""
        seen = Seen()
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            _journal(
                _copied(self.work / "out.jsonl.claudebatch" / "journal.sqlite", Path(place)), seen
            )
            _ledger(_copied(self.home / "state" / "spend.sqlite", Path(place)), seen)
        if self.output.exists():
            _shown(self.output.read_bytes(), seen)
        return seen

    def remove(self) -> None:
        """Leave nothing."""
        shutil.rmtree(self.folder)


def _copied(path: Path, place: Path) -> Path | None:
    if not path.exists() or not path.stat().st_size:
        return None
    for suffix in ("", "-wal", "-journal"):
        if (part := Path(f"{path}{suffix}")).exists():
            shutil.copyfile(part, place / part.name)
    return place / path.name


def _journal(path: Path | None, seen: Seen) -> None:
    if path is None:
        return
    with closing(sqlite3.connect(path)) as file:
        if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'attempts'").fetchone():
            return
        _check(file, "journal", seen)
        join = "JOIN rows r ON r.row = a.row AND r.live"
        for id_, state, body in file.execute(
            f"SELECT r.id, a.state, a.body FROM attempts a {join}"
        ):
            seen.attempts.add(id_)
            if state == ANSWERED:
                seen.answers[id_] = json.loads(body)["id"]
            elif state == SENT:
                seen.sent.add(id_)
        for id_, body in file.execute(
            f"SELECT r.id, a.body FROM results a {join} WHERE a.ok AND a.body IS NOT NULL"
        ):
            seen.answers.setdefault(id_, json.loads(body)["id"])
        worst = f"CASE WHEN state IN ({SENT}, {UNKNOWN}) THEN worst END"
        sums = f"coalesce(sum(cost), 0), coalesce(sum({worst}), 0)"
        seen.spent, seen.unknown = file.execute(
            f"SELECT {sums} FROM attempts WHERE NOT simulated"
        ).fetchone()


def _ledger(path: Path | None, seen: Seen) -> None:
    if path is None:
        return
    with closing(sqlite3.connect(path)) as file:
        _check(file, "ledger", seen)
        tables = {
            name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        for table, column in (
            ("spend", "spent"),
            ("spend", "unknown"),
            ("spend", "held"),
            ("holds", "amount"),
        ):
            if table in tables and column in {
                row[1] for row in file.execute(f"PRAGMA table_info({table})")
            }:
                seen.ledger += file.execute(
                    f"SELECT coalesce(sum({column}), 0) FROM {table}"
                ).fetchone()[0]


def _check(file: sqlite3.Connection, name: str, seen: Seen) -> None:
    if (found := file.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
        seen.damage.append(f"{name}: {found}")


def _shown(data: bytes, seen: Seen) -> None:
    for line in data.split(b"\n")[:-1]:
        row = json.loads(line)
        if row["status"] != "succeeded":
            # under --retry-failed its answer may follow,
            # until the session's end puts it in its place
            continue
        if row["id"] in seen.shown:
            seen.twice.append(row["id"])
        seen.shown[row["id"]] = row["message"]["id"]
