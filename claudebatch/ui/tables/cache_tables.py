"""The response cache as aligned text, and the same as JSON."""

from __future__ import annotations

from typing import Any

from claudebatch.core.reports import CacheStats
from claudebatch.ui import format as fmt


def render_cache(stats: CacheStats) -> list[str]:
    """The contents of the response cache, its place, and their time to live."""
    used = f"{fmt.byte_size(stats.bytes_used)} of {fmt.byte_size(stats.bytes_limit)}"
    # Without a time to live, entries only leave for want of room.
    kept = "without a time limit" if stats.ttl_s is None else f"for {fmt.seconds(stats.ttl_s)}"
    return [
        f"path     {stats.path}",
        f"answers  {fmt.count(stats.entries)}, kept {kept}",
        f"size     {used} ({fmt.percent(stats.bytes_used, stats.bytes_limit)})",
    ]


def cache_json(stats: CacheStats) -> dict[str, Any]:
    """The fields of *stats*."""
    return {
        "path": stats.path,
        "entries": stats.entries,
        "bytes_used": stats.bytes_used,
        "bytes_limit": stats.bytes_limit,
        "ttl_s": stats.ttl_s,
    }
