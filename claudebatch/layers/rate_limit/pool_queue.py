"""The requests of one pool in line."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Generic

from claudebatch.core.domain import Call
from claudebatch.core.drain import WakeUp
from claudebatch.core.fifo_turn import FifoTurn, SleepsUntilDrain
from claudebatch.layers.rate_limit.passed_over import PassedOver
from claudebatch.layers.rate_limit.store import (
    Admitted,
    BookingT,
    Delayed,
    LimiterStore,
    PoolState,
)


class Place(Generic[BookingT]):
    """The place of one call in the line."""

    def __init__(self, call: Call) -> None:
        self.call = call
        # Mutable: what the store has answered for it while another one was first, and
        # how often the pool had been woken before; whether its row has gone.
        self.answer: Admitted[BookingT] | Delayed | None = None
        self.rings = 0
        self.gone = False


class PoolQueue(Generic[BookingT]):
    """The requests of one pool in line. Only the first of them asks the store, for the
    next ones, too: a queue of a thousand costs no more round trips than a queue of one.
    """

    def __init__(self, store: LimiterStore[BookingT], waits: SleepsUntilDrain) -> None:
        self.store = store
        self.wake_up = WakeUp()
        self.rows = PassedOver()
        self._turn = FifoTurn(waits)
        # Mutable: the places in order; the limits in force as they were last reported;
        # how many requests of other pools were let in before the first 429 since one of
        # this pool was.
        self._line: deque[Place[BookingT]] = deque()
        self.reported: PoolState | None = None
        self.others_before: int | None = None

    @asynccontextmanager
    async def first(self, call: Call) -> AsyncIterator[Place[BookingT]]:
        """The place of *call*, once it is the first in line. What it was given there
        goes back if the caller raises.
        """
        place: Place[BookingT] = Place(call)
        self._line.append(place)
        try:
            async with self._turn:
                yield place
        except BaseException:
            if isinstance(place.answer, Admitted):
                await self.store.cancel(place.answer.booking, counted=False)
            raise
        finally:
            place.gone = True
            self._line.remove(place)

    def behind(self) -> Iterator[Place[BookingT]]:
        """The next in line after the first."""
        return islice(self._line, 1, None)

    async def hand_on(self, places: list[Place[BookingT]], admitted: Admitted[BookingT]) -> None:
        """Give *places* the answers for those behind the one that was *admitted*."""
        rings, lost = self.wake_up.rings, []
        for place, answer in zip(places, admitted.behind, strict=False):
            if not place.gone:
                place.answer, place.rings = answer, rings
            elif isinstance(answer, Admitted):
                lost.append(answer.booking)
        # Rows that were called off during the round trip: what they got is free again.
        await asyncio.gather(*(self.store.cancel(each, counted=False) for each in lost))
