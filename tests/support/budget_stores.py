"""A run's hand in shared caps, with a writer that writes what it spent when it is asked
to.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from claudebatch.core.domain import Hold
from claudebatch.core.drain import Drain
from claudebatch.core.events import Event
from claudebatch.core.shared_cap import SharedCap
from claudebatch.layers.budget.run_budget import RunBudget
from claudebatch.layers.budget.shared_budget import SharedBudget
from claudebatch.storage.ledger import open_ledger
from claudebatch.storage.ledger.shared_caps import SharedCaps
from tests.support.virtual import now

DAY, NEXT = "2026-11-30", "2026-12-01"


class Run:
    """A run with a budget, and a writer that writes what it spent when it is asked
    to.
    """

    def __init__(
        self,
        ledger: Path,
        name: str,
        *caps: SharedCap,
        own: int | None = None,
        drain: Drain | None = None,
    ) -> None:
        self.day, self.name, self.ledger, self.drain = DAY, name, ledger, drain or Drain()
        self.events: list[Event] = []
        self.flushed = 0
        self.dead: list[list[str]] = []
        self._unwritten: list[tuple[str, int]] = []
        open_ledger(ledger).close()
        self.book = SharedCaps.open(ledger, name, caps)
        self.budget_store = SharedBudget(
            RunBudget(own, spent=0, waits=self.drain),
            self.book,
            today=lambda: self.day,
            now=now,
            waits=self.drain,
            emit=self.events.append,
            flush=self.flush,
            settle_dead=self._settle_dead,
        )
        self.looked = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def _settle_dead(self, runs: list[str]) -> None:
        self.dead.append(runs)
        self._loop.call_soon_threadsafe(self.looked.set)

    async def hold(self, amount: int, worst: int, *, lasts: bool = False) -> Hold:
        return await self.budget_store.hold(amount, worst, lasts=lasts)

    async def adopt(self, worst: int, day: str) -> Hold:
        return await self.budget_store.adopt(worst, day)

    async def settle(self, hold: Hold, cost: int) -> None:
        await self.budget_store.settle(hold, cost)
        self._unwritten.append((hold.day, cost))

    async def release(self, hold: Hold) -> None:
        await self.budget_store.release(hold)

    async def forfeit(self, hold: Hold) -> None:
        await self.budget_store.forfeit(hold)
        self._unwritten.append((hold.day, hold.worst))

    async def flush(self) -> None:
        self.flushed += 1
        connection = open_ledger(self.ledger)
        connection.execute("BEGIN IMMEDIATE")
        for day, cost in self._unwritten:
            connection.execute(
                "INSERT INTO spend (run, day, model, rule, spent) VALUES (?,?,'m','r',?)"
                " ON CONFLICT DO UPDATE SET spent = spent + excluded.spent",
                (self.name, day, cost),
            )
            connection.execute(
                "UPDATE holds SET amount = amount - ? WHERE run = ? AND day = ?",
                (cost, self.name, day),
            )
        connection.execute("COMMIT")
        connection.close()
        self._unwritten.clear()

    async def close(self, *, complete: bool = True) -> None:
        await self.flush()
        await self.budget_store.close(complete=complete)

    def in_file(self, what: str = "amount", table: str = "holds", day: str = DAY) -> int:
        connection = sqlite3.connect(self.ledger)
        (found,) = connection.execute(
            f"SELECT coalesce(sum({what}), 0) FROM {table} WHERE run = ? AND day = ?",
            (self.name, day),
        ).fetchone()
        connection.close()
        return int(found)


def cap(limit: int, span: Any = "day", **facts: Any) -> SharedCap:
    return SharedCap(span, limit, span, **facts)


async def attempt(run: Run, worst: int, cost: int, takes_s: float = 1.0) -> None:
    hold = await run.budget_store.hold(worst, worst)
    await asyncio.sleep(takes_s)
    await run.settle(hold, cost)
