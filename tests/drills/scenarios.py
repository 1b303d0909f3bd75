"""The small runs that are killed: each ends with the step in which the deaths
happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.drills.judge import Judge
from tests.drills.workspace import Stage

IN_FLIGHT = 3
RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-q", "-j", str(IN_FLIGHT), "--yes")


@dataclass(frozen=True)
class Step:
    """One command; after a death the same again, or what the hint says."""

    arguments: tuple[str, ...]
    again: tuple[str, ...] = ()
    stdin: bytes = b""
    code: int = 0


@dataclass(frozen=True)
class Scenario:
    """A run; *before* makes what the deadly step finds."""

    name: str
    step: Step
    before: Callable[[Stage, Judge, Callable[[Step], None]], None]
    weight: int = 1


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    """Rows whose prompt is their id."""
    return [
        {"id": f"row-{n}", "prompt": f"row-{n}", "max_tokens": 200, **more} for n in range(count)
    ]


def _plain(count: int) -> Callable[[Stage, Judge, Callable[[Step], None]], None]:
    def before(stage: Stage, _: Judge, __: Callable[[Step], None]) -> None:
        stage.write("in.jsonl", rows(count))

    return before


def _shared(stage: Stage, _: Judge, __: Callable[[Step], None]) -> None:
    stage.write("in.jsonl", rows(5))
    with (stage.work / "claudebatch.yaml").open("a") as config:
        config.write("budget: {day: 5}\n")


def _edited(stage: Stage, judge: Judge, do: Callable[[Step], None]) -> None:
    stage.write("in.jsonl", rows(5))
    do(Step((*RUN, "--ordered")))
    changed = rows(7)[1:]
    changed[2]["prompt"] += " edited"
    stage.write("in.jsonl", changed)
    judge.retire(["row-0", "row-3"])


def _finished(stage: Stage, judge: Judge, do: Callable[[Step], None]) -> None:
    stage.write("in.jsonl", rows(4))
    do(Step((*RUN, "--ordered")))
    judge.retire((f"row-{n}" for n in range(4)), new_run=True)


def _rehearsed(stage: Stage, judge: Judge, do: Callable[[Step], None]) -> None:
    stage.write("in.jsonl", rows(4))
    do(Step((*RUN, "--ordered", "--simulate")))
    judge.retire((f"row-{n}" for n in range(4)), new_run=True)


def _failed(stage: Stage, judge: Judge, do: Callable[[Step], None]) -> None:
    stage.write("in.jsonl", rows(5))
    stage.api.script("ok", "404", "ok", "404")
    do(Step((*RUN, "--ordered", "-j", "1"), code=1))
    stage.api.script()
    judge.retire(["row-1", "row-3"])


def _piped(count: int) -> bytes:
    return b"".join(
        b'{"id": "row-%d", "prompt": "row-%d", "max_tokens": 200}\n' % (n, n) for n in range(count)
    )


def _nothing(_: Stage, __: Judge, ___: Callable[[Step], None]) -> None:
    pass


ORDERED = (*RUN, "--ordered")
FRESH = (*ORDERED, "--no-cache", "--fresh")
SCENARIOS = (
    Scenario("ordered", Step(ORDERED), _plain(6), weight=5),
    Scenario("without the cache", Step((*ORDERED, "--no-cache")), _plain(6), weight=3),
    Scenario("under a cap", Step((*ORDERED, "--budget", "5")), _plain(5), weight=2),
    Scenario("under a shared cap", Step(ORDERED), _shared, weight=2),
    Scenario("piped input", Step(("run", "-", *ORDERED[2:]), stdin=_piped(4)), _nothing),
    Scenario("an edited input", Step(ORDERED), _edited),
    Scenario("--fresh", Step(FRESH, again=FRESH[:-1]), _finished),
    Scenario("after a rehearsal", Step(ORDERED), _rehearsed),
    Scenario("--retry-failed", Step((*ORDERED, "--retry-failed")), _failed),
)


def named(name: str) -> Scenario:
    """The scenario of that name."""
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def weighted() -> Iterator[Scenario]:
    """Each as often as it weighs."""
    for scenario in SCENARIOS:
        yield from [scenario] * scenario.weight
