"""Whole runs, by the command line and over a socket, on the second set of stores:
cache, budget, rate limits and log of attempts, each on another host, so to speak.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.domain import PICO_PER_USD
from claudebatch.engine import row_work, session
from claudebatch.layers.record.attempt_log import AttemptLog
from claudebatch.setup import pools
from tests.e2e.world import World, prompts
from tests.support.memory_cache import CacheServer, MemoryCacheStore
from tests.support.round_trip import RoundTrip
from tests.support.sqlite_budget import SqliteBudgetStore
from tests.support.sqlite_pool import SqliteLimiterStore

HAIKU = "claude-haiku-5-5"


class DistantLog:
    """A log that is a round trip away. It hands on to the run's journal, which stays
    the truth of the run whatever log stands before it.
    """

    def __init__(self, log: AttemptLog) -> None:
        self._log = log
        self._trips = RoundTrip(0.001)

    async def begin(self, call, worst):
        attempt = await self._log.begin(call, worst)
        await self._trips.ask(lambda: None)
        return attempt

    async def answered(self, attempt, reply):
        await self._log.answered(attempt, reply)
        await self._trips.ask(lambda: None)

    async def failed(self, attempt, error, **how):
        await self._log.failed(attempt, error, **how)
        await self._trips.ask(lambda: None)


class Second:
    """The second stores of a world; every run in it opens them."""

    def __init__(self, folder: Path) -> None:
        self._cap = folder / "cap.sqlite"
        self._limits = folder / "limits.sqlite"
        self._open_log = row_work.open_attempt_log
        self.server = CacheServer()
        self.budgets: list[SqliteBudgetStore] = []
        self.pools: list[SqliteLimiterStore] = []

    def open_cache(
        self, settings: Any, folder: Path, *, notify: Any, **about: Any
    ) -> MemoryCacheStore:
        return MemoryCacheStore(self.server, notify=notify)

    async def open_budget(self, settings: Any, opening: Any) -> SqliteBudgetStore:
        self.budgets.append(
            SqliteBudgetStore(self._cap, settings.cap, waits=opening.waits, user=opening.run_id)
        )
        return self.budgets[-1]

    def open_pool(self, start: Any, *, now: Any, shared: Any) -> SqliteLimiterStore:
        user = f"run-{len(self.pools)}"
        self.pools.append(SqliteLimiterStore(self._limits, start, now=now, user=user))
        return self.pools[-1]

    def open_attempt_log(self, journal: Any, **facts: Any) -> DistantLog:
        return DistantLog(self._open_log(journal, **facts))

    def money(self) -> tuple[int, int]:
        """What is spent of the cap, and what is held."""
        with closing(sqlite3.connect(self._cap)) as file:
            ((spent,),) = file.execute("SELECT spent FROM budget")
            ((held,),) = file.execute("SELECT coalesce(sum(worst), 0) FROM holds")
        return spent, held


@pytest.fixture
def second(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Second]:
    """Lets the runs of the world use them."""
    stores = Second(world.folder)
    monkeypatch.setattr(session, "open_cache", stores.open_cache)
    monkeypatch.setattr(session, "open_budget", stores.open_budget)
    monkeypatch.setattr(pools, "open_pool", stores.open_pool)
    monkeypatch.setattr(row_work, "open_attempt_log", stores.open_attempt_log)
    yield stores
    for pool in stores.pools:
        pool.close()


def test_a_run_pays_each_answer_once_and_the_next_takes_them_from_the_cache(world, serve, second):
    api = serve(script=("529", "ok", "529"))
    world.write("in.jsonl", prompts(40))
    command = ("run", "in.jsonl", "-m", HAIKU, "--budget", "5", "-o")
    done = world.claudebatch(*command, "out.jsonl")
    assert done.code == 0, done.err
    results = world.results()
    assert len(results) == 40 and {line["status"] for line in results.values()} == {"succeeded"}
    assert api.requests == 42
    states = world.query("SELECT state, count(*) FROM attempts GROUP BY state ORDER BY state")
    assert dict(states) == {1: 40, 2: 2}, "each attempt has one outcome"
    assert world.ledger() == (world.settled(), 0)
    assert second.money() == (world.settled(), 0) and world.settled() > 0
    assert len(second.server.entries) == 40
    (budget,), (pool,) = second.budgets, second.pools
    assert 2 * 42 <= budget.round_trips <= 2 * 42 + 5, "one to admit, one to settle"
    assert pool.trips.count >= 2 * 42, "one to be admitted and one to end, at least"
    trips = second.server.round_trips
    done = world.claudebatch(*command, "again.jsonl")
    assert done.code == 0, done.err
    assert len(world.results("again.jsonl")) == 40
    assert (api.requests, world.settled("again.jsonl")) == (42, 0)
    assert second.server.round_trips - trips <= 4, "look-ups go by group"


def test_two_runs_share_what_the_budget_has_left(world, serve, second):
    serve(use_all_max_tokens=True)
    cap = 0.01
    for name, rows in (("a", 8), ("b", 60)):
        world.write(f"{name}.jsonl", prompts(rows, system=name, max_tokens=1000))
    codes = [
        world.claudebatch(
            "run", f"{name}.jsonl", "-o", f"{name}.out", "-m", HAIKU, "--budget", str(cap)
        ).code
        for name in ("a", "b")
    ]
    spent, held = second.money()
    assert (codes, held) == ([0, 3], 0)
    assert spent == world.settled("a.out") + world.settled("b.out")
    assert world.settled("b.out") > 0
    assert spent <= cap * PICO_PER_USD


def test_a_cache_that_fails_costs_no_row(world, serve, second):
    api = serve()
    second.server.away = True
    world.write("in.jsonl", prompts(10))
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-m", HAIKU)
    assert (done.code, api.requests, len(world.results())) == (0, 10, 10), done.err
    assert "the response cache is off for this run" in done.err
