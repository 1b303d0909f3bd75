"""Round trips to a store on another host: each takes time on the way there and on the
way back, and what the store does in between cannot be called off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


class RoundTrip:
    """Asks a store that is *one_way_s* away."""

    def __init__(self, one_way_s: float) -> None:
        self._one_way_s = one_way_s
        # Mutable: how often the way was taken.
        self.count = 0

    async def ask(
        self, work: Callable[[], Answer], *, undo: Callable[[Answer], object] | None = None
    ) -> Answer:
        """The answer of *work*, done at the far end. A caller that is called off waits
        for it all the same, and has it undone, where that can be.
        """
        asking = asyncio.ensure_future(self._go(work))
        called_off: asyncio.CancelledError | None = None
        while not asking.done():
            try:
                await asyncio.wait([asking])
            except asyncio.CancelledError as error:
                called_off = error
        answer = asking.result()
        if called_off is None:
            return answer
        if undo is not None:
            undo(answer)
        raise called_off

    async def _go(self, work: Callable[[], Answer]) -> Answer:
        self.count += 1
        await asyncio.sleep(self._one_way_s)
        answer = work()
        await asyncio.sleep(self._one_way_s)
        return answer
