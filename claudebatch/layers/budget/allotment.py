"""What a run has taken out of shared caps and not spent yet, by day. Pure: no clock, no
I/O.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from claudebatch.core.domain import Hold, Pico

# Without money ahead each hold would be a transaction; with more, other runs would wait
# for money that is not needed here.
AHEAD = 3
"""Money for this many times the holds in flight is taken ahead."""


@dataclass(slots=True)
class _Account:
    free: Pico = 0
    drawn: Pico = 0
    """By holds in flight, at their worst case."""
    lasting: Pico = 0
    """What of it is drawn for hours."""


class Allotment:
    """Holds are drawn from money that was taken for their day. The ledger holds the
    same money, and the costs that it has yet to hear of.
    """

    def __init__(self) -> None:
        # Mutable, changed by the methods below only.
        self._accounts: defaultdict[str, _Account] = defaultdict(_Account)

    def draw(self, hold: Hold, day: str) -> bool:
        """Give *hold* its worst case, if that much is free on *day*."""
        # The worst case even where the run's own cap expects less: other runs must not
        # pay for a guess of this one.
        account = self._accounts[day]
        if account.free < hold.worst:
            return False
        account.free -= hold.worst
        account.drawn += hold.worst
        account.lasting += hold.worst if hold.lasts else 0
        hold.day = day
        return True

    def adopt(self, hold: Hold) -> None:
        """*hold* was drawn in an earlier session, on its day."""
        self._accounts[hold.day].drawn += hold.worst
        self._accounts[hold.day].lasting += hold.worst

    def end(self, hold: Hold, cost: Pico) -> None:
        """*hold* has become *cost*; the rest is free again."""
        # The day on which it was drawn, also after midnight: the ledger holds it there.
        account = self._accounts[hold.day]
        account.drawn -= hold.worst
        account.lasting -= hold.worst if hold.lasts else 0
        account.free += hold.worst - cost

    def add(self, day: str, amount: Pico) -> None:
        """*amount* more is free; less, where it is negative."""
        self._accounts[day].free += amount

    def of(self, day: str) -> tuple[Pico, Pico]:
        """What is free on *day*, and what is drawn."""
        account = self._accounts[day]
        return account.free, account.drawn

    def moving(self, day: str) -> Pico:
        """What is drawn on *day* by holds that others will soon follow."""
        account = self._accounts[day]
        return account.drawn - account.lasting

    def free(self, *, but: str = "") -> dict[str, Pico]:
        """What is free, by day; of every day *but* one."""
        return {
            day: account.free
            for day, account in self._accounts.items()
            if account.free > 0 and day != but
        }

    def unused(self) -> dict[str, Pico]:
        """What is free beyond what those in flight are likely to be followed by."""
        # A batch stays out for hours: kept for those that follow it, money would be
        # missing elsewhere all that time.
        spare = {
            day: account.free - AHEAD * self.moving(day) for day, account in self._accounts.items()
        }
        return {day: amount for day, amount in spare.items() if amount > 0}

    def unheard(self, held: Mapping[str, Pico], first: str, last: str) -> Pico:
        """What was spent from day *first* to *last* and still counts as *held* in the
        ledger, which has yet to hear.
        """
        spans = (day for day in held if first <= day <= last)
        return max(0, sum(held[day] - sum(self.of(day)) for day in spans))
