"""The response cache in figures as aligned text, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from claudebatch.core.reports import CacheGroup, CacheStats, CacheYield
from claudebatch.ui import format as fmt
from claudebatch.ui.tables.table import fitted

# Older ones are in the JSON; `spend` has them all.
_RUNS_SHOWN = 10


def render_cache(stats: CacheStats, *, width: int = 0) -> list[str]:
    """The contents of the response cache, its place, their time to live, and what it
    saved, in at most *width* columns (0: in any).
    """
    used = f"{fmt.byte_size(stats.bytes_used)} of {fmt.byte_size(stats.bytes_limit)}"
    # Without a time to live, entries only leave for want of room.
    kept = "without a time limit" if stats.ttl_s is None else f"for {fmt.seconds(stats.ttl_s)}"
    lines = [
        f"path     {stats.path}",
        f"answers  {fmt.count(stats.entries)}, kept {kept}",
        f"size     {used} ({fmt.percent(stats.bytes_used, stats.bytes_limit)})",
    ]
    if stats.by_model:
        lines += ["", *_groups("model", stats.by_model, width)]
        lines += ["", *_groups("answered", stats.by_age, width)]
    # Before the first hit it would be a column of zeros.
    if any(use.cached for use in stats.use_by_run):
        lines += ["", "Rows of runs that were answered out of it, by the spend ledger:"]
        lines += ["", *_uses("model", stats.use_by_model, width)]
        lines += ["", *_uses("run", stats.use_by_run[:_RUNS_SHOWN], width)]
    return lines


def _groups(name: str, groups: Sequence[CacheGroup], width: int) -> list[str]:
    rows = [
        [
            group.label,
            fmt.count(group.entries),
            fmt.byte_size(group.bytes_used),
            fmt.count(group.hits),
            fmt.money(group.saved),
        ]
        for group in groups
    ]
    header = [name, "answers", "size", "hits", "saved"]
    return fitted("<>>>>", header, rows, width=width, drop=("size", "answers"))


def _uses(name: str, uses: Sequence[CacheYield], width: int) -> list[str]:
    rows = [
        [
            use.label,
            fmt.count(use.rows),
            fmt.count(use.cached),
            fmt.percent(use.cached, use.rows),
            fmt.money(use.saved),
        ]
        for use in uses
    ]
    header = [name, "rows", "cached", "hit rate", "saved"]
    return fitted("<>>>>", header, rows, width=width, drop=("rows", "cached"))


def cache_json(stats: CacheStats) -> dict[str, Any]:
    """The fields of *stats*."""
    return {
        "path": stats.path,
        "entries": stats.entries,
        "bytes_used": stats.bytes_used,
        "bytes_limit": stats.bytes_limit,
        "ttl_s": stats.ttl_s,
        "by_model": [{"model": group.label, **_group(group)} for group in stats.by_model],
        "by_age": [{"answered": group.label, **_group(group)} for group in stats.by_age],
        "rows_by_model": [{"model": use.label, **_use(use)} for use in stats.use_by_model],
        "rows_by_run": [{"run": use.label, **_use(use)} for use in stats.use_by_run],
    }


def _group(group: CacheGroup) -> dict[str, Any]:
    return {
        "entries": group.entries,
        "bytes_used": group.bytes_used,
        "hits": group.hits,
        "saved_usd": fmt.usd_string(group.saved),
    }


def _use(use: CacheYield) -> dict[str, Any]:
    return {
        "rows": use.rows,
        "cached": use.cached,
        "hit_rate": round(use.cached / use.rows, 4) if use.rows else None,
        "saved_usd": fmt.usd_string(use.saved),
    }
