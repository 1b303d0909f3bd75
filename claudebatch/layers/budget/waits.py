"""Reports of rows that wait for money."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from claudebatch.core.domain import Call
from claudebatch.core.events import Emit, Waiting

# Money is short for a moment whenever many requests are in flight near the cap. A
# report of each such wait would fill the screen.
_MIN_REPORTED_S = 1.0


class BudgetWaitReporter:
    """Reports that rows of a pool wait for money, once that lasts: one row at a time,
    until none waits any more.

    They wait for money that requests in flight hold, here or in other runs: nobody can
    say how long that takes.
    """

    def __init__(self, pool_of: Callable[[str], str], emit: Emit) -> None:
        self._pool_of = pool_of
        self._emit = emit
        # Mutable: by pool, the calls whose wait lasts, by their identity and in order;
        # the first of them was reported.
        self._lasting: dict[str, dict[int, Call]] = {}

    def begins(self, call: Call) -> asyncio.TimerHandle:
        """*call* asks for money; hand the timer to `ends`."""
        return asyncio.get_running_loop().call_later(_MIN_REPORTED_S, self._lasts, call)

    def ends(self, call: Call, timer: asyncio.TimerHandle) -> None:
        """*call* has its money, or will not get it."""
        timer.cancel()
        if not self._lasting:
            return
        pool = self._pool_of(call.limited_as)
        waiting = self._lasting.get(pool, {})
        reported = next(iter(waiting), None) == id(call)
        waiting.pop(id(call), None)
        if not reported:
            return
        if waiting:
            # The pool still waits: without the next row's name the display would show
            # one that has gone on.
            self._report(pool, next(iter(waiting.values())), math.inf)
        else:
            del self._lasting[pool]
            self._report(pool, call, 0.0)

    def _lasts(self, call: Call) -> None:
        pool = self._pool_of(call.limited_as)
        waiting = self._lasting.setdefault(pool, {})
        waiting[id(call)] = call
        if len(waiting) == 1:
            self._report(pool, call, math.inf)

    def _report(self, pool: str, call: Call, seconds: float) -> None:
        self._emit(Waiting(pool, "money", seconds, call.prompt.id))
