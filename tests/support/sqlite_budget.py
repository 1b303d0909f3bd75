"""A second store of the budget: one cap in a SQLite file that any number of runs share,
each call one transaction behind a round trip.

A model of a store on another host, written without a look at the local ones. A run that
dies leaves its holds in the file: they stay charged.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from claudebatch.core.domain import Hold, Pico
from claudebatch.core.drain import Drain
from claudebatch.core.errors import BudgetExhausted, JournalFailed
from claudebatch.core.fifo_turn import FifoTurn
from tests.support.round_trip import RoundTrip

_SCHEMA = """
CREATE TABLE IF NOT EXISTS budget (one INTEGER PRIMARY KEY CHECK (one = 1), spent INTEGER);
CREATE TABLE IF NOT EXISTS holds (
    hold INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT, amount INTEGER, worst INTEGER);
"""
# Another run's answer wakes nobody here: somebody must look.
_LOOK_AGAIN_S = 0.25


class SqliteBudgetStore:
    """One user of the cap in the file at *path*; the first writes down what is
    spent.
    """

    def __init__(
        self,
        path: Path,
        cap: Pico | None,
        *,
        spent: Pico = 0,
        overshoot: Pico = 0,
        waits: Drain | None = None,
        user: str = "me",
        one_way_s: float = 0.002,
    ) -> None:
        self._cap = 2**62 if cap is None else cap
        self._most = self._cap + overshoot
        self._user = user
        self._waits = waits or Drain()
        self._turn = FifoTurn(self._waits)
        self._trip = RoundTrip(one_way_s)
        self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._file.executescript(_SCHEMA)
        self._file.execute("INSERT OR IGNORE INTO budget VALUES (1, ?)", (spent,))
        # Mutable: the numbers of holds in the file, and why nothing passes any more.
        self._numbers: dict[Hold, int] = {}
        self._failure: JournalFailed | None = None

    @property
    def round_trips(self) -> int:
        """Round trips so far."""
        return self._trip.count

    async def hold(self, amount: Pico, worst: Pico, *, lasts: bool = False) -> Hold:
        """Set *amount* aside, first come first served among those of this user."""
        hold = Hold(amount, worst, lasts=lasts)
        async with self._turn:
            while not await self._trip.ask(lambda: self._admit(hold), undo=self._withdraw):
                await self._waits.sleep(_LOOK_AGAIN_S)
        return hold

    async def adopt(self, worst: Pico, day: str) -> Hold:
        """Set *worst* aside again, whatever else is held: what a session of this user
        has left in the file, if that is as much.
        """
        hold = Hold(worst, worst, day, lasts=True)
        await self._trip.ask(lambda: self._take_over(hold) or self._note(hold))
        return hold

    async def settle(self, hold: Hold, cost: Pico) -> None:
        """The attempt cost *cost*."""
        if hold.ended:
            raise RuntimeError("a hold was ended twice")
        hold.ended = True
        await self._trip.ask(lambda: self._end(hold, cost))

    async def release(self, hold: Hold) -> None:
        """The attempt cost nothing."""
        await self.settle(hold, 0)

    async def forfeit(self, hold: Hold) -> None:
        """Nobody knows what the attempt cost."""
        await self.settle(hold, hold.worst)

    async def close(self, *, complete: bool) -> None:
        """Give back what no attempt can cost any more."""
        if complete and not self._numbers:
            await self._trip.ask(self._give_back)
        self._file.close()

    def _admit(self, hold: Hold) -> Hold | None:
        """*hold* when it fits now, None when it may fit later."""
        if self._failure is not None:
            raise self._failure
        try:
            self._file.execute("BEGIN IMMEDIATE")
            try:
                return self._take(hold)
            finally:
                self._file.execute("COMMIT")
        except sqlite3.Error as error:
            self._failure = JournalFailed(
                "E000", f"the caps cannot be kept: {error}", fix="mend the disk"
            )
            raise self._failure from error

    def _take(self, hold: Hold) -> Hold | None:
        (spent,) = self._file.execute("SELECT spent FROM budget").fetchone()
        held, worst = self._file.execute(
            "SELECT coalesce(sum(amount), 0), coalesce(sum(worst), 0) FROM holds"
        ).fetchone()
        if spent + hold.amount > self._cap or spent + hold.worst > self._most:
            raise BudgetExhausted(
                f"{self._cap - spent} of the cap is left",
                needed=spent + hold.worst,
                left=self._cap - spent,
                limit=self._cap,
            )
        if spent + held + hold.amount > self._cap or spent + worst + hold.worst > self._most:
            return None
        return self._note(hold)

    def _take_over(self, hold: Hold) -> Hold | None:
        found = self._file.execute(
            "SELECT hold FROM holds WHERE user = ? AND worst = ?", (self._user, hold.worst)
        )
        taken = set(self._numbers.values())
        for (number,) in found.fetchall():
            if number not in taken:
                self._numbers[hold] = number
                return hold
        return None

    def _note(self, hold: Hold) -> Hold:
        row = self._file.execute(
            "INSERT INTO holds (user, amount, worst) VALUES (?, ?, ?)",
            (self._user, hold.amount, hold.worst),
        )
        assert row.lastrowid is not None
        self._numbers[hold] = row.lastrowid
        return hold

    def _end(self, hold: Hold, cost: Pico) -> None:
        number = self._numbers.pop(hold)
        try:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.execute("DELETE FROM holds WHERE hold = ?", (number,))
            self._file.execute("UPDATE budget SET spent = spent + ?", (cost,))
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            self._failure = JournalFailed(
                "E000", f"the caps cannot be kept: {error}", fix="mend the disk"
            )

    def _withdraw(self, granted: Hold | None) -> None:
        if granted is not None:
            self._end(granted, 0)

    def _give_back(self) -> None:
        self._file.execute("DELETE FROM holds WHERE user = ?", (self._user,))
