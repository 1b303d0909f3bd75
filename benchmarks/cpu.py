"""Marginal CPU per request of a whole run, as a ratio to a bare loop over the SDK, measured in one run.

    python benchmarks/cpu.py [--repeats 3]

Both ask the same lean server (no latency, no limits) in a process of its own. Marginal: the CPU time (user and system)
of a process with 5,500 prompts less that of one with 500, over 5,000; so start-up does not count. The whole run is
the command itself with its durable journal, ledger, response cache and results file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SMALL, LARGE, IN_FLIGHT = 500, 5500, 64


def prompts(path: Path, count: int, salt: str) -> None:
    """Write *count* different prompts of some 120 bytes."""
    with path.open("w") as file:
        for number in range(count):
            prompt = f"Question {salt}-{number}: what is the shortest way from A to B, and why is it not the fastest one?"
            file.write(json.dumps({"id": f"row-{number}", "prompt": prompt, "max_tokens": 1000}) + "\n")


async def bare_loop(path: Path) -> None:
    """The same prompts through `messages.create`, 64 at a time, aiohttp transport, nothing else."""
    import anthropic

    rows = iter([json.loads(line) for line in path.read_text().splitlines()])
    async with anthropic.AsyncAnthropic(http_client=anthropic.DefaultAioHttpClient()) as client:

        async def work() -> None:
            for row in rows:
                await client.messages.create(
                    model="claude-sonnet-5-5",
                    max_tokens=row["max_tokens"],
                    messages=[{"role": "user", "content": row["prompt"]}],
                )

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


def cpu_seconds(command: list[str], env: dict[str, str]) -> float:
    """User and system seconds of *command*."""
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command}: {process.stderr.read().decode() if process.stderr else status}")
    return used.ru_utime + used.ru_stime


def measure(folder: Path, env: dict[str, str], salt: str) -> tuple[float, float]:
    """(bare, whole run) marginal CPU milliseconds per request."""
    config = folder / "config.yaml"
    config.write_text("limits: {tier: none}\nconcurrency: 64\n")
    spent: dict[str, list[float]] = {"bare": [], "run": []}
    for count in (SMALL, LARGE):
        path = folder / f"prompts-{salt}-{count}.jsonl"
        prompts(path, count, f"{salt}-{count}")
        spent["bare"].append(cpu_seconds([sys.executable, __file__, "--bare", str(path)], env))
        run = [sys.executable, "-m", "claudebatch", "run", str(path), "-c", str(config), "--yes", "-q"]
        spent["run"].append(cpu_seconds(run, env))
    bare, run_ms = ((large - small) / (LARGE - SMALL) * 1000 for small, large in spent.values())
    return bare, run_ms


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bare", type=Path)
    wanted = parser.parse_args()
    if wanted.bare:
        asyncio.run(bare_loop(wanted.bare))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("lean_server.py"))], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            env = {
                **os.environ, "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "simulated",
                "CLAUDEBATCH_CACHE_DIR": str(folder / "cache"), "CLAUDEBATCH_STATE_DIR": str(folder / "state"),
            }  # fmt: skip
            found = [measure(folder, env, str(turn)) for turn in range(wanted.repeats)]
        finally:
            server.terminate()
            server.wait(10)
    for bare, run in found:
        print(f"bare SDK loop {bare:.3f} ms · whole run {run:.3f} ms · ratio {run / bare:.3f}")
    best_bare, best_run = min(bare for bare, _ in found), min(run for _, run in found)
    print(f"best of {wanted.repeats}: {best_bare:.3f} ms · {best_run:.3f} ms · ratio {best_run / best_bare:.3f}")


if __name__ == "__main__":
    main()
