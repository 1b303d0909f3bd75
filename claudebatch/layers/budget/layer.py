"""Never spend more than the cap, whatever is in flight.

Each attempt's worst case is held before it waits or is sent; after it, the hold becomes
the cost. An attempt whose outcome is unknown forfeits its hold: it counts as spent
for good.

The layer that sends the attempt writes its outcome into the `Hold`: a cancellation may
come while it waits below, while it is out, or after its answer came, and looks the same
every time.
"""

from __future__ import annotations

from collections.abc import Callable

from claudebatch.core.domain import Call, Hold, Pico, Reply, usd_text
from claudebatch.core.errors import AttemptError, BudgetExhausted
from claudebatch.core.events import CapUsed, Emit, nobody
from claudebatch.core.handler import Handler
from claudebatch.core.notice import Notice
from claudebatch.layers.budget.input_count import InputCounter
from claudebatch.layers.budget.store import BudgetStore
from claudebatch.layers.budget.usual_cost import CostPredictor
from claudebatch.layers.budget.waits import BudgetWaitReporter


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
        """*usual*: hold the usual cost of attempts instead of their worst case.
        *tighter* has the input counted where the worst case does not fit.
        """
        self._budget_store = budget_store
        self._worst = worst
        self._emit = emit
        self._usual = usual
        self._tighter = tighter
        self._waits = BudgetWaitReporter(pool_of, emit)
        # Mutable: whether the notice was given that an answer cost more than its worst
        # case, and the caps that were reported as full.
        self._excess_reported = False
        self._full: set[str] = set()

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """Pass the call on once its worst case is set aside."""
        call, hold = await self._held(call)
        try:
            reply = await call_next(call.under(hold))
        except BaseException as error:
            # Cancellations, too: a hold that nobody ends lowers the cap for good.
            await self._failed(hold, error)
            raise
        if reply.cost_known or not hold.worst:
            await self._budget_store.settle(hold, reply.cost)
        else:
            await self._budget_store.forfeit(hold)
        self._learn(call, hold, reply)
        return reply

    async def _held(self, call: Call) -> tuple[Call, Hold]:
        try:
            return call, await self._hold(call)
        except BudgetExhausted as error:
            smaller = await self._smaller(call, error.left)
            if smaller is None:
                self._report_full(error)
                raise
        try:
            return smaller, await self._hold(smaller)
        except BudgetExhausted as error:
            self._report_full(error)
            raise

    async def _smaller(self, call: Call, left: Pico) -> Call | None:
        """*call* with a smaller bound on its input, if a count of it may make it
        fit.
        """
        if self._tighter is None:
            return None
        return await self._tighter.tightened(
            call, left, lambda smaller: self._amount(smaller, self._worst(smaller))
        )

    async def _hold(self, call: Call) -> Hold:
        worst = self._worst(call)
        amount = self._amount(call, worst)
        timer = self._waits.begins(call)
        try:
            return await self._budget_store.hold(amount, worst)
        finally:
            self._waits.ends(call, timer)

    def _amount(self, call: Call, worst: Pico) -> Pico:
        # What is usual of answers says nothing of a request without output.
        if self._usual is None or call.prewarms:
            return worst
        return self._usual.amount(call, worst)

    async def _failed(self, hold: Hold, error: BaseException) -> None:
        # The hold comes first: an error says nothing where a cancellation came while
        # the request was out.
        sent = hold.sent or (isinstance(error, AttemptError) and error.may_be_billed)
        if hold.cost is None and sent:
            await self._budget_store.forfeit(hold)
        elif hold.cost:
            # Its answer came, and it was called off after that.
            await self._budget_store.settle(hold, hold.cost)
        else:
            await self._budget_store.release(hold)

    def _report_full(self, error: BudgetExhausted) -> None:
        # Every row that is left meets the full cap; one report is enough.
        if error.cap not in self._full:
            self._full.add(error.cap)
            self._emit(CapUsed(error.cap, error.limit, error.limit - error.left, full=True))

    def _learn(self, call: Call, hold: Hold, reply: Reply) -> None:
        if self._usual is not None and reply.cost_known and not call.prewarms:
            self._usual.learn(call, hold.worst, reply.cost)
        if self._tighter is not None:
            self._tighter.check(call, reply)
        if reply.cost > hold.worst and hold.worst and not self._excess_reported:
            self._excess_reported = True
            self._emit(
                Notice(
                    "W062",
                    f"an answer of {call.model} cost ${usd_text(reply.cost)}, more than its "
                    f"worst case,"
                    f" ${usd_text(hold.worst)}: please report it; the difference counts against "
                    f"the cap",
                )
            )
