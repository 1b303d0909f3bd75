"""`python -m tests.drills.batches`: kill -9 before every durable system call of runs
that send message batches, every fifth again while it is taken up, and the simulator's
bill as judge.

`--record FILE` writes a line for each case and leaves out what that file has: passes
that are interrupted, or run by parts (`--from`, `--every`), add up. Prints a table.
Exit code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.drills import kernel, worker_pool
from tests.drills.batch_case import SCENARIOS, named, play, preload, steps
from tests.drills.tally import Tally

SLACK = 20
"""Sessions differ by some calls: so many numbers beyond those of an undisturbed one are
tried as well.
"""
# A list is believed after this, not after three minutes: the simulator's has no lag.
LAG_S = 0.3


@dataclass(frozen=True)
class Task:
    """One case: the numbers of the calls before which its sessions die, one each."""

    scenario: str
    deaths: tuple[int, ...]


def tasks(lengths: dict[str, int], options: argparse.Namespace) -> Iterator[Task]:
    """The cases that the options ask for; the same ones each time."""
    for name, length in lengths.items():
        for at in range(options.first, length + SLACK, options.every):
            yield Task(name, (at,))
            if at % options.nested == 0:
                rng = random.Random(at)
                yield Task(name, (at, rng.randint(1, length), rng.randint(1, length)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, tell, judge."""
    options = _options(arguments)
    if not kernel.available():
        print("the kernel cannot be asked here (Linux 5.5 or later): nothing was tried")
        return 0
    known = recorded(options.record)
    tally = Tally(means="kernel", seed=7)
    with ExitStack() as stack:
        stack.enter_context(patch("claudebatch.engine.batches.orphans.LAG_S", LAG_S))
        place = worker_pool.ready()
        stack.callback(worker_pool.clear, place)
        preload(place)
        wanted = [one for one in SCENARIOS if options.scenario in (None, one.name)]
        lengths = {one.name: steps(one, place) for one in wanted}
        todo = [task for task in tasks(lengths, options) if task not in known]
        for verdict in worker_pool.play_all(todo, _player(place), options.workers):
            known[_task(verdict)] = verdict
            if options.record:
                with options.record.open("a") as record:
                    record.write(json.dumps(verdict) + "\n")
    for verdict in known.values():
        tally.add(verdict)
    print(tally.table())
    figures = {**tally.figures(0), "calls": lengths}
    print(json.dumps(figures))
    if options.json:
        options.json.write_text(json.dumps(figures))
    return bool(tally.problems)


def _task(verdict: dict[str, Any]) -> Task:
    return Task(verdict["scenario"], tuple(verdict["at"]))


def _player(place: Path) -> Callable[[int], tuple[worker_pool.Player[Task], Callable[[], None]]]:
    def player(number: int) -> tuple[worker_pool.Player[Task], Callable[[], None]]:
        own = Path(tempfile.mkdtemp(prefix=f"worker-{number}-", dir=place))

        def one(task: Task) -> dict[str, Any]:
            verdict = play(named(task.scenario), task.deaths, own)
            return {**verdict, "at": list(task.deaths)}

        return one, lambda: None

    return player


def recorded(file: Path | None) -> dict[Task, dict[str, Any]]:
    """What earlier passes have found. What broke a promise is tried again."""
    if file is None or not file.exists():
        return {}
    verdicts = [json.loads(line) for line in file.read_text().splitlines()]
    return {_task(verdict): verdict for verdict in verdicts if not verdict["problems"]}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.batches", description=__doc__)
    parser.add_argument("--from", dest="first", type=int, default=1, metavar="K")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="of N calls one")
    parser.add_argument(
        "--nested", type=int, default=5, metavar="N", help="every Nth dies three times"
    )
    parser.add_argument(
        "--scenario", choices=[scenario.name for scenario in SCENARIOS], help="only this one"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="a line for each case")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--workers", type=int, default=worker_pool.workers())
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
