"""Marginal CPU per request of a whole run, as a ratio to a bare loop over the SDK,
measured in one run.

    python benchmarks/cpu.py [--repeats 3]

Both ask the same lean server (no latency, no limits) in a process of its own. Marginal:
the CPU time (user and system) of a process with 5,500 prompts less that of one with
500, over 5,000; so start-up does not count. The whole run is the command itself with
its durable journal, ledger, response cache and results file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from harness import claudebatch, lean_server, run_and_measure, write_prompts

SMALL, LARGE, IN_FLIGHT = 500, 5500, 64


async def bare_loop(lines: list[str]) -> None:
    """The same prompts through `messages.create`, 64 at a time, aiohttp transport,
    nothing else.
    """
    import anthropic

    rows = iter([json.loads(line) for line in lines])
    async with anthropic.AsyncAnthropic(http_client=anthropic.DefaultAioHttpClient()) as client:

        async def work() -> None:
            for row in rows:
                await client.messages.create(
                    model="claude-sonnet-5-5",
                    max_tokens=row["max_tokens"],
                    messages=[{"role": "user", "content": row["prompt"]}],
                )

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


def measure(folder: Path, env: dict[str, str], salt: str) -> tuple[float, float]:
    """(bare, whole run) marginal CPU milliseconds per request."""
    config = folder / "config.yaml"
    config.write_text(f"limits: {{tier: none}}\nconcurrency: {IN_FLIGHT}\n")
    bare: list[float] = []
    whole: list[float] = []
    for count in (SMALL, LARGE):
        path = folder / f"prompts-{salt}-{count}.jsonl"
        write_prompts(path, count, salt=f"{salt}-{count}")
        bare.append(run_and_measure([sys.executable, __file__, "--bare", str(path)], env).cpu_s)
        whole.append(
            run_and_measure(
                claudebatch("run", str(path), "-c", str(config), "--yes", "-q"), env
            ).cpu_s
        )
    return tuple((large - small) / (LARGE - SMALL) * 1000 for small, large in (bare, whole))  # type: ignore[return-value]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.bare:
        asyncio.run(bare_loop(wanted.bare.read_text().splitlines()))
        return
    with tempfile.TemporaryDirectory() as name, lean_server(Path(name)) as env:
        found = [measure(Path(name), env, str(turn)) for turn in range(wanted.repeats)]
    for bare, whole in found:
        print(f"bare SDK loop {bare:.3f} ms · whole run {whole:.3f} ms · ratio {whole / bare:.3f}")
    best_bare, best_whole = min(bare for bare, _ in found), min(whole for _, whole in found)
    print(
        f"best of {wanted.repeats}: {best_bare:.3f} ms · {best_whole:.3f} ms · ratio "
        f"{best_whole / best_bare:.3f}"
    )


if __name__ == "__main__":
    main()
