"""What a run has taken out of shared caps and not spent yet, by day. Pure: no clock, no
I/O.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from claudebatch.core.domain import Hold, Pico

AHEAD = 3
"""So many times what is in flight is kept for the holds that follow."""


@dataclass(slots=True)
class _Account:
    free: Pico = 0
    drawn: Pico = 0
    """By holds in flight, at their worst case."""


class Allotment:
    """Holds are drawn from what was taken for their day; the ledger holds as much, and
    what it has yet to hear of.
    """

    def __init__(self) -> None:
        # Mutable, changed by the methods below only.
        self._accounts: defaultdict[str, _Account] = defaultdict(_Account)

    def draw(self, hold: Hold, day: str) -> bool:
        """Let *hold* have its worst case, if so much is free on *day*."""
        account = self._accounts[day]
        if account.free < hold.worst:
            return False
        account.free -= hold.worst
        account.drawn += hold.worst
        hold.day = day
        return True

    def end(self, hold: Hold, cost: Pico) -> None:
        """*hold* has become *cost*; the rest is free again."""
        account = self._accounts[hold.day]
        account.drawn -= hold.worst
        account.free += hold.worst - cost

    def add(self, day: str, amount: Pico) -> None:
        """So much more is free; less, where it is given back."""
        self._accounts[day].free += amount

    def of(self, day: str) -> tuple[Pico, Pico]:
        """What is free on *day*, and what is drawn."""
        account = self._accounts[day]
        return account.free, account.drawn

    def free(self, *, but: str = "") -> dict[str, Pico]:
        """What is free, by day; of every day *but* one."""
        return {
            day: account.free
            for day, account in self._accounts.items()
            if account.free > 0 and day != but
        }

    def unused(self) -> dict[str, Pico]:
        """What is free beyond what those in flight are likely to be followed by."""
        spare = {
            day: account.free - AHEAD * account.drawn for day, account in self._accounts.items()
        }
        return {day: amount for day, amount in spare.items() if amount > 0}

    def unheard(self, held: Mapping[str, Pico], first: str, last: str) -> Pico:
        """What was spent from day *first* to *last* and still counts as *held* in the
        ledger, which has yet to hear.
        """
        spans = (day for day in held if first <= day <= last)
        return max(0, sum(held[day] - sum(self.of(day)) for day in spans))
