"""The money that a run takes out of shared caps and gives back, on disk, while its
holds wait.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol, TypeVar

from claudebatch.core.domain import Hold, Pico, usd_text
from claudebatch.core.drain import WakeUp
from claudebatch.core.errors import BudgetExhausted, Draining, JournalFailed, StopRun
from claudebatch.core.events import CapUsed, Emit
from claudebatch.core.notice import Notice
from claudebatch.core.os_faults import os_fault
from claudebatch.core.shared_cap import SharedCap
from claudebatch.layers.budget.allotment import AHEAD, Allotment
from claudebatch.layers.budget.hold_queue import HoldQueue
from claudebatch.layers.budget.run_budget import left_of
from claudebatch.storage.ledger.shared_caps import CapsTaken, CapUse, SharedCaps

Answer = TypeVar("Answer")

# Another run's answer may free the money at any moment, and nobody rings for it: a
# longer first wait would let the cap stand half empty while answers take milliseconds.
_FIRST_WAIT_S = 0.02
# Each look is a transaction that other runs wait for.
_LONGEST_WAIT_S = 1.0
# Other runs may wait to hear what was spent, and for money that is not needed here: so
# often the ledger is brought up to date even where nothing else happens.
_IDLE_S = 1.0
# A look at the folders of other runs takes locks and reads journals.
_BETWEEN_SETTLING_S = 2.0
# Money is short for seconds whenever two runs share a cap near its end.
_REPORTED_AFTER_S = 5.0


class WakeableWaits(Protocol):
    """Waits that the end of the run ends."""

    async def sleep(self, seconds: float, bell: WakeUp | None = None) -> None:
        """Wait *seconds*, or until *bell* rings, or raise `Draining`."""
        ...

    async def until(self, awaited: asyncio.Future[None]) -> None:
        """Wait for *awaited* or raise `Draining`."""
        ...


class Refill:
    """Keeps an allotment filled from the caps of *book*, by one task at a time that
    runs while holds wait or money may go back.
    """

    def __init__(
        self,
        book: SharedCaps,
        allotment: Allotment,
        queue: HoldQueue,
        *,
        today: Callable[[], str],
        now: Callable[[], float],
        waits: WakeableWaits,
        emit: Emit,
        flush: Callable[[], Awaitable[None]],
        settle_dead: Callable[[list[str]], None],
    ) -> None:
        self._book = book
        self._allotment = allotment
        self._queue = queue
        self._today = today
        self._now = now
        self._waits = waits
        self._emit = emit
        self._flush = flush
        self._settle_dead = settle_dead
        # One thread: SQLite's connection and the order of transactions are its own.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="caps")
        self._bell = WakeUp()
        # Mutable, touched by the event loop only: the task, why nothing is granted any
        # more, and whether costs wait to be written.
        self._task: asyncio.Task[None] | None = None
        self.failure: BaseException | None = None
        self._unwritten = False
        # Mutable, likewise: since when the first in line is blocked, when dead runs
        # were last looked for, and whether the wait was reported.
        self._blocked_since: float | None = None
        self._looked_for_dead = float("-inf")
        self._wait_reported = False

    async def report(self) -> None:
        """Report how the caps stand."""
        self._report(await self._ask(lambda: self._book.uses(self._today())))

    def serve(self) -> Hold | None:
        """Grant what the allotment has money for; returns the first hold that waits
        on.
        """
        return self._queue.serve(lambda hold: self._allotment.draw(hold, self._today()))

    def start(self) -> None:
        """Have waiting holds served, and unneeded money given back."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())
            self._task.add_done_callback(self._ended)
        elif self._queue:
            self._bell.ring()

    def cost_known(self) -> None:
        """A cost is known that the ledger has yet to hear of."""
        self._unwritten = True

    def look_again(self) -> None:
        """A request has left the line."""
        self._bell.ring()

    async def close(self, *, clear: bool, exact: bool) -> None:
        """End the task and close the book. *clear*: nothing that is taken is needed;
        *exact*: what the ledger holds is what is needed.
        """
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        try:
            if not clear and not exact:
                await self._give_back(self._allotment.free())
            # The last report is not worth an error at the end.
            with suppress(sqlite3.Error):
                await self.report()
            await self._ask(lambda: self._book.close(clear=clear))
        finally:
            self._thread.shutdown(wait=True)

    async def _work(self) -> None:
        try:
            await self._fill()
            while self._unwritten or self._allotment.unused():
                await self._waits.sleep(_IDLE_S, self._bell)
                if not self._queue:
                    self._unwritten = False
                    await self._flush()
                    await self._give_back(self._allotment.unused())
                await self._fill()
        except Draining:
            pass  # waiting holds are refused by the drain itself
        except StopRun as failure:
            self._fail(failure)
        except (sqlite3.Error, OSError) as error:
            self._fail(
                JournalFailed(
                    "E709",
                    f"the caps in the spend ledger cannot be kept: {os_fault(error).reason}",
                    fix=os_fault(error).fix,
                )
            )

    async def _fill(self) -> None:
        """Get what waiting holds lack, until none waits."""
        wait_s = _FIRST_WAIT_S
        while (head := self.serve()) is not None:
            taken = await self._take(head)
            if not taken.amount and self._blocked_since is not None:
                wait_s = await self._blocked(head, taken, wait_s)
            elif not taken.amount:
                # What is ours to give goes back first: another run may need just that,
                # and we then the whole. Two runs would else wait for each other.
                self._blocked_since = self._now()
                await self._flush()
                await self._give_back(self._allotment.free())
            else:
                self._blocked_since, wait_s = None, _FIRST_WAIT_S

    async def _take(self, head: Hold) -> CapsTaken:
        day = self._today()
        # Money of a day that is over serves no hold any more.
        await self._give_back(self._allotment.free(but=day))
        free, _ = self._allotment.of(day)
        wish = self._queue.worst() - free
        ahead = 0 if head.lasts else (wish + self._allotment.moving(day)) * AHEAD
        least = head.worst - free
        taken = await self._ask(lambda: self._book.take(day, least=least, wish=wish, ahead=ahead))
        self._allotment.add(day, taken.amount)
        self._report(taken)
        return taken

    async def _blocked(self, head: Hold, taken: CapsTaken, wait_s: float) -> float:
        """Refuse what can never fit; wait a while for what may. Returns how long to
        wait the next time.
        """
        short = next(
            (use for use in taken.uses if self._gone(use, taken) + head.worst > use.cap.limit), None
        )
        if short is not None:
            self._queue.refuse(head, exhausted(head, short.cap, self._gone(short, taken)))
            return _FIRST_WAIT_S
        await self._look_for_dead()
        await self._waits.sleep(wait_s, self._bell)
        # Costs of our own answers may be what is missing.
        await self._flush()
        await self._give_back(self._allotment.free())
        return min(wait_s * 2, _LONGEST_WAIT_S)

    async def _look_for_dead(self) -> None:
        """Have the money of dead runs settled: they would hold it for ever."""
        now = self._now()
        if now - self._looked_for_dead < _BETWEEN_SETTLING_S:
            return
        self._looked_for_dead = now
        holders = await self._ask(self._book.holders)
        await self._ask(lambda: self._settle_dead(holders))
        since = self._blocked_since
        waited_s = 0.0 if since is None else now - since
        if holders and not self._wait_reported and waited_s >= _REPORTED_AFTER_S:
            self._wait_reported = True
            self._emit(
                Notice(
                    "N063",
                    "waiting: other runs have reserved the rest of the cap (`claudebatch "
                    "runs list`)",
                )
            )

    async def _give_back(self, amounts: Mapping[str, Pico]) -> None:
        # Out of the allotment first: what is given back on disk must not be drawn
        # meanwhile.
        for day, amount in amounts.items():
            self._allotment.add(day, -amount)
        if amounts:
            await self._ask(lambda: self._book.give_back(amounts))

    def _gone(self, use: CapUse, taken: CapsTaken) -> Pico:
        """What of a cap is spent for good, with the costs that the ledger has yet to
        hear of.
        """
        return use.gone + self._allotment.unheard(taken.own, *use.cap.days(self._today()))

    def _report(self, taken: CapsTaken) -> None:
        for use in taken.uses:
            self._emit(CapUsed(use.cap.name, use.cap.limit, self._gone(use, taken)))

    def _ended(self, task: asyncio.Task[None]) -> None:
        bug = None if task.cancelled() else task.exception()
        if bug is not None:
            self._fail(bug)  # else waiting holds would wait for ever

    def _fail(self, failure: BaseException) -> None:
        self.failure = failure
        self._queue.fail(failure)

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)


def exhausted(hold: Hold, cap: SharedCap, gone: Pico) -> BudgetExhausted:
    """*hold* can never fit under *cap*, of which *gone* is spent for good."""
    left = cap.limit - gone
    when = {
        "day": " or run the same command tomorrow (days are UTC)",
        "month": " or run it again next month",
    }
    name = f"the cap of {'the ' if cap.tag is None else ''}{cap.name}"
    return BudgetExhausted(
        f"the next request may cost up to ${usd_text(hold.worst)}, and {left_of(name, left)}",
        worst=hold.worst,
        needed=gone + hold.worst,
        left=left,
        cap=cap.name,
        limit=cap.limit,
        fix=f"raise {cap.setting} in the configuration{when.get(cap.span, '')}",
    )
