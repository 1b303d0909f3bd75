"""The store of the budget, as the layer and the session see it.

A store that several hosts share fits behind these methods: one round trip to admit an
attempt, one to settle it.
"""

from __future__ import annotations

from typing import Protocol

from claudebatch.core.domain import Hold, Pico


class BudgetStore(Protocol):
    """Money under a cap: set aside before an attempt, spent or free again after it.

    Every hold is ended once: settled, released or forfeited. An ending that has begun
    is carried out, whoever is cancelled meanwhile; so a store that suspends finishes it
    in a task of its own, and `close` waits for that. A store that never suspends needs
    none, and costs the attempt nothing.

    A store that fails lets nothing pass: `hold` raises `StopRun`. An ending then raises
    nothing; its money stays set aside.
    """

    async def hold(self, amount: Pico, worst: Pico, *, lasts: bool = False) -> Hold:
        """Set *amount* aside, waiting if it may fit later; raises `BudgetExhausted`.
        *lasts*: for hours, so it tells nothing of how much is needed next.

        *worst* is the most that the attempt can cost; a strict budget asks for all of
        it. Holds are granted in the order in which they were asked for. Cancelled, it
        leaves nothing set aside.
        """
        ...

    async def adopt(self, worst: Pico, day: str) -> Hold:
        """A hold of *worst* on the UTC *day* that an earlier session has set aside, for
        what is still on its way. It is granted whatever else is held.
        """
        ...

    async def settle(self, hold: Hold, cost: Pico) -> None:
        """The attempt cost *cost*; the rest of *hold* is free again."""
        ...

    async def release(self, hold: Hold) -> None:
        """The attempt cost nothing."""
        ...

    async def forfeit(self, hold: Hold) -> None:
        """The cost of the attempt is unknown: its worst case counts as spent for
        good.
        """
        ...

    async def close(self, *, complete: bool) -> None:
        """Give back what is not needed. *complete*: every attempt of the session is
        written down; else what is in flight stays set aside.
        """
        ...
