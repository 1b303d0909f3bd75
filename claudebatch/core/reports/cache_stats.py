"""What the response cache holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What the response cache holds."""

    path: str
    entries: int
    bytes_used: int
    bytes_limit: int
    ttl_s: float | None
