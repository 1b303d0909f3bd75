"""A whole run in virtual time: the engine's own workers over the whole stack, before an
API that fails to order.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from claudebatch.clients import error_table
from claudebatch.clients.headers import HeaderFacts
from claudebatch.core.domain import Call, Failed, Outcome, Reply, Succeeded
from claudebatch.core.errors import AttemptError, StopRun
from claudebatch.core.events import BreakerChanged
from claudebatch.core.tries import RowTries
from claudebatch.engine.engine import Ended, Engine
from claudebatch.engine.refusal_watch import RefusalWatch, WatchedClient
from claudebatch.setup.stack import build_stack
from tests.support.parts import Bench, make_bench
from tests.support.scripted import make_reply
from tests.support.virtual import now

Happening: TypeAlias = "tuple[float, Exception | str | None]"
"""Seconds until it comes, and what comes: an error, the stop reason of an answer, or
None for the usual answer.
"""
Fate: TypeAlias = Callable[[Call, int, float], Happening]
"""(call, how many requests came before, seconds since the beginning) → what happens to
the request.
"""


def status_error(status: int, **facts: Any) -> AttemptError | StopRun:
    """The error that the client makes of an answer with *status*."""
    headers = HeaderFacts(
        "req_1", facts.pop("retry_after", None), facts.pop("should_retry", None), None, False
    )
    told = {"type": None, "code": None, "message": "no", **facts}
    return error_table.from_status(status, headers=headers, **told)


def refused() -> AttemptError:
    """Nobody listens, or no name, or no trust: nothing was sent."""
    return error_table.connection_failed("refused", sent=False)


def reset() -> AttemptError:
    """The connection broke under the request."""
    return error_table.connection_failed("reset", sent=True)


def hangs(call: Call) -> Happening:
    """Nothing comes until the client's own deadline."""
    return call.deadline_s, error_table.timed_out(call.deadline_s)


class Api:
    """The far end: lets *fate* decide, and keeps when which request came."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self.came: list[tuple[float, Call]] = []
        self.went: list[tuple[float, float]] = []
        """When each request came, and when its answer or failure left."""
        self.in_flight = 0

    @property
    def times(self) -> list[float]:
        """When each request came."""
        return [at for at, _ in self.came]

    async def __call__(self, call: Call) -> Reply:
        """The client's part of the stack: sends once."""
        takes_s, what = self._fate(call, len(self.came), now())
        came_at = now()
        self.came.append((came_at, call))
        self.in_flight += 1
        try:
            await asyncio.sleep(takes_s)
        finally:
            self.in_flight -= 1
            self.went.append((came_at, now()))
        if isinstance(what, Exception):
            raise what
        return make_reply(
            model=call.model, latency_ms=round(takes_s * 1000), stop_reason=what or "end_turn"
        )


@dataclass
class Ran:
    """A run that is over."""

    bench: Bench
    api: Api
    ended: Ended
    wall_s: float
    outcomes: list[tuple[float, Outcome]] = field(default_factory=list)
    """When each row was finished, and how."""

    @property
    def succeeded(self) -> list[Succeeded]:
        """Rows with an answer."""
        return [outcome for _, outcome in self.outcomes if isinstance(outcome, Succeeded)]

    @property
    def failed(self) -> list[Failed]:
        """Rows that were given up."""
        return [outcome for _, outcome in self.outcomes if isinstance(outcome, Failed)]

    def states(self) -> list[str]:
        """What the breakers went through."""
        return [event.state for event in self.bench.told(BreakerChanged)]


class _Rows:
    """A lane that holds its calls in memory."""

    def __init__(self, lane: str, calls: Iterator[Call]) -> None:
        self.lane = lane
        self._calls = calls

    def over(self, call: Call) -> None:
        pass

    async def take(self) -> Call | None:
        """The next one."""
        return next(self._calls, None)


async def run(
    rows: int,
    fate: Fate,
    *,
    workers: int = 64,
    params: dict[str, Any] | None = None,
    earlier: Callable[[int], RowTries | None] = lambda row: None,
    fast: range = range(0),
    **config: Any,
) -> Ran:
    """Drive *rows* rows against an API of that *fate*; *config* as in YAML, *params* of
    every request, *earlier* what became of a row in earlier sessions. *fast*: those go
    in fast mode, in a lane of their own.
    """
    bench = make_bench(concurrency=workers, **config)
    api = Api(fate)
    ran = Ran(bench, api, Ended(), 0.0)

    async def finish(outcome: Outcome) -> None:
        ran.outcomes.append((now(), outcome))

    refusals = RefusalWatch(stop_after=bench.parts.settings.stop_after)
    calls = (
        bench.call(f"row {row}", row=row, **(params or {}))
        for row in range(rows)
        if row not in fast
    )
    lane = bench.parts.catalog.pool_of(bench.parts.settings.model)
    hurried = [bench.call(f"row {row}", row=row, speed="fast", **(params or {})) for row in fast]
    lanes = [_Rows(lane, calls)]
    if hurried:
        lanes.append(_Rows(bench.parts.catalog.pool_of(hurried[0].lane_as), iter(hurried)))
    client = WatchedClient(api, refusals, now=now, news=lambda stop: engine.news(stop))
    engine = Engine(
        build_stack(replace(bench.parts, earlier=earlier), client),
        feeds=lanes,  # type: ignore[list-item]
        workers=workers,
        finish=finish,
        value_of=lambda call, reply: 0,
        drain=bench.drain,
        now=now,
        emit=bench.events.append,
        refusals=refusals,
        resting=bench.parts.resting,
    )
    began = now()
    ran.ended = await engine.run()
    ran.wall_s = now() - began
    assert api.in_flight == 0 and bench.budget_store.held == 0, "nothing is left behind"
    return ran


def latency(rng: random.Random, median_s: float = 4.0) -> float:
    """How long a usual answer takes."""
    return rng.lognormvariate(0.0, 0.4) * median_s
