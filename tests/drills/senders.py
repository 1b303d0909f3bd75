"""`python -m tests.drills.senders [--ray] [WORD ...]`: senders, hosts, networks and
drivers of a run that are killed, with the simulated API as judge; a table of them.

Without `--ray`: processes of this host, half a minute a case. With it: three hosts in
network namespaces (root, `ip`, and Ray installed), a minute a case. Exit code 1 when a
promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tests.drills.hosts_apart import HostsApart
from tests.e2e.served import Served

IN_FLIGHT = 16
PATIENCE_S = 300
CAP_USD = 5
UNAVAILABLE = 5
KEY = "sk-ant-of-the-drill-of-senders"
CONFIG = f"limits: {{tier: none}}\nconcurrency: {IN_FLIGHT}\nretry: {{base_s: 0.05, cap_s: 0.5}}\n"


class Stage:
    """One run of one case: its folder, the API, and the processes under way."""

    def __init__(self, folder: Path, *, rows: int, ray: bool) -> None:
        self.work = folder
        self.rows = rows
        self.ray = ray
        self.served = Served(latency="uniform:0.3,0.5")
        self.port = int(self.served.url.rsplit(":", 1)[1])
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "HOME": str(folder),
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": self.served.url,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        (folder / "claudebatch.yaml").write_text(CONFIG)
        lines = ({"id": f"r{n}", "prompt": f"question {n}", "max_tokens": 60} for n in range(rows))
        (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        # Mutable: the hosts, where there are any; the driver under way.
        self.hosts: HostsApart | None = None
        self.driver: subprocess.Popen[bytes] | None = None
        self.codes: list[int] = []

    def command(self, output: str, *options: str) -> list[str]:
        """A run to *output*."""
        run = ["run", "in.jsonl", "-o", output, "--ordered", "--budget", str(CAP_USD), "--yes"]
        return [sys.executable, "-m", "claudebatch", *run, "--no-progress", "--no-cache", *options]

    def start(self) -> None:
        """Start the run, or resume it."""
        options = ["--engine", "ray"] if self.hosts else ["--processes", "3"]
        command = self.command("out.jsonl", *options)
        if self.hosts:
            command = self.hosts.inside(0, command)
        self.driver = subprocess.Popen(
            command,
            cwd=self.work,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=(self.work / "said").open("ab"),
        )

    def after(self, requests: int) -> None:
        """Wait until the API has seen so many."""
        end = time.monotonic() + PATIENCE_S
        while self.served.requests < requests:
            if time.monotonic() > end or self.ended():
                raise SystemExit((self.work / "said").read_text())
            time.sleep(0.02)

    def ended(self) -> bool:
        return self.driver is not None and self.driver.poll() is not None

    def wait(self) -> int:
        """The exit code of the run."""
        assert self.driver is not None
        self.codes.append(self.driver.wait(PATIENCE_S))
        return self.codes[-1]

    def senders(self) -> list[int]:
        """Their processes."""
        if self.hosts:
            return [pid for host in range(3) for pid in self.hosts.pids(host, "ray::_Actor")]
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True)
        pairs = (map(int, line.split()) for line in listed.stdout.splitlines())
        assert self.driver is not None
        return [pid for pid, parent in pairs if parent == self.driver.pid]


def sender(stage: Stage) -> None:
    """a sender is killed"""
    os.kill(stage.senders()[0], signal.SIGKILL)


def halted(stage: Stage) -> None:
    """a sender hangs (SIGSTOP)"""
    os.kill(stage.senders()[0], signal.SIGSTOP)


def everyone(stage: Stage) -> None:
    """all senders are killed at once"""
    for pid in stage.senders():
        os.kill(pid, signal.SIGKILL)


def driver(stage: Stage) -> None:
    """the driver is killed"""
    assert stage.driver is not None
    left = stage.senders()
    if stage.hosts:
        stage.hosts.kill(0, "-m claudebatch run")
    else:
        stage.driver.kill()
    stage.wait()
    end = time.monotonic() + 40
    while any(Path(f"/proc/{pid}").exists() for pid in left):
        assert time.monotonic() < end, "senders live on without their driver"
        time.sleep(0.1)
    stage.start()


def host(stage: Stage) -> None:
    """a host crashes"""
    assert stage.hosts is not None
    stage.hosts.crash(1)


def network(stage: Stage) -> None:
    """the network of a host is cut"""
    assert stage.hosts is not None
    stage.hosts.cut(1)


def stumble(stage: Stage) -> None:
    """the network of a host is away for 10 s"""
    assert stage.hosts is not None
    stage.hosts.cut(1)
    time.sleep(10)
    stage.hosts.mend(1)


def more(stage: Stage) -> None:
    """a host joins in mid-run"""
    assert stage.hosts is not None
    before = len(stage.senders())
    stage.hosts.join(2)
    end = time.monotonic() + 40
    while len(stage.senders()) <= before:
        assert time.monotonic() < end, "the new host sends nothing"
        time.sleep(0.2)


def head(stage: Stage) -> None:
    """Ray's head is killed (its control store)"""
    assert stage.hosts is not None
    stage.hosts.kill(0, "gcs_server")


