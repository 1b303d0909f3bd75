"""`python -m tests.drills.disk`: the Nth call about each file fails, once or for ever;
nothing received may be lost.

Without options: a seeded sample over every file, kind of failure and both modes, a file
size limit, and damaged caches. `--all`: every call. Exit code 1 when a promise was
broken. It needs the kernel's help (see kernel.py).
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tests.drills import kernel, worker_pool
from tests.drills.crash import tell
from tests.drills.damage import Damage, damages
from tests.drills.disk_case import Bench
from tests.drills.faults import FILES, KINDS, Fault
from tests.drills.tally import Tally

DAMAGES = 4
"""Of each kind."""
LIMITS = (600, 2_000, 4_096, 20_000, 65_536, 100_000, 150_000, 200_000, 300_000)
"""Bytes beyond which no file may grow: from next to nothing to a little before the end.
"""


def sample(lengths: dict[str, int], rng: random.Random, rounds: int) -> Iterator[Fault]:
    """Every file, kind and mode, *rounds* times."""
    for _ in range(rounds):
        for file in FILES:
            for kind in KINDS:
                for for_ever in (False, True):
                    yield Fault(file, kind, rng.randint(1, lengths[file]), for_ever)


def every_fault(lengths: dict[str, int]) -> Iterator[Fault]:
    """Every call about every file."""
    for file in FILES:
        for kind in KINDS:
            for for_ever in (False, True):
                yield from (Fault(file, kind, at, for_ever) for at in range(1, lengths[file] + 1))


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, tell, judge."""
    options = _options(arguments)
    if not kernel.available():
        print(
            "skipped: this kernel does not let a process decide on another's system calls (Linux "
            "5.5 or later)"
        )
        return 0
    began, rng = time.monotonic(), random.Random(options.seed)
    place = worker_pool.ready()
    try:
        bench = Bench(place / "calm")
        lengths = bench.lengths()
        faults = every_fault(lengths) if options.all else sample(lengths, rng, options.rounds)
        tasks: list[Fault | int | Damage] = [
            *faults,
            *LIMITS,
            *damages(rng, 30 if options.all else DAMAGES),
        ]
        tally = Tally(means="kernel", seed=options.seed)
        for verdict in worker_pool.play_all(tasks, partial(_player, bench, place), options.workers):
            tally.add(verdict)
            if options.all and tally.cases % 100 == 0:
                print(
                    f"{tally.cases:,} of {len(tasks):,} cases, {len(tally.problems):,} problems",
                    file=sys.stderr,
                    flush=True,
                )
        bench.close()
    finally:
        worker_pool.clear(place)
    print(tally.table())
    tell(tally.figures(time.monotonic() - began), options, "disk")
    return 1 if tally.problems else 0


def _player(
    bench: Bench, place: Path, number: int
) -> tuple[Callable[[Any], dict[str, Any]], Callable[[], None]]:
    own = bench.another(Path(tempfile.mkdtemp(prefix=f"worker-{number}-", dir=place)))

    def play(task: Fault | int | Damage) -> dict[str, Any]:
        if isinstance(task, Fault):
            return asdict(own.play(task))
        if isinstance(task, int):
            return asdict(own.play_limit(task))
        return asdict(own.play_damage(task))

    return play, own.close


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.disk", description=__doc__)
    parser.add_argument(
        "--all", action="store_true", help="every call about every file, and more damage"
    )
    parser.add_argument("--rounds", type=int, default=1, help="of the sample")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--workers", type=int, default=worker_pool.workers())
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--record", action="store_true", help="keep them as the last ones, for docs/reliability.md"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
