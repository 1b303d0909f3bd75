"""Whole runs, by the command line and over a socket, on the second stores: a cache on a
make-believe server and a budget in a file behind round trips.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.domain import PICO_PER_USD
from claudebatch.engine import session
from tests.e2e.world import World, prompts
from tests.support.memory_cache import CacheServer, MemoryCacheStore
from tests.support.sqlite_budget import SqliteBudgetStore

HAIKU = "claude-haiku-5-5"


class Second:
    """The second stores of a world; every run in it opens them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "cap.sqlite"
        self.server = CacheServer()
        self.budgets: list[SqliteBudgetStore] = []

    def open_cache(self, settings: Any, folder: Path, *, notify: Any) -> MemoryCacheStore:
        return MemoryCacheStore(self.server, notify=notify)

    async def open_budget(self, settings: Any, opening: Any) -> SqliteBudgetStore:
        store = SqliteBudgetStore(
            self._file,
            settings.cap,
            waits=opening.waits,
            user=opening.run_id,
        )
        self.budgets.append(store)
        return store

    def money(self) -> tuple[int, int]:
        """What is spent of the cap, and what is held."""
        with closing(sqlite3.connect(self._file)) as file:
            ((spent,),) = file.execute("SELECT spent FROM budget")
            ((held,),) = file.execute("SELECT coalesce(sum(worst), 0) FROM holds")
        return spent, held


@pytest.fixture
def second(world: World, monkeypatch: pytest.MonkeyPatch) -> Second:
    stores = Second(world.folder)
    monkeypatch.setattr(session, "open_cache", stores.open_cache)
    monkeypatch.setattr(session, "open_budget", stores.open_budget)
    return stores


def test_a_run_on_the_second_stores_pays_each_answer_once_and_the_next_takes_them_from_the_cache(
    world, serve, second
):
    api = serve(script=("429", "529", "ok"))
    world.write("in.jsonl", prompts(60))
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-m", HAIKU, "--budget", "5")
    assert done.code == 0, done.err
    assert {line["status"] for line in world.results().values()} == {"succeeded"}
    assert second.money() == (world.settled(), 0) and world.settled() > 0
    assert len(second.server.entries) == 60
    asked, (budget,) = api.requests, second.budgets
    assert budget.round_trips <= 2 * asked + 60, "one to admit, one to settle, a few waits"
    trips = second.server.round_trips
    done = world.claudebatch("run", "in.jsonl", "-o", "again.jsonl", "-m", HAIKU, "--budget", "5")
    assert done.code == 0, done.err
    assert len(world.results("again.jsonl")) == 60
    assert (api.requests, world.settled("again.jsonl")) == (asked, 0)
    assert second.server.round_trips - trips <= 4, "look-ups go by group"


def test_two_runs_share_what_the_second_budget_has_left(world, serve, second):
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
    assert 0 < world.settled("b.out")
    assert spent <= cap * PICO_PER_USD


def test_a_cache_that_fails_costs_no_row(world, serve, second):
    api = serve()
    second.server.away = True
    world.write("in.jsonl", prompts(10))
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-m", HAIKU)
    assert (done.code, api.requests, len(world.results())) == (0, 10, 10), done.err
    assert "the response cache is off for this run" in done.err
