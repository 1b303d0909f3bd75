"""Caps that a run shares with others: its share of them is taken on disk first, then
spent from memory.

What a run has taken is an allotment. Holds are drawn from it without I/O while it
suffices; what the waiting ones lack is asked for in one transaction, and what is not
needed is given back when others may be waiting for it: so the many processes of a
machine never pass a cap together, and none of them sits on money that it does not use.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol, TypeVar

from claudebatch.core.domain import Hold, Pico, usd_text
from claudebatch.core.drain import WakeUp
from claudebatch.core.errors import BudgetExhausted, Draining, JournalFailed, StopRun
from claudebatch.core.events import CapUsed, Emit, Notice
from claudebatch.core.shared_cap import SharedCap
from claudebatch.layers.budget.allotment import AHEAD, Allotment
from claudebatch.layers.budget.run_budget import RunBudget, left_of
from claudebatch.storage.ledger.shared_caps import CapsTaken, CapUse, SharedCaps

Answer = TypeVar("Answer")

_FIRST_WAIT_S = 0.02
_LONGEST_WAIT_S = 1.0
_IDLE_S = 1.0
"""So often others are told what was spent, and get back what is not needed: they may be
waiting to hear of it.
"""
_BETWEEN_SETTLING_S = 2.0
_TOLD_AFTER_S = 5.0


class WakeableWaits(Protocol):
    """Waits that the end of the run ends."""

    async def sleep(self, seconds: float, wake_up: WakeUp | None = None) -> None:
        """Wait *seconds*, or until *wake_up* rings, or raise `Draining`."""
        ...

    async def until(self, awaited: asyncio.Future[None]) -> None:
        """Wait for *awaited* or raise `Draining`."""
        ...


class SharedBudget:
    """A run's own budget, and its hand in the caps of *book*. A hold counts for the UTC
    day on which it was drawn.
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
        """*flush* has what is spent written as spent; *settle_dead* settles those of
        some runs that have died.
        """
        self._own = own
        self._book = book
        self._today = today
        self._now = now
        self._waits = waits
        self._emit = emit
        self._flush = flush
        self._settle_dead = settle_dead
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="caps")
        self._bell = WakeUp()
        # Mutable, touched by the event loop only: what is taken, who waits, who serves
        # them, and why nobody is served.
        self._allotment = Allotment()
        self._waiting: deque[tuple[Hold, asyncio.Future[None]]] = deque()
        self._clerk: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._unheard = False
        self._blocked_since: float | None = None
        self._looked_for_dead = float("-inf")
        self._told = False

    async def begin(self) -> None:
        """Tell how the caps stand."""
        self._tell(await self._ask(lambda: self._book.uses(self._today())))

    async def hold(self, amount: Pico, worst: Pico) -> Hold:
        """Set *amount* aside of the run's own cap and *worst* of the others; raises
        `BudgetExhausted`.
        """
        hold = await self._own.hold(amount, worst)
        try:
            await self._draw(hold)
        except BaseException:
            await self._own.release(hold)
            raise
        return hold

    async def settle(self, hold: Hold, cost: Pico) -> None:
        """The attempt cost *cost*. Never suspends."""
        await self._own.settle(hold, cost)
        self._allotment.end(hold, cost)
        self._unheard = True
        self._hand_out()
        self._call_clerk()

    async def release(self, hold: Hold) -> None:
        """The attempt cost nothing. Never suspends."""
        await self.settle(hold, 0)

    async def forfeit(self, hold: Hold) -> None:
        """Nobody knows what the attempt cost. Never suspends."""
        await self.settle(hold, hold.worst)

    async def close(self, *, complete: bool) -> None:
        """Give back what is left. *complete*: the ledger has everything that was
        spent.
        """
        clear = complete and not self._own.held
        if self._clerk is not None:
            self._clerk.cancel()
            await asyncio.wait([self._clerk])
        try:
            if not clear:
                await self._give_back(self._allotment.free())
            with suppress(
                sqlite3.Error
            ):  # what was spent since the last look; not worth an error at the end
                await self.begin()
            await self._ask(lambda: self._book.close(clear=clear))
        finally:
            self._thread.shutdown(wait=True)

    async def _draw(self, hold: Hold) -> None:
        if self._failure is not None:
            raise self._failure
        if not self._waiting and self._allotment.draw(hold, self._today()):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((hold, turn))
        self._call_clerk()
        try:
            await self._waits.until(turn)
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._allotment.end(hold, 0)  # granted in the moment in which it was called off
                self._hand_out()
            turn.cancel()
            self._bell.ring()
            raise

    def _hand_out(self) -> Hold | None:
        """Serve those who wait from what is there, in their order; returns the first
        that cannot be served.
        """
        while self._waiting:
            hold, turn = self._waiting[0]
            if not turn.done():
                if not self._allotment.draw(hold, self._today()):
                    return hold
                turn.set_result(None)
            self._waiting.popleft()
        return None

    def _call_clerk(self) -> None:
        """Have those who wait served, and what nobody needs given back."""
        if self._clerk is None or self._clerk.done():
            self._clerk = asyncio.get_running_loop().create_task(self._work())
            self._clerk.add_done_callback(self._served)
        elif self._waiting:
            self._bell.ring()

    async def _work(self) -> None:
        try:
            await self._serve()
            while self._unheard or self._allotment.unused():
                await self._waits.sleep(_IDLE_S, self._bell)
                if not self._waiting:
                    self._unheard = False
                    await self._flush()
                    await self._give_back(self._allotment.unused())
                await self._serve()
        except Draining:
            pass  # those who wait hear of it themselves
        except StopRun as failure:
            self._fail(failure)
        except (sqlite3.Error, OSError) as error:
            self._fail(
                JournalFailed(
                    f"the caps in the spend ledger cannot be kept: {error}", fix="mend the disk"
                )
            )

    async def _serve(self) -> None:
        """Get those who wait what they lack, until nobody waits."""
        wait_s = _FIRST_WAIT_S
        while (head := self._hand_out()) is not None:
            taken = await self._take(head)
            if not taken.amount and self._blocked_since is not None:
                wait_s = await self._blocked(head, taken, wait_s)
            elif not taken.amount:
                # What is ours to give goes back first: somebody may need just that, and
                # we then the whole.
                self._blocked_since = self._now()
                await self._flush()
                await self._give_back(self._allotment.free())
            else:
                self._blocked_since, wait_s = None, _FIRST_WAIT_S

    def _served(self, clerk: asyncio.Task[None]) -> None:
        bug = None if clerk.cancelled() else clerk.exception()
        if bug is not None:
            self._fail(bug)  # else they would wait for ever

    async def _take(self, head: Hold) -> CapsTaken:
        day = self._today()
        await self._give_back(self._allotment.free(but=day))
        free, drawn = self._allotment.of(day)
        wish = sum(hold.worst for hold, turn in self._waiting if not turn.done()) - free
        least, ahead = head.worst - free, (wish + drawn) * AHEAD
        taken = await self._ask(lambda: self._book.take(day, least=least, wish=wish, ahead=ahead))
        self._allotment.add(day, taken.amount)
        self._tell(taken)
        return taken

    async def _blocked(self, head: Hold, taken: CapsTaken, wait_s: float) -> float:
        """Refuse what can never fit; wait a while for what may. Returns how long to
        wait the next time.
        """
        short = next(
            (use for use in taken.uses if self._gone(use, taken) + head.worst > use.cap.limit), None
        )
        if short is not None:
            self._refuse(head, short.cap, self._gone(short, taken))
            return _FIRST_WAIT_S
        await self._look_for_dead()
        await self._waits.sleep(wait_s, self._bell)
        await self._flush()
        await self._give_back(self._allotment.free())
        return min(wait_s * 2, _LONGEST_WAIT_S)

    def _refuse(self, hold: Hold, cap: SharedCap, gone: Pico) -> None:
        for waiting, turn in self._waiting:
            if waiting is hold and not turn.done():
                turn.set_exception(_exhausted(hold, cap, gone))

    async def _look_for_dead(self) -> None:
        now = self._now()
        if now - self._looked_for_dead >= _BETWEEN_SETTLING_S:
            self._looked_for_dead = now
            holders = await self._ask(self._book.holders)
            await self._ask(lambda: self._settle_dead(holders))
            if holders and not self._told and now - (self._blocked_since or now) >= _TOLD_AFTER_S:
                self._told = True
                self._emit(
                    Notice(
                        "waiting for money that other runs hold under the same cap (claudebatch "
                        "runs list)"
                    )
                )

    async def _give_back(self, amounts: Mapping[str, Pico]) -> None:
        for day, amount in amounts.items():
            self._allotment.add(day, -amount)
        if amounts:
            await self._ask(lambda: self._book.give_back(amounts))

    def _gone(self, use: CapUse, taken: CapsTaken) -> Pico:
        """What is gone of a cap for good, with what this run has spent and the ledger
        has yet to hear of.
        """
        return use.gone + self._allotment.unheard(taken.own, *use.cap.days(self._today()))

    def _tell(self, taken: CapsTaken) -> None:
        for use in taken.uses:
            self._emit(CapUsed(use.cap.name, use.cap.limit, self._gone(use, taken)))

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure
        for _, turn in self._waiting:
            if not turn.done():
                turn.set_exception(failure)

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)


def _exhausted(hold: Hold, cap: SharedCap, gone: Pico) -> BudgetExhausted:
    left = cap.limit - gone
    when = {
        "day": " or run the same command tomorrow (days are UTC)",
        "month": " or run it again next month",
    }
    name = f"the cap of {'the ' if cap.tag is None else ''}{cap.name}"
    return BudgetExhausted(
        f"the next request may cost up to ${usd_text(hold.worst)}, and {left_of(name, left)}",
        needed=gone + hold.worst,
        left=left,
        cap=cap.name,
        limit=cap.limit,
        fix=f"raise {cap.setting} in the configuration{when.get(cap.span, '')}",
    )
