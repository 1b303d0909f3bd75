"""Answers enter the response cache only once the run's journal has them.

The other way round a crash between the two would leave an answer that costs nothing,
beside an attempt of which nobody knows what it cost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol


class SlowCache(Protocol):
    """What keeps the answers: see `DiskCacheStore`."""

    async def get(self, key: str) -> bytes | None:
        """What is kept under *key*."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Keep *value* under *key*."""
        ...


class WriteBehind:
    """A cache whose writes wait for the journal; those that wait are found all the
    same.
    """

    def __init__(self, cache: SlowCache, *, after: Callable[[Callable[[], None]], None]) -> None:
        """*after* calls what it is given once everything is written down that was
        handed over before.
        """
        self._cache = cache
        self._after = after
        # Mutable, touched by the event loop only: answers that the journal does not
        # have yet.
        self._waiting: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        """What is kept under *key*, or is about to be."""
        found = self._waiting.get(key)
        return found if found is not None else await self._cache.get(key)

    def put(self, key: str, value: bytes) -> None:
        """Keep *value* under *key* when its attempt is written down."""
        self._waiting[key] = value
        self._after(partial(self._keep, key))

    def _keep(self, key: str) -> None:
        value = self._waiting.pop(key, None)
        if value is not None:
            self._cache.put(key, value)
