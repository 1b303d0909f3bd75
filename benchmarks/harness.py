"""What the benchmarks share: prompts, a lean server, a process of ours and what it
used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Used:
    """What one process took."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def write_prompts(path: Path, count: int, *, distinct: int | None = None, salt: str = "") -> None:
    """Write *count* rows of some 150 bytes, ids all different, with *distinct*
    different prompts.
    """
    with path.open("w") as file:
        for number in range(count):
            about = number % (distinct or count)
            question = "what is the shortest way from A to B, and why not the fastest?"
            prompt = f"Question {salt}-{about}: {question}"
            file.write(
                json.dumps({"id": f"row-{number}", "prompt": prompt, "max_tokens": 1000}) + "\n"
            )


def run_and_measure(command: list[str], env: dict[str, str]) -> Used:
    """Run *command* to its end; a failure ends the benchmark."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started
    if status:
        raise SystemExit(
            f"{command}: {process.stderr.read().decode() if process.stderr else status}"
        )
    return Used(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss / 1024)


def claudebatch(*arguments: str) -> list[str]:
    """The command line of our own command."""
    return [sys.executable, "-m", "claudebatch", *arguments]


@contextmanager
def lean_server(folder: Path) -> Iterator[dict[str, str]]:
    """The environment that points at a lean server, with caches and ledgers under
    *folder*.
    """
    command = [sys.executable, str(Path(__file__).with_name("lean_server.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            yield {
                **os.environ,
                "ANTHROPIC_BASE_URL": url,
                "ANTHROPIC_API_KEY": "benchmark",
                "CLAUDEBATCH_CACHE_DIR": str(folder / "cache"),
                "CLAUDEBATCH_STATE_DIR": str(folder / "state"),
            }
        finally:
            server.terminate()
