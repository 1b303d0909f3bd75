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
_PATIENCE_S = 1.0


class BatchHolds:
    """One list of holds for each batch, by its number."""

    def __init__(self, budget: BudgetStore) -> None:
        self._budget = budget
        # Mutable, changed by the methods below only. `_gone` is what is known to be
        # spent of each batch that is being collected.
        self._holds: defaultdict[int, list[Hold]] = defaultdict(list)
        self._gone: defaultdict[int, Pico] = defaultdict(int)
        self.refused: BudgetExhausted | None = None
        """The last row that can never fit, as the cap stands."""

    async def take(self, batch: int, worst: Pico, *, rows: int) -> Hold | None:
        """Set *worst* aside for *rows* of *batch*; None where that does not fit now."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                hold = await self._budget.hold(worst, worst)
        except TimeoutError:
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

    def spent(self, batch: int, cost: Pico) -> None:
        """*cost* of *batch* is written down; its hold stays whole until it ends."""
        self._gone[batch] += cost

    async def end(self, batch: int) -> None:
        """*batch* needs nothing more: what it did not cost is free again."""
        gone = self._gone.pop(batch, 0)
        for hold in self._holds.pop(batch, []):
            # No wait in between: for a moment the cap would count too little.
            await self._budget.settle(hold, gone)
            gone = 0

    def held(self, batch: int) -> Pico:
        """What is set aside for *batch*, less what is known to be spent."""
        return sum(hold.worst for hold in self._holds[batch]) - self._gone[batch]