LOCAL: tuple[Callable[[Stage], None], ...] = (sender, halted, everyone, driver)
OVER_HOSTS: tuple[Callable[[Stage], None], ...] = (
    *(sender, everyone, driver, host),
    *(network, stumble, more, head),
)


def main() -> int:
    """Run the cases, and print their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("words", nargs="*", metavar="WORD")
    wanted = parser.parse_args()
    cases = OVER_HOSTS if wanted.ray else LOCAL
    print("| what | asked again | maybe billed | sessions | seconds after it | |")
    print("|---|---|---|---|---|---|")
    sound = True
    for case in cases:
        if wanted.words and case.__name__ not in wanted.words:
            continue
        found = played(case, ray=wanted.ray)
        sound = sound and not found["broken"]
        said = "; ".join(found["broken"]) or "kept"
        figures = (
            f"{found['again']} | {found['unknown']} | {found['sessions']} | {found['seconds']:.0f}"
        )
        print(f"| {case.__doc__} | {figures} | {said} |", flush=True)
    return 0 if sound else 1


def played(case: Callable[[Stage], None], *, ray: bool) -> dict[str, Any]:
    """What one case came to."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        slow = case in (halted, network, stumble, more, head)
        # Enough for a minute and a half, or ten seconds.
        stage = Stage(Path(name), rows=3600 if slow else 400, ray=ray)
        stack.callback(stage.served.close)
        if ray:
            hosts = HostsApart(Path(name), stage.port, stage.environment)
            stage.hosts = stack.enter_context(hosts)
            for number in range(2 if case is more else 3):
                hosts.join(number)
        stage.start()
        stage.after(60)
        at = time.monotonic()
        case(stage)
        code = stage.wait()
        if case is head:
            # It stays away, and the run stops in good order before its hosts end: the
            # same command, once it is back.
            if code != UNAVAILABLE:
                raise SystemExit(f"exit code {code}: " + (stage.work / "said").read_text())
            for number in range(3):
                hosts.crash(number)
            for number in range(3):
                hosts.join(number)
            stage.start()
            code = stage.wait()
        seconds = time.monotonic() - at
        return {**judged(stage, code), "seconds": seconds, "sessions": len(stage.codes)}


def judged(stage: Stage, code: int) -> dict[str, Any]:
    """The promises that were broken, and the figures."""
    asked, unknown, answered, spent, worst = figures(stage)
    again = asked - stage.rows
    lines = [json.loads(line) for line in (stage.work / "out.jsonl").read_text().splitlines()]
    alone = subprocess.run(
        stage.command("alone.jsonl"), cwd=stage.work, env=stage.environment, capture_output=True
    )
    undisturbed = [
        json.loads(line) for line in (stage.work / "alone.jsonl").read_text().splitlines()
    ]
    wrong = {
        f"exit code {code}": code != 0,
        "rows are missing, twice or in another order": [line["id"] for line in lines]
        != [f"r{n}" for n in range(stage.rows)],
        "an answer was lost": answered != stage.rows,
        "asked again though answered": again > unknown,
        "more asked again than was in flight": unknown > IN_FLIGHT * len(stage.codes),
        "the cap was passed": spent + worst > CAP_USD * 10**12,
        "other answers than undisturbed": alone.returncode != 0
        or [line["text"] for line in lines] != [line["text"] for line in undisturbed],
        "the key lies in a file": KEY.encode() in b"".join(files(stage.work)),
    }
    return {
        "broken": [what for what, bad in wrong.items() if bad],
        "again": again,
        "unknown": unknown,
    }


def figures(stage: Stage) -> tuple[int, int, int, int, int]:
    """Requests of the API, attempts of unknown outcome, answered ones, and pico-dollars
    of both.
    """
    journal = stage.work / "out.jsonl.claudebatch" / "journal.sqlite"
    with closing(sqlite3.connect(journal)) as file:
        (answered, spent) = file.execute(
            "SELECT count(*), sum(cost) FROM attempts WHERE state = 1"
        ).fetchone()
        (unknown, worst) = file.execute(
            "SELECT count(*), coalesce(sum(worst), 0) FROM attempts WHERE state = 3"
        ).fetchone()
    return stage.served.requests, unknown, answered, spent, worst


def files(folder: Path) -> list[bytes]:
    """What lies on disk, Ray's logs included."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            found.append(path.read_bytes())
    return found


if __name__ == "__main__":
    sys.exit(main())
