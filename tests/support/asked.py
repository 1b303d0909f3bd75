"""A response cache on disk that calls are answered into, as a run does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from claudebatch.core.domain import Call, Pico, Reply, Usage
from claudebatch.core.jsonl import decode, encode
from claudebatch.layers.response_cache.disk_store import DiskCacheStore
from claudebatch.layers.response_cache.entries import CacheReader, reading
from claudebatch.layers.response_cache.layer import ResponseCache, cache_key
from claudebatch.layers.response_cache.request_notes import RequestNotes, place_of
from claudebatch.layers.response_cache.settings import CachePolicy
from tests.support.caches import GB, Kept

SCOPE = "2023-06-01"
CENT: Pico = 10**10


def worth(model: str, usage: Usage) -> Pico:
    """A cent for each answer."""
    return CENT


def key_of(call: Call, scope: str = SCOPE) -> str:
    """The key of *call*."""
    return cache_key(call, scope=scope, encode=encode, decode=decode)


class Asked(Kept):
    """Opens stores with notes, and asks."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        # Mutable: the notes of the last session.
        self.notes = self.new_notes()

    def new_notes(self, run: str = "run-1", scope: str = SCOPE) -> RequestNotes:
        self.notes = RequestNotes(run=run, place=place_of(scope), worth=worth)
        return self.notes

    def noting(
        self, *, ttl_s: float | None = None, size_limit: int = GB, since: float = 0.0
    ) -> DiskCacheStore:
        store = DiskCacheStore(
            self.path,
            size_limit=size_limit,
            ttl_s=ttl_s,
            notify=self.notices.append,
            notes=self.notes,
            since=since,
        )
        self._open.append(store)
        return store

    async def ask(
        self,
        *pairs: tuple[Call, Reply],
        run: str = "run-1",
        scope: str = SCOPE,
        ttl_s: float | None = None,
        policy: CachePolicy | None = None,
    ) -> list[Reply]:
        """The replies of a session to calls that a client would answer so."""
        self.new_notes(run, scope)
        replies = []
        layer = ResponseCache(
            key=lambda call: key_of(call, scope),
            store=self.noting(ttl_s=ttl_s),
            parse=_parse,
            policy=policy or CachePolicy(),
            notes=self.notes,
        )
        for call, reply in pairs:

            async def client(_: Call, reply: Reply = reply) -> Reply:
                return reply

            replies.append(await layer(call, client))
        await self.close()
        return replies

    @contextmanager
    def reader(self) -> Iterator[CacheReader]:
        with reading(self.path, worth=worth) as found:
            assert found is not None
            yield found


def _parse(kept: bytes) -> Reply:
    from claudebatch.core.message import parse_message

    return parse_message(kept, source="cache", via=None, attempts=0)
