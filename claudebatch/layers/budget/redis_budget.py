"""Caps that all hosts share: money is set aside for each attempt at the shared server,
in one round trip, and becomes its cost in another.

A process says every few seconds that it lives. When it is silent for too long, what it
had set aside counts as spent, until its run goes on and its journal says better. A
server that has lost everything has another epoch, or none: then each process tells it
what its machine's ledger knows, before anything is granted.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

from claudebatch.core.domain import Hold, Pico
from claudebatch.core.drain import Drain, WakeUp
from claudebatch.core.errors import StopRun, StorageError
from claudebatch.core.events import CapUsed, Emit
from claudebatch.core.fifo_turn import FifoTurn
from claudebatch.core.frozen import value
from claudebatch.core.shared_cap import SharedCap
from claudebatch.layers.budget.refill import exhausted
from claudebatch.layers.budget.run_budget import RunBudget
from claudebatch.storage.ledger.known_spend import KnownSpend
from claudebatch.storage.shared_server.carried_out import carried_out
from claudebatch.storage.shared_server.redis_server import ScriptServer, ServerAway, Value
from claudebatch.storage.shared_server.script import Script
from claudebatch.storage.shared_server.tell_queue import TellQueue
from claudebatch.storage.shared_server.times import AGAIN_S, SILENT_S

_FOLDER = Path(__file__).with_name("lua")
_HOLD, _END, _REPORT, _LEAVE = (
    Script.read(_FOLDER, "caps.lua", f"{name}.lua") for name in ("hold", "end", "report", "leave")
)
# A process says so often that it lives. It is also how soon each notices that the
# server has forgotten.
_HEARTBEAT_S = 1.0
# A server that has just begun may have forgotten: for so long the others may tell what
# they know before it grants anything.
_REPORT_S = 5
# What a session leaves behind on purpose, as batches that are out: longer than the API
# keeps their results.
_LEFT_S = 30 * 86_400
_LOOK_AGAIN_S = 0.25
# One script holds up all others at the server.
_MOST_AT_ONCE = 16


@value
class _EndOfHold:
    """What became of money that was set aside."""

    name: str
    hold: Hold | None
    """None: nobody knows whether it was set aside at all."""
    cost: Pico


class RedisBudget:
    """A `BudgetStore` of a run's own budget and of caps at the shared server."""

    def __init__(
        self,
        own: RunBudget,
        server: ScriptServer,
        caps: Sequence[SharedCap],
        *,
        run: str,
        tag: str | None,
        today: Callable[[], str],
        waits: Drain,
        emit: Emit,
        known: Callable[[], Sequence[KnownSpend]],
    ) -> None:
        """*known*: what the ledger of this machine knows of all its runs, read anew;
        it may take a while.
        """
        self._own = own
        self._server = server
        self._caps = tuple(caps)
        self._run = run
        self._tag = tag or ""
        self._today = today
        self._waits = waits
        self._emit = emit
        self._known = known
        self._keys = caps_keys(server.prefix)
        self._turn = FifoTurn(waits)
        self._bell = WakeUp()
        self._reporting = asyncio.Lock()
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Mutable: numbers of holds, those that wait in order, and names of those that
        # are out; the epoch, while it is known; what this run has spent by day, as far
        # as the server has heard; ends that it has not; the task that says that this
        # process lives.
        self._numbers = count()
        self._line: deque[Hold] = deque()
        self._out: dict[Hold, str] = {}
        self._epoch = ""
        self._begun = False
        # Mutable: whether all that earlier sessions have left is adopted.
        self._adopted = False
        self._spent: defaultdict[str, Pico] = defaultdict(int)
        self._unheard = TellQueue(self._tell)
        self._heart: asyncio.Task[None] | None = None

    async def hold(self, amount: Pico, worst: Pico, *, lasts: bool = False) -> Hold:
        """Set *amount* aside of the run's own cap and *worst* of the others; raises
        `BudgetExhausted`.
        """
        hold = await self._own.hold(amount, worst, lasts=lasts)
        self._line.append(hold)
        try:
            async with self._turn:
                # It may have been asked for by the one before it.
                while hold not in self._out:
                    if (seconds := await carried_out(self._take_some())) > 0:
                        with self._server.waits.for_money():
                            await self._waits.sleep(seconds, self._bell)
        except BaseException:
            self._line.remove(hold)
            if hold in self._out:
                await carried_out(self._end(hold, 0))
            await self._own.release(hold)
            raise
        self._line.remove(hold)
        return hold

    async def adopt(self, worst: Pico, day: str) -> Hold:
        """Set *worst* aside on *day*, whatever else is held."""
        hold = await self._own.adopt(worst, day)
        while hold not in self._out:
            if (seconds := await carried_out(self._take([hold], adopted=True))) > 0:
                await self._waits.sleep(seconds)
        return hold

    async def settle(self, hold: Hold, cost: Pico) -> None:
        """The attempt cost *cost*; the server hears of it now, or when it is back."""
        await self._own.settle(hold, cost)
        await carried_out(self._end(hold, cost))

    async def release(self, hold: Hold) -> None:
        """The attempt cost nothing."""
        await self.settle(hold, 0)

    async def forfeit(self, hold: Hold) -> None:
        """The cost of the attempt is unknown: its worst case counts."""
        await self.settle(hold, hold.worst)

    async def close(self, *, complete: bool) -> None:
        """Give back what no attempt needs; what is out stays set aside."""
        if not self._closed.done():
            self._closed.set_result(None)
        if self._heart is not None:
            await asyncio.wait([self._heart])
        if not self._begun:
            return
        # A server that is away learns the rest from the next session's journal.
        with suppress(ServerAway, StopRun):
            await self._unheard.emptied()
            await self._ask(_LEAVE, _LEFT_S, int(complete), *self._out.values())

    async def _take_some(self) -> float:
        """Ask for the first in line and those behind it: in how many seconds to ask
        again.
        """
        asked = list(islice(self._line, _MOST_AT_ONCE))
        seconds = await self._take(asked)
        for hold in asked:
            # Called off during the round trip: what it got is free again.
            if hold in self._out and hold not in self._line:
                await self._end(hold, 0)
        return seconds

    async def _take(self, holds: Sequence[Hold], *, adopted: bool = False) -> float:
        """Have *holds* set aside, in their order, until one has to wait."""
        names = {f"{self._server.client}.{next(self._numbers)}": hold for hold in holds}
        asked: list[Value] = []
        today = self._today()
        for name, hold in names.items():
            hold.day = hold.day if adopted else today
            asked += [name, str(hold.worst), hold.day, int(hold.lasts)]
        caps = [
            each for cap in self._caps for each in (window_of(cap, holds[0].day), str(cap.limit))
        ]
        try:
            await self._unheard.caught_up()
            how = "adopt" if adopted else "" if self._adopted else "first"
            facts = (self._tag, how, len(self._caps), *caps, *asked)
            held, verdict, fact, *gone = await self._ask(_HOLD, SILENT_S, *facts)
            self._adopted = self._adopted or not adopted
        except ServerAway:
            # They may be set aside there, and nobody was told.
            for name in names:
                self._unheard.put_off(_EndOfHold(name, None, 0))
            return AGAIN_S if adopted else _LOOK_AGAIN_S
        for cap, used in zip(self._caps, gone, strict=True):
            self._emit(CapUsed(cap.name, cap.limit, int(used)))
        self._out |= {hold: name for name, hold in islice(names.items(), int(held))}
        # What those behind lack they are told when they are the first.
        if int(held):
            return 0.0
        if verdict == b"never":
            short = int(float(fact))
            raise exhausted(holds[0], self._caps[short], int(gone[short]))
        return max(_LOOK_AGAIN_S, float(fact))

    async def _end(self, hold: Hold, cost: Pico) -> None:
        self._unheard.put(_EndOfHold(self._out.pop(hold), hold, cost))
        # Nothing raises for an end: until it is heard, its worst case stays set aside.
        with suppress(ServerAway, StopRun):
            await self._unheard.emptied()
        self._bell.ring()

    async def _tell(self, ends: Sequence[_EndOfHold]) -> None:
        told = [fact for end in ends for fact in (end.name, str(end.cost))]
        await self._ask(_END, SILENT_S, *told)
        for end in ends:
            if end.hold is not None:
                self._spent[end.hold.day] += end.cost

    async def _ask(self, script: Script, *values: Value) -> list[bytes]:
        """What *script* answers, after a report wherever the server lacks one."""
        while True:
            await self._report_once()
            epoch = self._epoch
            answer = await self._server.run(script, self._keys, epoch, self._run, *values)
            if answer[0] != b"forgotten":
                return answer
            if self._epoch == epoch:
                self._epoch = ""

    async def _report_once(self) -> None:
        async with self._reporting:
            if self._epoch:
                return
            known = await self._of_the_ledger()
            if not self._begun:
                self._spent.update({each.day: each.amount for each in known if self._mine(each)})
            sums: list[Value] = []
            for each in known:
                if not self._mine(each):
                    sums += [each.run, each.day, each.tag, str(each.amount), 0]
            for day, amount in self._spent.items():
                sums += [self._run, day, self._tag, str(amount), 1]
            # Those whose end it has not heard are told as held: their ends follow.
            holds = {name: hold for hold, name in self._out.items()}
            holds |= {end.name: end.hold for end in self._unheard if end.hold}
            out: list[Value] = []
            for name, hold in holds.items():
                out += [name, str(hold.worst), hold.day, self._tag, int(hold.lasts)]
            number = len(sums) // 5
            begins = int(not self._begun)
            facts = (SILENT_S, _REPORT_S, begins, number, *sums, *out)
            # A new name: that of the epoch, if there is none.
            epoch = f"{self._server.client}.{next(self._numbers)}"
            (found,) = await self._server.run(_REPORT, self._keys, epoch, self._run, *facts)
            self._epoch, self._begun = found.decode(), True
            self._heart = self._heart or asyncio.ensure_future(self._beat())

    async def _of_the_ledger(self) -> Sequence[KnownSpend]:
        try:
            return await asyncio.to_thread(self._known)
        except StorageError as error:
            if not self._begun:
                raise
            # In mid-run: a program that keeps it locked, say. As long as it cannot be
            # told what is spent the server is as good as away.
            raise ServerAway(error.message) from error

    def _mine(self, known: KnownSpend) -> bool:
        return known.run == self._run

    async def _beat(self) -> None:
        while not self._closed.done():
            await asyncio.wait([self._closed], timeout=_HEARTBEAT_S)
            with suppress(ServerAway, StopRun):
                await self._ask(_END, SILENT_S)


def caps_keys(prefix: str) -> list[str]:
    """The keys that all scripts of the caps are given."""
    parts = ("gone", "held", "holds", "lost", "heard", "runs", "epoch")
    return [f"{prefix}:caps:{part}" for part in parts]


def window_of(cap: SharedCap, day: str) -> str:
    """The sum at the server that *cap* is about, on *day*."""
    span = {"day": day, "month": day[:7], "total": "total"}[cap.span]
    return span if cap.tag is None else f"{span} {cap.tag}"
