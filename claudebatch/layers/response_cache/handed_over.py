"""Answers on this machine's disk that are handed over to hosts that wait for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from claudebatch.layers.response_cache.redis_store import RedisCacheStore
from claudebatch.layers.response_cache.store import CacheStore

HANDED_OVER_S = 60.0
"""For so long an answer stands at the server: who waits for it looks ten times a
second, and who is late asks again.
"""
HANDED_OVER_BYTES = 256 * 2**20


class HandedOver:
    """A `CacheStore` on the disk, with the `Claims` of all hosts beside it."""

    def __init__(self, disk: CacheStore, server: RedisCacheStore) -> None:
        self._server = server
        self._disk = disk

    async def get(self, key: str) -> bytes | None:
        """What this machine has under *key*."""
        return await self._disk.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """What it has under *keys*."""
        return await self._disk.get_many(keys)

    async def put_many(self, entries: Mapping[str, bytes]) -> None:
        """Keep *entries* here."""
        await self._disk.put_many(entries)

    async def claim(self, key: str) -> bytes | None:
        """The answer of another host, which is here then. None: this one asks."""
        given = await self._server.claim(key)
        if given is not None:
            await self._disk.put_many({key: given})
        return given

    async def release(self, key: str, answer: bytes | None) -> None:
        """This host asks no more; *answer* is for those that wait."""
        await self._server.release(key, answer)

    async def close(self) -> None:
        """Finish what is to be written here."""
        await self._server.close()
        await self._disk.close()
