"""A hundred thousand rows by message batches over real sockets: every row once, the
ledger equal to the simulator's bill, and the memory of it.

    PYTHONPATH=. python benchmarks/batches.py [--rows 100000]

Three models in a mix; 1 % of the rows are errored, 1 % expire and 1 % are canceled, and
come back in another batch. A second run sends nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from harness import Used, run_and_measure
from harness import claudebatch as command

import claudebatch.simulator.http
from claudebatch.simulator import SimulatedBatches
from tests.e2e.served import Served

MODELS = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5")
FAULTS = {"batch_invalid": 0.01, "batch_expired": 0.01, "batch_canceled": 0.01}
CONFIG = "limits: {tier: none}\nbatches: {poll: 1s}\n"


def write(path: Path, rows: int) -> None:
    """The rows, of some 150 bytes."""
    with path.open("w") as file:
        for number in range(rows):
            row = {
                "id": f"row-{number}",
                "model": MODELS[number % len(MODELS)],
                "prompt": f"Question {number}: what is the shortest way from A to B, and why?",
                "max_tokens": 200,
            }
            file.write(json.dumps(row) + "\n")


def asked(path: Path, sql: str) -> int:
    """A number out of a SQLite file."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute(sql).fetchone()[0] or 0)


def run(folder: Path, env: dict[str, str]) -> Used:
    """One run over all rows; its exit code is 0, as failed rows are allowed."""
    paths = (str(folder / "rows.jsonl"), "-o", str(folder / "out.jsonl"))
    more = ("-c", str(folder / "config.yaml"), "--batch", "--budget", "1000", "--exit-zero", "-q")
    return run_and_measure(command("run", *paths, *more), env)


def main() -> None:
    """Measure, check and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    # Its answers are to enter cache and ledger.
    claudebatch.simulator.http.MARK = b""
    served = Served(batches=SimulatedBatches(time=100.0, latency="fixed:300"), faults=FAULTS)
    # Of a hundred thousand requests only the number is wanted.
    served.ask(lambda simulator: setattr(simulator, "on_request", lambda body: None))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "rows.jsonl", rows)
        (folder / "config.yaml").write_text(CONFIG)
        env = {
            **os.environ,
            "ANTHROPIC_BASE_URL": served.url,
            "ANTHROPIC_API_KEY": "simulated",
            "CLAUDEBATCH_CACHE_DIR": str(folder / "cache"),
            "CLAUDEBATCH_STATE_DIR": str(folder / "state"),
        }
        first = run(folder, env)
        stats = served.stats()
        second = run(folder, env)
        report(folder, rows, stats, served.stats(), (first, second))
    served.close()


def report(
    folder: Path,
    rows: int,
    stats: dict[str, object],
    later: dict[str, object],
    used: tuple[Used, Used],
) -> None:
    """Check the promises, and print the figures."""
    bill = stats["billed_pico"]
    journal = folder / "out.jsonl.claudebatch" / "journal.sqlite"
    ledger = folder / "state" / "spend.sqlite"
    with (folder / "out.jsonl").open() as file:
        names = [json.loads(line)["id"] for line in file]
    assert len(names) == len(set(names)) == rows, "every row once"
    assert bill == asked(journal, "SELECT sum(cost) FROM attempts"), "journal is the bill"
    assert bill == asked(ledger, "SELECT sum(spent) FROM spend"), "ledger is the bill"
    assert not asked(ledger, "SELECT sum(amount) FROM holds"), "nothing is held"
    assert later["billed_pico"] == bill, "a second run sends nothing"
    first, second = used
    batches = stats["batches"]
    print(f"{rows:,} rows, {len(MODELS)} models: {batches}")
    for name, run_of in (("first", first), ("second", second)):
        print(
            f"{name} run: {run_of.wall_s:.1f} s wall, {run_of.cpu_s:.1f} s CPU, "
            f"peak {run_of.peak_mb:.0f} MB"
        )
    print(f"journal = ledger = bill = {bill} pico-dollars")


if __name__ == "__main__":
    main()
