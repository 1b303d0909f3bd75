"""A response cache on disk that is opened, looked into and damaged by tests."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from claudebatch.core.notice import Notice
from claudebatch.layers.response_cache.disk_store import DiskCacheStore

LARGE = b"x" * 100_000
"""Kept in a file of its own."""
GB = 2**30


class Kept:
    """Opens stores on one folder, one after the other, as runs do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notices: list[Notice] = []
        self._open: list[DiskCacheStore] = []

    def store(self, *, size_limit: int = GB, ttl_s: float | None = None) -> DiskCacheStore:
        store = DiskCacheStore(
            self.path, size_limit=size_limit, ttl_s=ttl_s, notify=self.notices.append
        )
        self._open.append(store)
        return store

    async def close(self) -> None:
        while self._open:
            await self._open.pop().close()

    async def keep(self, **entries: bytes) -> None:
        store = self.store()
        await store.put_many(entries)
        await self.close()

    async def find(self, *keys: str) -> list[bytes | None]:
        store = self.store()
        found = await asyncio.gather(*(store.get(key) for key in keys))
        await self.close()
        return found

    def sql(self, query: str, *values: Any) -> list[Any]:
        with sqlite3.connect(self.path / "cache.db", isolation_level=None) as connection:
            found = connection.execute(query, values).fetchall()
        connection.close()
        return found

    def files(self) -> list[Path]:
        return list(self.path.rglob("*.val"))
