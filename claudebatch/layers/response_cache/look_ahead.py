"""Look-ups by group for rows that will soon ask one by one.

A hop to the store's thread, or to another host, costs many times the look-up itself.
The feed knows the next rows of its lane: their keys are looked up in one call, and
each row finds its answer here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from claudebatch.layers.response_cache.store import CacheStore


class LookAheadCache:
    """A `CacheStore` that also takes hints: keys that will be asked for next."""

    def __init__(self, store: CacheStore) -> None:
        self._store = store
        # Mutable, touched by the event loop only: results of `look_ahead` that no `get`
        # has taken yet.
        self._ahead: dict[str, bytes | None] = {}
        # Likewise: look-aheads under way, and keys put since the first of them began.
        # Their results may be older than the put.
        self._looking = 0
        self._put_meanwhile: set[str] = set()

    async def look_ahead(self, keys: Sequence[str]) -> None:
        """Fetch the values under *keys* in one call, for the `get`s that will
        follow.
        """
        self._looking += 1
        try:
            found = await self._store.get_many(keys)
        finally:
            self._looking -= 1
            missed = self._put_meanwhile
            if not self._looking:
                self._put_meanwhile = set()
        pairs = zip(keys, found, strict=True)
        self._ahead.update((key, value) for key, value in pairs if key not in missed)

    async def get(self, key: str) -> bytes | None:
        """The value under *key*."""
        # Taken out: every row asks once, and the answers of a whole input would not fit
        # into memory.
        if key in self._ahead:
            return self._ahead.pop(key)
        return await self._store.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values under *keys*."""
        return await self._store.get_many(keys)

    async def put_many(self, entries: Mapping[str, bytes]) -> None:
        """Take *entries* over; older results of `look_ahead` no longer count."""
        for key in entries:
            self._ahead.pop(key, None)
        if self._looking:
            self._put_meanwhile.update(entries)
        await self._store.put_many(entries)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()
