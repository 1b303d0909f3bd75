"""Plays one case in virtual time: the engine over the whole stack, before the far end
of `tests.scenarios.api`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from claudebatch.core.domain import Call, Failed, Outcome, Size
from claudebatch.core.events import BreakerChanged, ConcurrencyChanged, Event
from claudebatch.core.tries import RowTries
from claudebatch.engine.engine import Ended, Engine
from claudebatch.models.tokens.size import USUAL_ANSWER
from claudebatch.setup.pools import slots
from claudebatch.setup.stack import build_stack
from claudebatch.simulator.latency import parse_latency
from tests.scenarios.api import Api, Seen
from tests.scenarios.scenario import Case, Rows, Server
from tests.support.parts import Bench, make_bench
from tests.support.scripted import HAIKU
from tests.support.virtual import now, run_virtual

POOL = "haiku-5.5"
_SAMPLE = 1000


@dataclass
class Played:
    """A run that is over."""

    case: Case
    seen: Seen
    ended: Ended
    rows: int
    took_s: float
    finished: int = 0
    failed: int = 0
    breaker: list[tuple[float, str]] = field(default_factory=list)
    """When it changed, and to what."""


def play(case: Case, seed: int = 0) -> Played:
    """Run *case* to its end, in no real time to speak of; each *seed* draws other rows
    and other times.
    """
    return run_virtual(_Play(case, seed).run())


class _Play:
    def __init__(self, case: Case, seed: int) -> None:
        rng = random.Random(f"{case.name} {seed}" if seed else case.name)
        self.case = case
        self.api_rng, self.rng = random.Random(rng.random()), rng
        self.tokens = _tokens(case, rng)
        self.bad = _bad(case, rng, len(self.tokens))

    async def run(self) -> Played:
        case = self.case
        bench = make_bench(cached=False, seed=self.rng.randrange(1000), **_config(case))
        api = Api(case.server, self._counted, rng=self.api_rng, bad=self.bad)
        played = Played(case, api.seen, Ended(), len(self.tokens), 0.0)
        engine = self._engine(bench, api, played)
        others = [asyncio.ensure_future(self._other(api))] if case.server.others_take else []
        played.ended = await engine.run()
        played.took_s = now()
        for other in others:
            other.cancel()
        assert bench.budget_store.held == 0, "nothing is left behind"
        return played

    def _engine(self, bench: Bench, api: Api, played: Played) -> Engine:
        async def finish(outcome: Outcome) -> None:
            played.finished += 1
            played.failed += isinstance(outcome, Failed)

        def emit(event: Event) -> None:
            if isinstance(event, ConcurrencyChanged):
                engine.resize(event.pool, event.limit)
            elif isinstance(event, BreakerChanged):
                played.breaker.append((now(), event.state))

        parts = replace(
            bench.parts, emit=emit, before=_Before(self.case.rows), earlier=self._earlier
        )
        engine = Engine(
            build_stack(parts, api),
            feeds=[_Lane(self._calls(bench))],  # type: ignore[list-item]
            workers=slots(parts.settings.limits)[0],
            finish=finish,
            value_of=lambda call, reply: 0,
            drain=bench.drain,
            now=now,
            emit=emit,
            resting=parts.resting,
        )
        return engine

    def _calls(self, bench: Bench) -> Iterator[Call]:
        call = bench.call("hello", model=HAIKU, max_tokens=100_000)
        expected = self.case.rows.expected_output or USUAL_ANSWER
        for row, (estimated, _) in enumerate(self.tokens):
            yield replace(call, row=row, size=Size(estimated, 8 * estimated, expected, 100_000))

    def _earlier(self, row: int) -> RowTries | None:
        tried = self.case.rows.tried_before
        return RowTries({HAIKU: tried}, {HAIKU}) if tried and row in self.bad else None

    def _counted(self, row: int) -> tuple[int, int]:
        estimated, produced = self.tokens[row]
        return max(1, round(estimated * self.case.rows.counted)), produced

    async def _other(self, api: Api) -> None:
        inputs, outputs = zip(*self.tokens[:_SAMPLE], strict=True)
        await api.other_user(round(fmean(inputs)), round(fmean(outputs)))


class _Before:
    """What earlier runs tell."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def input_factor(self, model: str) -> float | None:
        """Of every model."""
        return self._rows.remembered

    def mean_output(self, model: str, rule: str, bound: int) -> float | None:
        """Of every route."""
        return self._rows.remembered_output


class _Lane:
    """A lane that holds its calls in memory."""

    lane = POOL

    def __init__(self, calls: Iterator[Call]) -> None:
        self._calls = calls

    def over(self, call: Call) -> None:
        pass

    async def take(self) -> Call | None:
        """The next one."""
        return next(self._calls, None)


def _config(case: Case) -> dict[str, Any]:
    server = case.server
    told = {
        name: limit
        for name, limit in (
            ("requests_per_minute", server.rpm),
            ("input_tokens_per_minute", server.itpm),
            ("output_tokens_per_minute", server.otpm),
        )
        if limit
    }
    config = {"limits": {"tier": "none", "pools": {POOL: told}}, **case.client}
    if "pools" not in config["limits"] and "tier" not in config["limits"]:
        config["limits"] = {**config["limits"], "tier": "none", "pools": {POOL: told}}
    return config


def _tokens(case: Case, rng: random.Random) -> list[tuple[int, int]]:
    """The tokens of each row as the client estimates its input and as the API will
    count its output.
    """
    rows = case.rows
    inputs, outputs = parse_latency(rows.input), parse_latency(rows.output)
    made: list[tuple[int, int]] = []
    total_in = total_out = 0.0
    while not _enough(case, (len(made), total_in, total_out)):
        huge = rows.huge_every and len(made) % rows.huge_every == rows.huge_every - 1
        made.append(
            (
                rows.huge if huge else max(1, round(inputs.draw(rng))),
                max(1, round(outputs.draw(rng))),
            )
        )
        total_in, total_out = total_in + made[-1][0] * rows.counted, total_out + made[-1][1]
    return made


def _bad(case: Case, rng: random.Random, rows: int) -> frozenset[int]:
    """The rows that always fail."""
    count = case.server.bad_rows
    match case.server.bad_are:
        case "first":
            return frozenset(range(count))
        case "last":
            return frozenset(range(rows - count, rows))
        case _:
            return frozenset(rng.sample(range(rows), count))


def _enough(case: Case, totals: tuple[float, float, float]) -> bool:
    if case.rows.count is not None:
        return totals[0] >= case.rows.count
    return any(
        limit is not None and total >= limit / 60 * (case.rows.for_s + case.server.burst_s)
        for limit, total in zip(limits_of(case.server), totals, strict=True)
    )


def limits_of(server: Server) -> tuple[int | None, int | None, int | None]:
    """Requests, input and output tokens per minute."""
    return server.rpm, server.itpm, server.otpm
