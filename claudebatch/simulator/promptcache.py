"""The API's own prompt caching: the beginnings of prompts that are written and read.

It belongs to the package, because a rehearsal should show what caching saves. As
documented: an entry exists from the moment the answer of its writer begins, so requests
with one beginning that are sent together all write it; it lives for its time to live
since the start of the last request that wrote or read it; from each mark twenty
positions are looked up, itself the first; shorter beginnings than the model's minimum
are passed over in silence; models and workspaces share nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from claudebatch.simulator import wire
from claudebatch.simulator.prefixes import Prefix, prefixes, windows
from claudebatch.simulator.traits import Traits

TTL_S = {"5m": 300.0, "1h": 3600.0}
# A rehearsal of a million different prompts would fill the memory.
MAX_ENTRIES = 50_000


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Input tokens that one request writes to the cache and reads from it, and the
    beginnings that it marks.
    """

    written_5m: int = 0
    written_1h: int = 0
    read: int = 0
    marked: tuple[Prefix, ...] = ()
    hit: bytes = b""
    """The key of the beginning that is read."""


NO_CACHE = CacheUse()


@dataclass(slots=True)
class _Entry:
    ttl_s: float
    expires: float


class PromptCache:
    """Stores beginnings until their time to live is over."""

    def __init__(self) -> None:
        # By key, the one that was used last at the end; changed by `touch` and `keep`
        # only.
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()

    def use(self, body: wire.Body, traits: Traits, now: float, owner: str = "") -> CacheUse:
        """The cache use of a request of *owner* that starts *now*; raises the API's 400
        for wrong marks.
        """
        found = prefixes(body, traits, owner)
        marked = tuple(
            prefix
            for prefix in found
            if prefix.ttl is not None and prefix.tokens >= traits.cacheable_tokens
        )
        hit = max(
            (prefix for prefix in windows(found) if self._live(prefix.key, now)),
            key=lambda prefix: prefix.tokens,
            default=None,
        )
        read = hit.tokens if hit is not None else 0
        # The documented positions A, B and C: the end of what is read, of the last
        # block that is kept for an hour, and of the last one that is kept at all.
        hour = max((p.tokens for p in marked if p.ttl == "1h" and p.tokens > read), default=read)
        end = max((p.tokens for p in marked if p.tokens > hour), default=hour)
        return CacheUse(end - hour, hour - read, read, marked, hit.key if hit else b"")

    def touch(self, use: CacheUse, started: float) -> None:
        """The request was let in: what it reads lives on, each for its own time."""
        for key in (use.hit, *(prefix.key for prefix in use.marked if prefix.tokens <= use.read)):
            entry = self._entries.get(key)
            if entry is not None and entry.expires > started:
                entry.expires = max(entry.expires, started + entry.ttl_s)
                self._entries.move_to_end(key)

    def keep(self, use: CacheUse, started: float) -> None:
        """The answer has begun: what its request wrote may be read from now on, for its
        time to live since *started*.
        """
        for prefix in use.marked:
            ttl_s = TTL_S[prefix.ttl or "5m"]
            entry = self._entries.get(prefix.key)
            # Nobody pays for a longer life of what is only read.
            if entry is None or entry.expires <= started or prefix.tokens > use.read:
                self._store(prefix.key, ttl_s, started)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def _store(self, key: bytes, ttl_s: float, started: float) -> None:
        entry = self._entries.get(key)
        # The second of two writers must not shorten what the first one paid for.
        expires = max(started + ttl_s, entry.expires if entry else 0.0)
        longest = max(ttl_s, entry.ttl_s if entry and entry.expires > started else 0.0)
        self._entries[key] = _Entry(longest, expires)
        self._entries.move_to_end(key)

    def _live(self, key: bytes, now: float) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.expires > now
