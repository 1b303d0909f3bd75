"""Whole runs of rows that share beginnings, in virtual time: the engine over the whole
stack, before an API that caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from claudebatch.core.domain import Call, Outcome, Pico, Usage
from claudebatch.core.events import ConcurrencyChanged, Event
from claudebatch.engine.engine import Engine
from claudebatch.layers.prompt_caching import own_marks
from claudebatch.layers.prompt_caching.own_marks import without_marks
from claudebatch.layers.prompt_caching.placed import PlacedCall
from claudebatch.setup.pools import slots
from claudebatch.setup.stack import build_stack
from tests.support.caching_api import OUTPUT, CachingApi
from tests.support.parts import Bench, make_bench
from tests.support.scripted import HAIKU
from tests.support.virtual import now, run_virtual

POOL = "haiku-5.5"
_DOCUMENT = "The quick brown fox jumps over the lazy dog. " * 60
"""1,038 tokens: above the minimum, and quick to handle."""
_LONGEST_HEAD_S = 1.0


@dataclass(frozen=True)
class Job:
    """*beginnings* that *rows* each share, which stand together in the input."""

    beginnings: int
    rows: int
    latency_s: float
    in_flight: int
    streams: bool = True
    mixed: bool = False
    """Whether rows of one beginning lie far apart in the input."""
    prewarms: bool = True
    """Whether requests without output may be sent, as where marks are set by a plan."""

    @property
    def head_s(self) -> float:
        """Until an answer begins."""
        return min(_LONGEST_HEAD_S, self.latency_s / 4)


@dataclass(frozen=True)
class Ran:
    """A run that is over."""

    writes: int
    took_s: float
    cost: Pico
    optimum: Pico
    """What it costs to write each beginning once and read it always."""
    finished: int
    sent: int


def run(job: Job, *, cached: bool = True, change: Callable[[Call], Call] | None = None) -> Ran:
    """Run *job* to its end; without *cached*, its requests have no marks. *change*
    makes other calls of them.
    """
    return run_virtual(_run(job, change or (None if cached else without_marks)))


async def _run(job: Job, change: Callable[[Call], Call] | None) -> Ran:
    bench = make_bench(cached=False, concurrency=job.in_flight)
    api = CachingApi(job.latency_s, job.head_s, streams=job.streams, keep=False)
    finished = 0

    async def finish(outcome: Outcome) -> None:
        nonlocal finished
        finished += 1

    def emit(event: Event) -> None:
        if isinstance(event, ConcurrencyChanged):
            engine.resize(event.pool, event.limit)

    def place(call: Call) -> PlacedCall:
        return own_marks.place(call).shared_by(job.rows if job.prewarms else 0)

    parts = replace(bench.parts, emit=emit, place=place)
    engine = Engine(
        build_stack(parts, api),
        feeds=[_Lane(_calls(bench, job, change))],  # type: ignore[list-item]
        workers=slots(parts.settings.limits)[0] + 1,
        finish=finish,
        value_of=lambda call, reply: 0,
        drain=bench.drain,
        now=now,
        emit=emit,
        resting=parts.resting,
    )
    ended = await engine.run()
    assert ended.crashed is None
    return Ran(
        api.writes,
        now(),
        sum(entry.cost for entry in bench.log.entries),
        _optimum(bench, api, job.beginnings),
        finished,
        len(api.came) + len(api.asked_ahead),
    )


def _optimum(bench: Bench, api: CachingApi, beginnings: int) -> Pico:
    def cost(usage: Usage) -> Pico:
        return bench.run_setup.prices.cost(HAIKU, usage)

    read = sum(
        cost(Usage(t.fresh, OUTPUT, cache_read_input_tokens=t.written + t.read)) for t in api.usages
    )
    # Documents are of one length, but for their numbers.
    long = max(tokens.written + tokens.read for tokens in api.usages)
    written = cost(Usage(ephemeral_5m_input_tokens=long))
    return read + beginnings * (written - cost(Usage(cache_read_input_tokens=long)))


class _Lane:
    """A lane that makes its calls as they are taken."""

    lane = POOL

    def __init__(self, calls: Iterator[Call]) -> None:
        self._calls = calls

    async def take(self) -> Call | None:
        """The next one."""
        return next(self._calls, None)

    def over(self, call: Call) -> None:
        """Nothing of *call* is kept."""


def _calls(bench: Bench, job: Job, change: Callable[[Call], Call] | None) -> Iterator[Call]:
    for row in range(job.beginnings * job.rows):
        document = row % job.beginnings if job.mixed else row // job.rows
        text = {"type": "text", "text": f"{document} {_DOCUMENT}"}
        system = [{**text, "cache_control": {"type": "ephemeral"}}]
        call = bench.call(f"question {row}", row=row, model=HAIKU, system=system)
        yield change(call) if change else call
