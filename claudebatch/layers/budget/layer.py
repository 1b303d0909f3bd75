"""Never spend more than the cap, whatever is in flight.

Each attempt's worst case is held before it waits or is sent; after it, the hold becomes
what it cost. An attempt whose outcome nobody knows forfeits its hold: it counts as
spent for good.

What became of an attempt is known by whoever sends it, and told in its `Hold`: a
cancellation may come while it waits below, while it is out, or after its answer came,
and looks the same every time.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from claudebatch.core.domain import Call, Hold, Pico, Reply, usd_text
from claudebatch.core.errors import AttemptError, BudgetExhausted
from claudebatch.core.events import CapUsed, Emit, Notice, Waiting, nobody
from claudebatch.core.fifo_turn import FifoTurn, SleepsUntilDrain
from claudebatch.core.handler import Handler

_QUANTILE = 0.95
_MARGIN = 1.1
_ENOUGH = 20
_MEMORY = 200
_LASTS_S = 1.0
"""A wait for money of less is not worth a word."""


class BudgetStore(Protocol):
    """Where holds are kept: in this process, or in one that several share."""

    async def hold(self, amount: Pico, worst: Pico) -> Hold:
        """Set *amount* aside, waiting if it may fit later; raises `BudgetExhausted`.

        *worst* is the most that the attempt can cost; a strict budget asks for all of
        it.
        """
        ...

    def settle(self, hold: Hold, cost: Pico) -> None:
        """The attempt cost *cost*."""
        ...

    def release(self, hold: Hold) -> None:
        """The attempt cost nothing."""
        ...

    def forfeit(self, hold: Hold) -> None:
        """Nobody knows what the attempt cost."""
        ...


class CostPredictor(Protocol):
    """How much of its worst case an attempt usually costs, learned from those before."""

    def amount(self, call: Call, worst: Pico) -> Pico:
        """What to set aside."""
        ...

    def learn(self, call: Call, worst: Pico, cost: Pico) -> None:
        """*call* cost *cost*."""
        ...


class InputBounds(Protocol):
    """Lower bounds on the input of calls, from counts of it."""

    def hoped(self, call: Call) -> Call | None:
        """*call* as small as a count may show it to be; None where none can."""
        ...

    def counted(self, call: Call, tokens: int) -> Call:
        """*call* with the bound that a count of *tokens* gives it."""
        ...

    def refuted(self, call: Call, tokens: int) -> bool:
        """Whether *tokens* of input, counted by the API for its bill, pass the bound of
        *call*; then no more counts.
        """
        ...


Count = Callable[[Call], Awaitable[int | None]]
"""Has the input of a call counted, free of charge; None: it cannot be."""


class Budget:
    """Authorise, then settle, release or forfeit: exactly one of them, for every
    attempt and every way it ends.
    """

    def __init__(
        self,
        budget_store: BudgetStore,
        *,
        worst: Callable[[Call], Pico],
        emit: Emit = nobody,
        usual: CostPredictor | None = None,
        tighter: InputCounter | None = None,
        pool_of: Callable[[str], str] = str,
    ) -> None:
        """*usual*: hold what attempts usually cost instead of the worst case.
        *tighter*: see there.
        """
        self._budget_store = budget_store
        self._worst = worst
        self._emit = emit
        self._usual = usual
        self._tighter = tighter
        self._waits = BudgetWaitReporter(pool_of, emit)
        # Mutable: whether it was told that an answer cost more than its worst case, and
        # which caps are full.
        self._told = False
        self._full: set[str] = set()

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """Pass the call on once its worst case is set aside."""
        call, hold = await self._held(call)
        try:
            reply = await call_next(call.under(hold))
        except BaseException as error:
            self._failed(hold, error)
            raise
        self._budget_store.settle(hold, reply.cost)
        self._learn(call, hold, reply)
        return reply

    async def _held(self, call: Call) -> tuple[Call, Hold]:
        try:
            return call, await self._hold(call)
        except BudgetExhausted as error:
            smaller = (
                await self._tighter.tightened(call, error.left, self._amount)
                if self._tighter
                else None
            )
            if smaller is None:
                self._tell_full(error)
                raise
        try:
            return smaller, await self._hold(smaller)
        except BudgetExhausted as error:
            self._tell_full(error)
            raise

    async def _hold(self, call: Call) -> Hold:
        amount, worst = self._amount(call), self._worst(call)
        timer = self._waits.begins(call)
        try:
            return await self._budget_store.hold(amount, worst)
        finally:
            self._waits.ends(call, timer)

    def _amount(self, call: Call) -> Pico:
        worst = self._worst(call)
        return worst if self._usual is None else self._usual.amount(call, worst)

    def _failed(self, hold: Hold, error: BaseException) -> None:
        sent = hold.sent or (isinstance(error, AttemptError) and error.may_be_billed)
        if hold.cost is None and sent:
            self._budget_store.forfeit(hold)
        elif hold.cost:
            self._budget_store.settle(
                hold, hold.cost
            )  # its answer came, and it was called off after that
        else:
            self._budget_store.release(hold)

    def _tell_full(self, error: BudgetExhausted) -> None:
        if error.cap not in self._full:
            self._full.add(error.cap)
            self._emit(CapUsed(error.cap, error.limit, error.limit - error.left, full=True))

    def _learn(self, call: Call, hold: Hold, reply: Reply) -> None:
        if self._usual is not None and reply.cost_known:
            self._usual.learn(call, hold.worst, reply.cost)
        if self._tighter is not None:
            self._tighter.check(call, reply)
        if reply.cost > hold.worst and hold.worst and not self._told:
            self._told = True
            self._emit(
                Notice(
                    f"an answer of {call.model} cost ${usd_text(reply.cost)}, more than its "
                    f"worst case,"
                    f" ${usd_text(hold.worst)}: please report it; the difference counts against "
                    f"the cap"
                )
            )


class BudgetWaitReporter:
    """Tells that rows of a pool wait for money, once that lasts: of one row at a time,
    as long as any does.

    What they wait for is what requests in flight hold, here or in other runs: nobody
    can say how long that takes.
    """

    def __init__(self, pool_of: Callable[[str], str], emit: Emit) -> None:
        self._pool_of = pool_of
        self._emit = emit
        # Mutable: by pool, the calls whose wait lasts, by their identity and in order;
        # the first was told of.
        self._lasting: dict[str, dict[int, Call]] = {}

    def begins(self, call: Call) -> asyncio.TimerHandle:
        """*call* asks for money; what is returned is to be handed to `ends`."""
        return asyncio.get_running_loop().call_later(_LASTS_S, self._lasts, call)

    def ends(self, call: Call, timer: asyncio.TimerHandle) -> None:
        """*call* has its money, or will not get it."""
        timer.cancel()
        if not self._lasting:
            return
        pool = self._pool_of(call.model)
        waiting = self._lasting.get(pool, {})
        told = next(iter(waiting), None) == id(call)
        waiting.pop(id(call), None)
        if not told:
            return
        if waiting:
            self._tell(pool, next(iter(waiting.values())), math.inf)
        else:
            del self._lasting[pool]
            self._tell(pool, call, 0.0)

    def _lasts(self, call: Call) -> None:
        pool = self._pool_of(call.model)
        waiting = self._lasting.setdefault(pool, {})
        waiting[id(call)] = call
        if len(waiting) == 1:
            self._tell(pool, call, math.inf)

    def _tell(self, pool: str, call: Call, seconds: float) -> None:
        self._emit(Waiting(pool, "money", seconds, call.prompt.id))


class UsualCost:
    """The share of its worst case that 95 in 100 attempts stay below, by model and
    rule, and a tenth more.

    All of it until twenty answers are known.
    """

    def __init__(self) -> None:
        # Mutable, changed by `learn` only: the shares of the last answers, in order of
        # arrival and of size.
        self._recent: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._sorted: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def amount(self, call: Call, worst: Pico) -> Pico:
        """What to set aside."""
        shares = self._sorted[call.model, call.route.rule]
        if len(shares) < _ENOUGH:
            return worst
        return min(worst, int(worst * shares[int(len(shares) * _QUANTILE)] * _MARGIN) + 1)

    def learn(self, call: Call, worst: Pico, cost: Pico) -> None:
        """*call* cost *cost*."""
        key, share = (call.model, call.route.rule), cost / max(1, worst)
        recent, in_order = self._recent[key], self._sorted[key]
        recent.append(share)
        insort(in_order, share)
        if len(recent) > _MEMORY:
            del in_order[bisect_left(in_order, recent.popleft())]


class InputCounter:
    """Has the input counted where only its bound, one token a byte, keeps a call from
    fitting under the cap.

    Counts are free and have a limit of their own, far above one after the other.
    """

    def __init__(
        self, count: Count, bounds: InputBounds, *, waits: SleepsUntilDrain, emit: Emit
    ) -> None:
        self._count = count
        self._bounds = bounds
        self._turn = FifoTurn(waits)
        self._emit = emit
        # Mutable: whether it was told that counts are used.
        self._told = False

    async def tightened(
        self, call: Call, left: Pico, amount: Callable[[Call], Pico]
    ) -> Call | None:
        """*call* with a smaller bound, under which what it needs may fit into *left*;
        None where there is none.
        """
        async with self._turn:
            hoped = self._bounds.hoped(
                call
            )  # in our turn: the count before may have taught something
            if hoped is None or amount(hoped) > left:
                return None
            try:
                tokens = await self._count(call)
            except AttemptError:
                return None
        if tokens is None:
            return None
        smaller = self._bounds.counted(call, tokens)
        self._tell()
        return smaller if smaller.size.input_bound < call.size.input_bound else None

    def check(self, call: Call, reply: Reply) -> None:
        """Learn from the bill whether counts can be trusted."""
        if self._bounds.refuted(call, reply.usage.total_input):
            self._emit(
                Notice(
                    "a request had more input than was counted before: no more counts are relied on"
                )
            )

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._emit(Notice("near the cap: requests are counted first, so that more of them fit"))
