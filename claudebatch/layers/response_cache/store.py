"""The store of the response cache, as everything above it sees it: the layer, the
replay before the first request, the estimate and the repair of a run.

A store on another host fits behind these four methods. So look-ups go by group
wherever many keys are known at once: one round trip for a thousand rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Claims(Protocol):
    """Who of several hosts asks for an answer. As a store, it never costs a run."""

    async def claim(self, key: str) -> bytes | None:
        """Wait while another host asks; the answer that it gave. None: the caller asks
        now, and calls `release` whatever comes of it.
        """
        ...

    async def release(self, key: str, answer: bytes | None) -> None:
        """The caller asks no more. *answer* is for all hosts; None: the next one may
        ask.
        """
        ...


class CacheStore(Protocol):
    """Bytes under text keys. A store that fails is a store without entries.

    No method raises for a full disk, a lost connection or a damaged entry: a cache may
    be slow or empty, but it may not cost a run. A call that is cancelled leaves the
    store usable, and what was put before it stays.
    """

    async def get(self, key: str) -> bytes | None:
        """The value under *key*; None when there is none, or none that is sound."""
        ...

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values under *keys*, one for each, in their order.

        Every entry that this store took before is found.
        """
        ...

    async def put_many(self, entries: Mapping[str, bytes]) -> None:
        """Take *entries* over: each later look-up finds them, the newest for each key.

        They may reach the disk later; `close` waits for that.
        """
        ...

    async def close(self) -> None:
        """Finish all writes and give everything back. May be called again, after a
        cancellation.
        """
        ...
