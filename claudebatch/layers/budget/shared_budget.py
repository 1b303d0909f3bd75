"""Caps that a run shares with others: its share of them is taken on disk first, then
spent from memory.

What a run has taken is an allotment. Holds are drawn from it without I/O while it
suffices; what waiting holds lack is taken in one transaction, and unneeded money is
given back while others may be waiting for it: so the processes of a machine never pass
a cap together, and none of them sits on money that it does not use.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from claudebatch.core.domain import Hold, Pico
from claudebatch.core.events import Emit
from claudebatch.layers.budget.allotment import Allotment
from claudebatch.layers.budget.hold_queue import HoldQueue, granted
from claudebatch.layers.budget.refill import Refill, WakeableWaits
from claudebatch.layers.budget.run_budget import RunBudget
from claudebatch.storage.ledger.shared_caps import SharedCaps


class SharedBudget:
    """A `BudgetStore` of a run's own budget and the caps of *book*. A hold counts for
    the UTC day on which it was drawn.
    """

    def __init__(
        self,
        own: RunBudget,
        book: SharedCaps,
        *,
        today: Callable[[], str],
        now: Callable[[], float],
        waits: WakeableWaits,
        emit: Emit,
        flush: Callable[[], Awaitable[None]],
        settle_dead: Callable[[list[str]], None],
    ) -> None:
        """*flush* has all costs so far written as spent; *settle_dead* settles the dead
        ones among some runs.
        """
        self._own = own
        self._today = today
        self._waits = waits
        # Mutable, touched by the event loop only: money that is taken, and holds that
        # wait for more.
        self._allotment = Allotment()
        self._queue = HoldQueue()
        self._refill = Refill(
            book,
            self._allotment,
            self._queue,
            today=today,
            now=now,
            waits=waits,
            emit=emit,
            flush=flush,
            settle_dead=settle_dead,
        )

    async def begin(self) -> None:
        """Report how the caps stand."""
        await self._refill.report()

    async def hold(self, amount: Pico, worst: Pico, *, lasts: bool = False) -> Hold:
        """Set *amount* aside of the run's own cap and *worst* of the others; raises
        `BudgetExhausted`.
        """
        hold = await self._own.hold(amount, worst, lasts=lasts)
        try:
            await self._draw(hold)
        except BaseException:
            await self._own.release(hold)
            raise
        return hold

    async def adopt(self, worst: Pico, day: str) -> Hold:
        """Set *worst* aside again; the ledger holds it already. Never suspends."""
        hold = await self._own.adopt(worst, day)
        self._allotment.adopt(hold)
        return hold

    async def settle(self, hold: Hold, cost: Pico) -> None:
        """The attempt cost *cost*. Never suspends."""
        await self._own.settle(hold, cost)
        self._allotment.end(hold, cost)
        self._refill.cost_known()
        self._refill.serve()
        self._refill.start()

    async def release(self, hold: Hold) -> None:
        """The attempt cost nothing. Never suspends."""
        await self.settle(hold, 0)

    async def forfeit(self, hold: Hold) -> None:
        """The cost of the attempt is unknown. Never suspends."""
        await self.settle(hold, hold.worst)

    async def close(self, *, complete: bool) -> None:
        """Give back what is left. *complete*: the ledger has everything that was
        spent.
        """
        # What an attempt in flight may still cost stays taken, for the next session or
        # the settling of a dead run.
        # Where everything is written down, the ledger holds just that much by now.
        await self._refill.close(clear=complete and not self._own.held, exact=complete)

    async def _draw(self, hold: Hold) -> None:
        if self._refill.failure is not None:
            raise self._refill.failure
        if not self._queue and self._allotment.draw(hold, self._today()):
            return
        turn = self._queue.join(hold)
        self._refill.start()
        try:
            await self._waits.until(turn)
        except BaseException:
            if granted(turn):
                # In the moment in which it was called off: its money goes to the next.
                self._allotment.end(hold, 0)
                self._refill.serve()
            turn.cancel()
            self._refill.look_again()
            raise
