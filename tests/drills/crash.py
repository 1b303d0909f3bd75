"""`python -m tests.drills.crash`: kill -9 at every durable system call of small runs,
and the simulator's log as judge.

Without options: 300 deaths, seeded. `--all`: every call of every scenario alone, every
fifth with two more deaths during the resume, then deaths at random moments. Prints a
table. Exit code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from tests.drills import kernel, page, worker_pool
from tests.drills.case import Death, Theatre
from tests.drills.scenarios import SCENARIOS, Scenario, named, weighted
from tests.drills.tally import Tally

LONGEST_CHAIN = 4
SESSION_S = 0.3
"""About what an undisturbed session lasts: deaths at random moments fall within it."""
NESTED_STEP = 5
ROUNDS = 10
"""Something is wrong when so many have not brought the deaths that were wanted."""
SLACK = 20
"""Sessions differ by some calls: so many numbers beyond those of one undisturbed
session are tried as well.
"""
INSIDE_STEPS = 330
TRACED_DEEP = 90
TRACED = ("write", "pwrite64", "fsync", "fdatasync", "rename", "ftruncate", "unlink")


@dataclass(frozen=True)
class Task:
    """One case to play."""

    scenario: str
    deaths: tuple[Death, ...]


def sample(count: int, lengths: dict[str, int], rng: random.Random, *, by: str) -> list[Task]:
    """Cases with *count* deaths between them: at a call, or one in five at any moment;
    up to four in a row.
    """
    tasks, scenarios = [], [scenario for scenario in weighted() if scenario.name in lengths]
    while count > 0:
        scenario = rng.choice(scenarios)
        deaths = tuple(
            _death(lengths[scenario.name], rng, by)
            for _ in range(min(count, rng.randint(1, LONGEST_CHAIN)))
        )
        tasks.append(Task(scenario.name, deaths))
        count -= len(deaths)
    return tasks


def _death(length: int, rng: random.Random, by: str) -> Death:
    if by == "moment" or rng.random() < 0.2:
        return Death(after_s=rng.uniform(0.0, SESSION_S))
    if by == "strace":
        return Death(by=by, call=rng.choice(TRACED), at=rng.randint(1, 40))
    return Death(by=by, at=rng.randint(1, length))


def every_call(lengths: dict[str, int], *, by: str) -> Iterator[Task]:
    """Every durable call of every scenario, one death each."""
    for name, length in lengths.items():
        if by == "strace":
            for call in TRACED:
                yield from (
                    Task(name, (Death(by=by, call=call, at=number),))
                    for number in range(1, TRACED_DEEP)
                )
        else:
            yield from (
                Task(name, (Death(by=by, at=number),)) for number in range(1, length + SLACK)
            )


def nested(lengths: dict[str, int], rng: random.Random, *, by: str) -> Iterator[Task]:
    """Every fifth call again, and two more deaths while the run is resumed."""
    for task in islice(every_call(lengths, by=by), rng.randrange(NESTED_STEP), None, NESTED_STEP):
        more = tuple(_death(lengths[task.scenario], rng, by) for _ in range(2))
        yield Task(task.scenario, (*task.deaths, *more))


def _programme(
    options: argparse.Namespace, lengths: dict[str, int], rng: random.Random, tally: Tally
) -> Iterator[list[Task]]:
    """What is to be played, part by part: some sessions end before the death that was
    meant for them.
    """
    if options.all:
        yield [*every_call(lengths, by=options.by), *nested(lengths, rng, by=options.by)]
    wanted = tally.deaths + options.runs
    for _ in range(ROUNDS):
        missing = wanted - tally.deaths
        if missing <= 0 or tally.problems:
            return
        yield sample(
            missing + missing // 4 + 1, lengths, rng, by="moment" if options.all else options.by
        )


def means(wanted: str) -> str:
    """How processes are killed: the best that this machine allows."""
    if wanted != "auto":
        return wanted
    if kernel.available():
        return "kernel"
    return "strace" if shutil.which("strace") else "inside"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, tell, judge."""
    options = _options(arguments)
    options.by = means(options.by)
    began = time.monotonic()
    place = worker_pool.ready()
    try:
        theatre = Theatre(place / "calm", supervised=kernel.available())
        lengths = _lengths(theatre, options)
        tally = Tally(means=options.by, seed=options.seed)
        rng = random.Random(options.seed)
        player = partial(_player, theatre, place)
        for tasks in _programme(options, lengths, rng, tally):
            for verdict in worker_pool.play_all(tasks, player, options.workers):
                tally.add(verdict)
                if options.all and tally.cases % 100 == 0:
                    print(
                        f"{tally.cases:,} cases, {len(tally.problems):,} problems",
                        file=sys.stderr,
                        flush=True,
                    )
        theatre.close()
    finally:
        worker_pool.clear(place)
    figures = tally.figures(time.monotonic() - began)
    print(tally.table())
    tell(figures, options, "crash")
    return 1 if tally.problems else 0


def tell(figures: dict[str, Any], options: argparse.Namespace, drill: str) -> None:
    """Write the figures wherever they are wanted."""
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")
    if options.record:
        page.record(f"{drill} --all" if options.all else drill, figures)


def _lengths(theatre: Theatre, options: argparse.Namespace) -> dict[str, int]:
    wanted = [scenario for scenario in SCENARIOS if options.scenario in (None, scenario.name)]
    calm = {scenario.name: len(theatre.calm(scenario).points) for scenario in wanted}
    return calm if options.by == "kernel" else dict.fromkeys(calm, INSIDE_STEPS)


def _player(
    theatre: Theatre, place: Path, number: int
) -> tuple[Callable[[Task], dict[str, Any]], Callable[[], None]]:
    own = theatre.another(Path(tempfile.mkdtemp(prefix=f"worker-{number}-", dir=place)))

    def play(task: Task) -> dict[str, Any]:
        scenario: Scenario = named(task.scenario)
        return asdict(own.play(scenario, task.deaths))

    return play, own.close


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.crash", description=__doc__)
    parser.add_argument(
        "--runs",
        type=int,
        default=300,
        metavar="N",
        help="deaths (with --all: those at random moments)",
    )
    parser.add_argument("--all", action="store_true", help="every durable call of every scenario")
    parser.add_argument(
        "--scenario", choices=[scenario.name for scenario in SCENARIOS], help="only this one"
    )
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument(
        "--by", choices=("auto", "kernel", "strace", "inside"), default="auto", help="what kills"
    )
    parser.add_argument("--workers", type=int, default=worker_pool.workers())
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--record", action="store_true", help="keep them as the last ones, for docs/reliability.md"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
