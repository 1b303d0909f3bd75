"""The cap of one run: money is set aside before anything is sent, as with a payment
card.
"""

from __future__ import annotations

import asyncio
from collections import deque

from claudebatch.core.domain import Hold, Pico, usd_text
from claudebatch.core.drain import Drain
from claudebatch.core.errors import BudgetExhausted
from claudebatch.core.fifo_turn import SleepsUntilDrain


class RunBudget:
    """Never more than *cap* spent, held and forfeited together, whatever is in flight.

    A hold that does not fit now but may once others are settled waits its turn, first
    come, first served. One that can never fit is refused with `BudgetExhausted`.

    Holds may be smaller than the worst case of their attempts. Then the worst cases of
    all that is in flight, together with what is spent, stay within *cap* and
    *overshoot*: that is the most by which the cap can be passed.
    """

    def __init__(
        self,
        cap: Pico | None,
        *,
        spent: Pico,
        overshoot: Pico = 0,
        waits: SleepsUntilDrain | None = None,
    ) -> None:
        """*spent* in earlier sessions; *waits* are those that the end of the run
        ends.
        """
        self._cap = cap
        self._most = None if cap is None else cap + overshoot
        self._waits = waits or Drain()
        # Mutable, changed by the methods below only. `_worst` is what is held, at its
        # worst case.
        self._spent = spent
        self._held = 0
        self._worst = 0
        self._waiting: deque[tuple[Hold, asyncio.Future[None]]] = deque()

    @property
    def held(self) -> Pico:
        """Money set aside for attempts in flight."""
        return self._held

    @property
    def spent(self) -> Pico:
        """Money spent or forfeited, earlier sessions included."""
        return self._spent

    async def hold(self, amount: Pico, worst: Pico, *, lasts: bool = False) -> Hold:
        """Set *amount* aside; raises `BudgetExhausted` when it can never fit under the
        cap.
        """
        hold = Hold(amount, worst, lasts=lasts)
        # Refused at once: a wait for money that never comes would only end with the
        # run.
        if not self._possible(hold):
            raise self._exhausted(hold)
        if self._waiting or not self._fits(hold):
            await self._wait(hold)
        else:
            self._take(hold)
        return hold

    async def adopt(self, worst: Pico, day: str) -> Hold:
        """Set *worst* aside again, for what is on its way already. Never suspends."""
        hold = Hold(worst, worst, day, lasts=True)
        self._take(hold)
        return hold

    async def settle(self, hold: Hold, cost: Pico) -> None:
        """The attempt cost *cost*; the rest of the hold is free again. Never
        suspends.
        """
        if hold.ended:
            # A bug: the cap would be wrong from here on.
            raise RuntimeError("a hold was ended twice")
        hold.ended = True
        self._spent += cost
        self._put_back(hold)

    async def release(self, hold: Hold) -> None:
        """The attempt cost nothing. Never suspends."""
        await self.settle(hold, 0)

    async def forfeit(self, hold: Hold) -> None:
        """The cost of the attempt is unknown: its worst case counts as spent for good.
        Never suspends.
        """
        await self.settle(hold, hold.worst)

    async def close(self, *, complete: bool) -> None:
        """Nothing outlives the session: the next one counts its journal."""

    def _possible(self, hold: Hold) -> bool:
        """Whether *hold* fits once nothing else is held."""
        if self._cap is None or self._most is None:
            return True
        return self._spent + hold.amount <= self._cap and self._spent + hold.worst <= self._most

    def _fits(self, hold: Hold) -> bool:
        if self._cap is None or self._most is None:
            return True
        committed = self._spent + self._held + hold.amount
        return committed <= self._cap and self._spent + self._worst + hold.worst <= self._most

    def _take(self, hold: Hold) -> None:
        self._held += hold.amount
        self._worst += hold.worst

    def _put_back(self, hold: Hold) -> None:
        self._held -= hold.amount
        self._worst -= hold.worst
        self._wake()

    async def _wait(self, hold: Hold) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((hold, turn))
        try:
            await self._waits.until(turn)
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # Granted in the moment in which it was called off.
                self._put_back(hold)
            else:
                turn.cancel()
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting:
            hold, turn = self._waiting[0]
            if turn.done():
                # Called off while it waited.
                self._waiting.popleft()
            elif not self._possible(hold):
                self._waiting.popleft()
                turn.set_exception(self._exhausted(hold))
            elif self._fits(hold):
                self._waiting.popleft()
                self._take(hold)
                turn.set_result(None)
            else:
                # Smaller holds behind it wait as well: else a large one would starve.
                return

    def _exhausted(self, hold: Hold) -> BudgetExhausted:
        left = (self._cap or 0) - self._spent
        return BudgetExhausted(
            f"the next request may cost up to ${usd_text(hold.worst)}, and "
            f"{left_of('the cap', left)}",
            worst=hold.worst,
            needed=self._spent + hold.worst,
            left=left,
            limit=self._cap or 0,
        )


def left_of(cap: str, left: Pico) -> str:
    """How much is *left* of a cap, in words; below 0 where it was lowered under what
    had been spent.
    """
    return (
        f"${usd_text(left)} of {cap} is left"
        if left >= 0
        else f"{cap} is passed already, by ${usd_text(-left)}"
    )
