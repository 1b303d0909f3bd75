"""The API's own prompt caching: the parts of a prompt that are written and read.

It belongs to the package, because a rehearsal of a file with `cache_control` should
show the real savings.

An entry exists only from the moment the first answer begins: requests with one prefix
that are sent together all write it, as at the real API. Only the breakpoints of the
request itself are looked up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from claudebatch.simulator import wire
from claudebatch.simulator.count_input import FRAME_BYTES, forces_tool, tokens_of, weigh
from claudebatch.simulator.refusals import bad
from claudebatch.simulator.traits import Traits

# As documented: an entry lives for so long after its last use.
TTL_S = {"5m": 300.0, "1h": 3600.0}
MAX_BREAKPOINTS = 4
# A rehearsal of a million different prompts would fill the memory.
MAX_ENTRIES = 50_000


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """The end of a prefix that the request marks for caching."""

    key: bytes
    tokens: int
    ttl: str


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Input tokens that one request writes to the cache and reads from it, and the
    prefixes that it adds.
    """

    written_5m: int = 0
    written_1h: int = 0
    read: int = 0
    kept: tuple[Breakpoint, ...] = ()


NO_CACHE = CacheUse()


class PromptCache:
    """Stores prefixes until their time to live is over."""

    def __init__(self) -> None:
        # Prefix -> the moment it expires, oldest first; changed by `keep` only.
        self._expires: OrderedDict[bytes, float] = OrderedDict()

    def use(self, body: wire.Body, traits: Traits, now: float) -> CacheUse:
        """The cache use of a request that starts *now*; raises a 400 for too many
        breakpoints.
        """
        points = tuple(
            point for point in _breakpoints(body, traits) if point.tokens >= traits.cacheable_tokens
        )
        read = max((p.tokens for p in points if self._expires.get(p.key, -1.0) > now), default=0)
        written = {"5m": 0, "1h": 0}
        reached = read
        # Only tokens behind the longest prefix that was read are new.
        for point in points:
            if point.tokens > reached:
                written[point.ttl] += point.tokens - reached
                reached = point.tokens
        return CacheUse(written["5m"], written["1h"], read, points)

    def keep(self, use: CacheUse, started: float) -> None:
        """The answer has begun: its prefixes may be read from now on, for their time to
        live since *started*.
        """
        for point in use.kept:
            # A read extends an entry, and never shortens the longer life of another
            # one.
            self._expires[point.key] = max(
                started + TTL_S[point.ttl], self._expires.get(point.key, 0.0)
            )
            self._expires.move_to_end(point.key)
        while len(self._expires) > MAX_ENTRIES:
            self._expires.popitem(last=False)


def _breakpoints(body: wire.Body, traits: Traits) -> list[Breakpoint]:
    """Every breakpoint of a request, in the order tools, system, messages."""
    hasher = blake2b(body["model"].encode(), digest_size=16)
    weight = FRAME_BYTES
    # The hidden tool prompt stands before everything else, so it is part of every
    # prefix.
    hidden = traits.tool_tokens[forces_tool(body)] if body.get("tools") else 0
    found: list[Breakpoint] = []
    parts = list(_parts(body))
    for number, (place, block, block_weight) in enumerate(parts, start=1):
        # The mark itself is no part of the prefix: the same text with another `ttl` is
        # the same prefix.
        hasher.update(place + wire.canonical(_without_mark(block)))
        weight += block_weight
        mark = _mark(block) or (body.get("cache_control") if number == len(parts) else None)
        if mark is not None:
            found.append(
                Breakpoint(hasher.digest(), hidden + tokens_of(weight, traits), _ttl(mark))
            )
    if len(found) > MAX_BREAKPOINTS:
        raise bad(
            f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found "
            f"{len(found)}."
        )
    return found


def _parts(body: wire.Body) -> Iterator[tuple[bytes, Any, int]]:
    for tool in body.get("tools") or ():
        yield b"tool ", tool, len(wire.encode(tool))
    for block in _blocks(body.get("system") or ()):
        yield b"system ", block, weigh(block)
    for message in body["messages"]:
        for block in _blocks(message["content"]):
            yield message["role"].encode() + b" ", block, weigh(block)


def _blocks(content: Any) -> list[Any]:
    return [content] if isinstance(content, str) else list(content)


def _mark(block: Any) -> Any:
    return block.get("cache_control") if isinstance(block, dict) else None


def _without_mark(block: Any) -> Any:
    return (
        {k: v for k, v in block.items() if k != "cache_control"}
        if isinstance(block, dict)
        else block
    )


def _ttl(mark: Any) -> str:
    ttl = mark.get("ttl", "5m") if isinstance(mark, dict) else None
    if ttl not in TTL_S:
        raise bad(f"cache_control.ttl: Input should be '5m' or '1h', got {ttl!r}")
    return str(ttl)
