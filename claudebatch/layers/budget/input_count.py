"""Input tokens counted by the API, where only the bound of them keeps a call from
fitting under the cap.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from claudebatch.core.domain import Call, Pico, Reply
from claudebatch.core.errors import AttemptError
from claudebatch.core.events import Emit
from claudebatch.core.fifo_turn import FifoTurn, SleepsUntilDrain
from claudebatch.core.notice import Notice

Count: TypeAlias = Callable[[Call], Awaitable[int | None]]
"""Has the input of a call counted, free of charge; None: it cannot be."""


class InputBounds(Protocol):
    """Smaller bounds on the input of calls, from counts of it."""

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


class InputCounter:
    """Has the input counted where only its bound, one token a byte, keeps a call from
    fitting under the cap.

    Counts are free. One at a time stays far below their own rate limit.
    """

    def __init__(
        self, count: Count, bounds: InputBounds, *, waits: SleepsUntilDrain, emit: Emit
    ) -> None:
        self._count = count
        self._bounds = bounds
        self._turn = FifoTurn(waits)
        self._emit = emit
        # Mutable: whether the notice that counts are used was given.
        self._announced = False

    async def tightened(
        self, call: Call, left: Pico, amount: Callable[[Call], Pico]
    ) -> Call | None:
        """*call* with a smaller bound, under which what it needs may fit into *left*;
        None where there is none.
        """
        async with self._turn:
            # In our turn only: the count before may have changed the bounds.
            hoped = self._bounds.hoped(call)
            if hoped is None or amount(hoped) > left:
                return None
            try:
                tokens = await self._count(call)
            except AttemptError:
                return None
        if tokens is None:
            return None
        smaller = self._bounds.counted(call, tokens)
        self._announce()
        return smaller if smaller.size.input_bound < call.size.input_bound else None

    def check(self, call: Call, reply: Reply) -> None:
        """Compare the bill with the count: a count that was too low would pass the
        cap.
        """
        if self._bounds.refuted(call, reply.usage.total_input):
            self._emit(
                Notice(
                    "W060",
                    "a request had more input than the API counted: counts are no longer used",
                )
            )

    def _announce(self) -> None:
        if not self._announced:
            self._announced = True
            self._emit(Notice("N061", "near the cap: asking the API for exact token counts first"))
