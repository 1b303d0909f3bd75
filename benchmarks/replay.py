"""How fast rows come out of the response cache, and how much memory an input of a
million lines takes.

    python benchmarks/replay.py [--small 100000] [--large 1000000]

The rows have different ids and a thousand different prompts, whose answers are in the
cache: nothing is sent, and every row still gets its own journal entry and result line.
Rows a second is marginal: the larger run less the smaller.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from harness import Used, claudebatch, lean_server, run_and_measure, write_prompts

DISTINCT = 1000


def measure(folder: Path, env: dict[str, str], count: int) -> Used:
    """One run over *count* rows, all of them cached."""
    path = folder / f"rows-{count}.jsonl"
    write_prompts(path, count, distinct=DISTINCT)
    return run_and_measure(claudebatch("run", str(path), "--yes", "-q"), env)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, lean_server(Path(name)) as env:
        config = Path(name) / "config.yaml"
        config.write_text("limits: {tier: none}\n")
        fill = Path(name) / "fill.jsonl"
        write_prompts(fill, DISTINCT)
        run_and_measure(claudebatch("run", str(fill), "-c", str(config), "--yes", "-q"), env)
        small, large = (
            measure(Path(name), env, wanted.small),
            measure(Path(name), env, wanted.large),
        )
    for count, used in ((wanted.small, small), (wanted.large, large)):
        print(
            f"{count:>9,} rows: {used.wall_s:6.1f} s wall, {used.cpu_s:6.1f} s CPU, peak "
            f"{used.peak_mb:.0f} MB"
        )
    rows = wanted.large - wanted.small
    print(
        f"{rows / (large.wall_s - small.wall_s):,.0f} rows/s · memory x "
        f"{large.peak_mb / small.peak_mb:.2f}"
    )


if __name__ == "__main__":
    main()
