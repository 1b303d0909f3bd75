"""The money that batches hold: asked for in pieces while one is built, ended as a whole
when it is collected.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from claudebatch.core.domain import Hold, Pico
from claudebatch.core.errors import BudgetExhausted
from claudebatch.layers.budget.store import BudgetStore

# Shared caps take a transaction; what is held by others is not waited for: a batch that
# is half built would wait for hours, and what fits goes out meanwhile.
_PATIENCE_S = 0.25


class BatchHolds:
    """One list of holds for each batch, by its number."""

    def __init__(self, budget: BudgetStore) -> None:
        self._budget = budget
        # Mutable, changed by the methods below only. `_gone` is what is known to be
        # spent of each batch that is being collected.
        self._holds: defaultdict[int, list[Hold]] = defaultdict(list)
        self._gone: defaultdict[int, defaultdict[str, Pico]] = defaultdict(lambda: defaultdict(int))
        self.refused: BudgetExhausted | None = None
        """The last row that can never fit, as the cap stands."""
        self.short = False
        """Whether a row did not fit lately that may once others have ended."""

    async def take(self, batch: int, worst: Pico, *, rows: int) -> Hold | None:
        """Set *worst* aside for *rows* of *batch*; None where that does not fit now."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                hold = await self._budget.hold(worst, worst, lasts=True)
        except TimeoutError:
            self.short = True
            return None
        except BudgetExhausted as error:
            # Of several rows, some may fit.
            self.refused = error if rows == 1 else self.refused
            return None
        self._holds[batch].append(hold)
        # Its day is the one on which shared caps granted it.
        return hold

    async def adopt(self, batch: int, worst: Pico, day: str) -> None:
        """*batch* is on its way since an earlier session."""
        self._holds[batch].append(await self._budget.adopt(worst, day))

    def spent(self, batch: int, cost: Pico, day: str) -> None:
        """*cost* of *batch* is written down for *day*; its hold stays whole until it
        ends.
        """
        self._gone[batch][day] += cost

    async def end(self, batch: int) -> None:
        """*batch* needs nothing more: what it did not cost is free again."""
        gone = dict(self._gone.pop(batch, ()))
        holds = self._holds.pop(batch, [])
        for hold in holds:
            # Each day for itself: a cap of the day counts what the ledger has for it.
            # Without such a cap holds have no day, and the last one takes the rest.
            cost = gone.pop(hold.day, 0)
            if hold is holds[-1]:
                cost += sum(gone.values())
            # No wait in between: for a moment the cap would count too little.
            await self._budget.settle(hold, cost)

    def held(self, batch: int) -> Pico:
        """What is set aside for *batch*, less what is known to be spent."""
        gone = sum(self._gone[batch].values())
        return sum(hold.worst for hold in self._holds[batch]) - gone
