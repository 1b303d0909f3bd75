"""What the shared server is to be told: one round trip at a time, each with all that
has gathered during the last one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")

# One script holds up all others at the server: so many ends take a millisecond.
_MOST_AT_ONCE = 64


class TellQueue(Generic[Item]):
    """Items in order, each told once that is, as long as no answer is lost."""

    def __init__(self, tell: Callable[[Sequence[Item]], Awaitable[None]]) -> None:
        """*tell* tells some of them; what it raises, they stay for."""
        self._tell = tell
        # Mutable: what has not been heard yet; how many were; the round trip under way;
        # whether it holds what nobody waits for.
        self._unheard: deque[Item] = deque()
        self._told = 0
        self._telling: asyncio.Task[None] | None = None
        self._behind = False

    def put(self, item: Item) -> None:
        """To be told by the next `emptied`."""
        self._unheard.append(item)

    def put_off(self, item: Item) -> None:
        """To be told at the next chance: nobody waits for it."""
        self._unheard.append(item)
        self._behind = True

    def __iter__(self) -> Iterator[Item]:
        return iter(self._unheard)

    async def emptied(self) -> None:
        """Return when all that was put until now is told. Raises what telling raises,
        for all who wait for it: a server that is away is not asked by each of them.
        """
        wanted = self._told + len(self._unheard)
        while self._told < wanted:
            if self._telling is None:
                self._telling = asyncio.ensure_future(self._tell_some())
                self._telling.add_done_callback(_seen)
            telling = self._telling
            await asyncio.wait([telling])
            telling.result()

    async def caught_up(self) -> None:
        """The same where something was put off or failed; else whoever put it sees to
        it.
        """
        if self._behind:
            await self.emptied()

    async def _tell_some(self) -> None:
        group = list(islice(self._unheard, _MOST_AT_ONCE))
        try:
            await self._tell(group)
        except BaseException:
            self._behind = True
            raise
        else:
            for _ in group:
                self._unheard.popleft()
            self._told += len(group)
            self._behind = self._behind and bool(self._unheard)
        finally:
            self._telling = None


def _seen(told: asyncio.Task[None]) -> None:
    # All who waited for it may be called off meanwhile. What it failed to tell is told
    # at the next chance; nobody else needs to hear of it.
    if not told.cancelled():
        told.exception()
