"""`python -m tests.drills.batches [--every 7] [--nested 5]`: kill -9 before the durable
steps of a run that sends two message batches, in whichever thread they happen, and the
simulator's bill as judge.

Prints one line of figures. Exit code 1 when a promise was broken.
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
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from claudebatch.simulator import SimulatedBatches
from tests.e2e.served import Served

ROWS = 16
PATIENCE_S = 120
CONFIG = "limits: {tier: none}\nbatches: {poll: 0.05s, max_requests: 8}\n"
COMMAND = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku", "--batch", "--budget", "5", "-q")
# A list is believed after a second here, not after three minutes.
CHILD = """
import sys
from pathlib import Path
import claudebatch.engine.batches.orphans as orphans
orphans.LAG_S = 1.0
from claudebatch.__main__ import main
from tests.drills.selfkill import die_at
at, folder = int(sys.argv[1]), Path(sys.argv[2])
sys.argv = ["claudebatch", *sys.argv[3:]]
if at:
    die_at(at, folder)
main()
"""


class Stage:
    """One run's world: its folder, its environment and its simulator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        (self.work / "claudebatch.yaml").write_text(CONFIG)
        rows = [{"id": f"r{n}", "prompt": f"question {n}"} for n in range(ROWS)]
        (self.work / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.served = Served(batches=SimulatedBatches(time=1000.0, latency="fixed:1"))
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "HOME": str(folder),
            "CLAUDEBATCH_CACHE_DIR": str(folder / "cache"),
            "CLAUDEBATCH_STATE_DIR": str(folder / "state"),
            "ANTHROPIC_BASE_URL": self.served.url,
            "ANTHROPIC_API_KEY": "simulated",
        }

    def session(self, at: int) -> int:
        """The exit code of a session that dies before durable step *at*; 0: of one
        that does not.
        """
        return subprocess.run(
            [sys.executable, "-c", CHILD, str(at), str(self.folder), *COMMAND],
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        ).returncode

    def broken(self) -> list[str]:
        """The promises that were not kept."""
        stats = self.served.stats()
        bill, batches = stats["billed_pico"], stats["batches"]
        lines = (self.work / "out.jsonl").read_text().splitlines()
        journal = self.work / "out.jsonl.claudebatch" / "journal.sqlite"
        ledger = self.folder / "state" / "spend.sqlite"
        promises = {
            "every answer once": len({json.loads(line)["id"] for line in lines}) == ROWS
            and len(lines) == ROWS,
            "no row in two batches": batches["requests"] == ROWS and not batches["billed_again"],
            "journal is the bill": _sum(journal, "SELECT sum(cost) FROM attempts") == bill,
            "ledger is the bill": _sum(ledger, "SELECT sum(spent) FROM spend") == bill,
            "nothing is held": not _sum(ledger, "SELECT sum(amount) FROM holds"),
        }
        return [promise for promise, kept in promises.items() if not kept]


def _sum(path: Path, sql: str) -> int:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute(sql).fetchone()[0] or 0)


@contextmanager
def stage() -> Iterator[Stage]:
    """A fresh one, whose answers pass for real ones."""
    # Of this stage only: later tests in this process look for the mark.
    unmarked = patch("claudebatch.simulator.http.MARK", b"")
    with unmarked, tempfile.TemporaryDirectory() as name:
        one = Stage(Path(name))
        try:
            yield one
        finally:
            one.served.close()


def play(*deaths: int) -> tuple[int, list[str]]:
    """(deaths that came, broken promises) of sessions that die before those steps, and
    one that goes on to the end.
    """
    with stage() as one:
        died = 0
        for at in deaths:
            code = one.session(at)
            died += code == -signal.SIGKILL
            if code not in (0, -signal.SIGKILL):
                return died, [f"exit code {code}"]
        code = one.session(0)
        return died, [f"exit code {code}"] if code else one.broken()


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Die at every so many steps, until a session lives to its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="of so many steps one is tried")
    parser.add_argument("--nested", type=int, default=5, help="every so manyth dies twice")
    wanted = parser.parse_args(arguments)
    figures = {"cases": 0, "deaths": 0, "steps": 0}
    problems: list[str] = []
    at = 1
    while True:
        case = figures["cases"] + 1
        twice = case % wanted.nested == 0
        died, broken = play(at, *((at,) if twice else ()))
        if not died:
            break
        figures = {"cases": case, "deaths": figures["deaths"] + died, "steps": at}
        problems += [f"step {at}: {what}" for what in broken]
        at += wanted.every
    print(json.dumps({**figures, "problems": problems}))
    return {**figures, "problems": problems}


if __name__ == "__main__":
    sys.exit(bool(main()["problems"]))
