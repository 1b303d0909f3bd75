"""What a run of a few rows takes, as whoever waits for it feels it, over real sockets.

    python benchmarks/felt.py [--latency fixed:0.15] [--times 5]

One row without `max_tokens`, and 24 with it, under default settings, at a simulator
with the limits of the Start tier; beside them the same rows sent all at once by a bare
script over the SDK. Each time is the median of some runs, and has two parts: the
process starts, until its first request reaches the server; and all the rest, until the
process has ended. Takes a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from harness import claudebatch
from limits import Seen, drive_against

START_TIER = {"rpm": 1000, "itpm": 2_000_000, "otpm": 400_000, "burst_seconds": 60}
_MODEL = "claude-haiku-4-5"
_CASES: dict[str, list[dict[str, Any]]] = {
    "1 row": [{"prompt": "Why is the sky blue?"}],
    "24 rows": [{"prompt": f"Why is {n} odd?", "max_tokens": 1024} for n in range(1, 48, 2)],
}


def ours(rows: Path, folder: Path, latency: str) -> Seen:
    """One run of the command, with default settings and a new home."""
    own = {
        "CLAUDEBATCH_CACHE_DIR": str(folder / "cache"),
        "CLAUDEBATCH_STATE_DIR": str(folder / "state"),
    }
    command = claudebatch("run", str(rows), "-m", _MODEL, "--yes", "-qq")
    return drive_against(START_TIER, command, own, latency)


def bare(rows: Path, latency: str) -> Seen:
    """One run of the script below."""
    return drive_against(START_TIER, [sys.executable, __file__, "--send", str(rows)], {}, latency)


async def send(rows: list[dict[str, Any]]) -> None:
    """What is written without a tool: everything at once."""
    from anthropic import AsyncAnthropic

    async with AsyncAnthropic() as client:
        await asyncio.gather(
            *(
                client.messages.create(
                    model=_MODEL,
                    max_tokens=row.get("max_tokens", 1024),
                    messages=[{"role": "user", "content": row["prompt"]}],
                )
                for row in rows
            )
        )


def cells(runs: list[Seen]) -> str:
    """The medians of both parts, and what was refused."""
    assert all(run.exit_code == 0 for run in runs), "a run that fails is no figure"
    parts = [median(run.start_s for run in runs), median(run.rest_s for run in runs)]
    refused = sum(run.limited for run in runs)
    return " | ".join([*(f"{part:.2f} s" for part in parts), str(refused)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", default="fixed:0.15", help="of answers; see docs/simulator.md")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--send", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.send is not None:
        asyncio.run(send([json.loads(line) for line in wanted.send.read_text().splitlines()]))
        return
    print("| rows | who | start of the process | first request to the end | 429s |")
    print("|---|---|---|---|---|")
    for name, prompts in _CASES.items():
        found: dict[str, list[Seen]] = {"claudebatch": [], "bare SDK script": []}
        for _ in range(wanted.times):
            with tempfile.TemporaryDirectory() as folder:
                rows = Path(folder) / "rows.jsonl"
                rows.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
                found["bare SDK script"].append(bare(rows, wanted.latency))
                found["claudebatch"].append(ours(rows, Path(folder), wanted.latency))
        for who, runs in found.items():
            print(f"| {name} | {who} | {cells(runs)} |", flush=True)


if __name__ == "__main__":
    main()
