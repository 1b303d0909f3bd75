"""Never spend more than the cap, whatever is in flight.

Each attempt's worst case is held before it waits or is sent; after it, the hold becomes what it cost. An attempt
whose outcome nobody knows forfeits its hold: it counts as spent for good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from claudebatch.domain import Call, Pico, Reply
from claudebatch.errors import AttemptError
from claudebatch.handler import Handler

HoldT = TypeVar("HoldT")


class Purse(Protocol[HoldT]):
    """Where holds are kept: in this process, or in one that several share."""

    async def hold(self, amount: Pico) -> HoldT:
        """Set *amount* aside, waiting if it may fit later; raises `BudgetExhausted`."""
        ...

    def settle(self, hold: HoldT, cost: Pico) -> None:
        """The attempt cost *cost*."""
        ...

    def release(self, hold: HoldT) -> None:
        """The attempt cost nothing."""
        ...

    def forfeit(self, hold: HoldT) -> None:
        """Nobody knows what the attempt cost."""
        ...


class Budget(Generic[HoldT]):
    """Authorise, then settle, release or forfeit: exactly one of them, for every attempt and every way it ends."""

    def __init__(self, purse: Purse[HoldT], *, worst: Callable[[Call], Pico]) -> None:
        self._purse = purse
        self._worst = worst

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """Pass the call on once its worst case is set aside."""
        hold = await self._purse.hold(self._worst(call))
        try:
            reply = await call_next(call)
        except BaseException as error:
            if _may_be_billed(error):
                self._purse.forfeit(hold)
            else:
                self._purse.release(hold)
            raise
        self._purse.settle(hold, reply.cost)
        return reply


def _may_be_billed(error: BaseException) -> bool:
    return isinstance(error, AttemptError) and error.may_be_billed
