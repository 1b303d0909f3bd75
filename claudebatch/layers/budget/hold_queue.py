"""Holds that wait for money of shared caps, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from claudebatch.core.domain import Hold, Pico


class HoldQueue:
    """Each hold waits with a future: its result is the grant, its exception the
    refusal.
    """

    def __init__(self) -> None:
        # Mutable, changed by the methods below only. Holds that were called off stay in
        # line until their turn.
        self._waiting: deque[tuple[Hold, asyncio.Future[None]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def join(self, hold: Hold) -> asyncio.Future[None]:
        """Put *hold* at the end of the line."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((hold, turn))
        return turn

    def serve(self, draw: Callable[[Hold], bool]) -> Hold | None:
        """Grant holds as long as *draw* has money for them; returns the first that
        lacks some.

        The first in line blocks those behind it: else a large hold would starve.
        """
        while self._waiting:
            hold, turn = self._waiting[0]
            if not turn.done():
                if not draw(hold):
                    return hold
                turn.set_result(None)
            self._waiting.popleft()
        return None

    def worst(self) -> Pico:
        """The worst cases of all that wait."""
        return sum(hold.worst for hold, turn in self._waiting if not turn.done())

    def refuse(self, hold: Hold, error: BaseException) -> None:
        """*hold* will never be granted."""
        for waiting, turn in self._waiting:
            if waiting is hold and not turn.done():
                turn.set_exception(error)

    def fail(self, error: BaseException) -> None:
        """No hold will be granted any more."""
        for _, turn in self._waiting:
            if not turn.done():
                turn.set_exception(error)


def granted(turn: asyncio.Future[None]) -> bool:
    """Whether the money was granted, even if nobody waits for it any more."""
    return turn.done() and not turn.cancelled() and turn.exception() is None
