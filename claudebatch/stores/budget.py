"""The cap of one run: money is set aside before anything is sent, as with a payment card."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from claudebatch.domain import Pico, usd_text
from claudebatch.errors import BudgetExhausted


@dataclass(frozen=True, slots=True)
class Hold:
    """Money set aside for one attempt."""

    amount: Pico


class RunBudget:
    """Never more than *cap* spent, held and forfeited together, whatever is in flight.

    A hold that does not fit now but may once others are settled waits its turn, first come, first served. One that
    can never fit is refused with `BudgetExhausted`.
    """

    def __init__(self, cap: Pico | None, *, spent: Pico) -> None:
        self._cap = cap
        # Mutable, changed by the methods below only.
        self._spent = spent
        self._held = 0
        self._waiting: deque[tuple[Pico, asyncio.Future[None]]] = deque()

    @property
    def held(self) -> Pico:
        """Money set aside for attempts in flight."""
        return self._held

    @property
    def spent(self) -> Pico:
        """Money spent or forfeited, earlier sessions included."""
        return self._spent

    async def hold(self, amount: Pico) -> Hold:
        """Set *amount* aside; raises `BudgetExhausted` when it can never fit under the cap."""
        if self._cap is None:
            self._held += amount
            return Hold(amount)
        if self._spent + amount > self._cap:
            raise self._exhausted(amount)
        if self._waiting or self._spent + self._held + amount > self._cap:
            await self._wait(amount)
        else:
            self._held += amount
        return Hold(amount)

    def settle(self, hold: Hold, cost: Pico) -> None:
        """The attempt cost *cost*; the rest of the hold is free again."""
        self._held -= hold.amount
        self._spent += cost
        self._wake()

    def release(self, hold: Hold) -> None:
        """The attempt cost nothing."""
        self.settle(hold, 0)

    def forfeit(self, hold: Hold) -> None:
        """Nobody knows what the attempt cost: it counts as its worst case for good."""
        self.settle(hold, hold.amount)

    async def _wait(self, amount: Pico) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._held -= amount  # granted in the moment of the cancellation
            self._wake()
            raise

    def _wake(self) -> None:
        cap = self._cap
        while self._waiting and cap is not None:
            amount, turn = self._waiting[0]
            if turn.done():
                self._waiting.popleft()
            elif self._spent + amount > cap:
                self._waiting.popleft()
                turn.set_exception(self._exhausted(amount))
            elif self._spent + self._held + amount <= cap:
                self._waiting.popleft()
                self._held += amount
                turn.set_result(None)
            else:
                return

    def _exhausted(self, amount: Pico) -> BudgetExhausted:
        left = max(0, (self._cap or 0) - self._spent)
        return BudgetExhausted(
            f"the next request may cost up to ${usd_text(amount)}, and ${usd_text(left)} of the cap is left",
            needed=self._spent + amount,
        )
