"""A second store of the response cache: entries on a make-believe server, each call a
round trip.

What a shared store would do, without a network: every method suspends, the server may
be away, and several clients see the same entries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from claudebatch.core.notice import Notice


class CacheServer:
    """Entries of all clients."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.away = False
        self.round_trips = 0

    async def answer(self) -> None:
        """The way there and back."""
        self.round_trips += 1
        await asyncio.sleep(0.001)
        if self.away:
            raise ConnectionError("the cache's server does not answer")


class MemoryCacheStore:
    """One client of the server."""

    def __init__(self, server: CacheServer, *, notify: Callable[[Notice], None]) -> None:
        self._server = server
        self._notify = notify
        # Mutable: whether the server was found away; it is not asked again.
        self._off = False

    async def get(self, key: str) -> bytes | None:
        """The value under *key*."""
        (found,) = await self.get_many([key])
        return found

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values under *keys*, in one round trip."""
        if await self._reached():
            return [self._server.entries.get(key) for key in keys]
        return [None] * len(keys)

    async def put_many(self, entries: Mapping[str, bytes]) -> None:
        """Store *entries*, in one round trip."""
        if await self._reached():
            self._server.entries.update(entries)

    async def close(self) -> None:
        """Nothing is left to be written."""

    async def _reached(self) -> bool:
        try:
            if not self._off:
                await self._server.answer()
        except ConnectionError as error:
            self._off = True
            self._notify(Notice("W066", f"the response cache is off for this run: {error}"))
        return not self._off
