"""Answers enter the response cache only once the run's journal has them.

The other way round a crash between the two would leave an answer that costs nothing,
beside an attempt whose cost is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from claudebatch.layers.response_cache.store import CacheStore


class WriteBehind:
    """A `CacheStore` whose writes wait for the journal; waiting entries are found all
    the same.
    """

    def __init__(self, store: CacheStore, *, after: Callable[[Callable[[], None]], None]) -> None:
        """*after* calls its argument once everything is written down that was handed to
        the journal before.
        """
        self._store = store
        self._after = after
        # Mutable, touched by the event loop only: entries that the store does not have
        # yet, those of them that the journal has, and the task that hands them over.
        self._waiting: dict[str, bytes] = {}
        self._ready: dict[str, bytes] = {}
        self._writer: asyncio.Task[None] | None = None

    async def get(self, key: str) -> bytes | None:
        """The value under *key*, in the store or on its way there."""
        found = self._waiting.get(key)
        return found if found is not None else await self._store.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values under *keys*, in the store or on their way there."""
        # Before the store is asked: an entry may get there meanwhile, and be missed on
        # both sides.
        waiting = [self._waiting.get(key) for key in keys]
        found = await self._store.get_many(keys)
        pairs = zip(waiting, found, strict=True)
        return [first if first is not None else second for first, second in pairs]

    async def put_many(self, entries: Mapping[str, bytes]) -> None:
        """Keep *entries* once their attempts are written down. Never suspends."""
        self._waiting.update(entries)
        self._after(partial(self._written_down, entries))

    async def close(self) -> None:
        """Hand over the entries that the journal has, and close the store.

        Flush the journal first: entries that still wait for it are dropped.
        """
        if self._writer is not None:
            await asyncio.wait([self._writer])
        await self._store.close()

    def _written_down(self, entries: Mapping[str, bytes]) -> None:
        self._ready.update(entries)
        # One task for all attempts of a commit: one for each would cost more than the
        # hand-over itself.
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._hand_over())

    async def _hand_over(self) -> None:
        while self._ready:
            ready, self._ready = self._ready, {}
            await self._store.put_many(ready)
            for key, value in ready.items():
                # A newer answer to the same question may have come meanwhile.
                if self._waiting.get(key) is value:
                    del self._waiting[key]
