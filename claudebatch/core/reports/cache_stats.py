"""The contents of the response cache, in figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The contents of the response cache, in figures."""

    path: str
    entries: int
    bytes_used: int
    bytes_limit: int
    ttl_s: float | None
