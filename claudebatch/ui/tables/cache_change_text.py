"""What changes the response cache, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from claudebatch.core.plurals import counted
from claudebatch.core.reports import CacheGroup
from claudebatch.core.reports.cache_audit import CacheAudit, CacheImport
from claudebatch.ui import format as fmt
from claudebatch.ui.tables.table import table


def render_prune(groups: Sequence[CacheGroup]) -> list[str]:
    """What would be deleted, by model; `saved` of a group is what asking for it again
    would cost.
    """
    if not groups:
        return ["There is no such answer in the response cache."]
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
    # Of one model the line is the total.
    if len(rows) > 1:
        rows.append(["total", *_totals(groups)])
    return table("<>>>>", ["to be deleted", "answers", "size", "hits", "to ask again"], rows)


def _totals(groups: Sequence[CacheGroup]) -> list[str]:
    return [
        fmt.count(sum(group.entries for group in groups)),
        fmt.byte_size(sum(group.bytes_used for group in groups)),
        fmt.count(sum(group.hits for group in groups)),
        fmt.money(sum(group.saved for group in groups)),
    ]


def prune_json(groups: Sequence[CacheGroup], deleted: int) -> dict[str, Any]:
    """The same as fields."""
    return {
        "deleted": deleted,
        "chosen": [
            {
                "model": group.label,
                "entries": group.entries,
                "bytes": group.bytes_used,
                "hits": group.hits,
                "to_ask_again_usd": fmt.usd_string(group.saved),
            }
            for group in groups
        ],
    }


def render_audit(found: CacheAudit) -> Iterator[str]:
    """What a look through the cache found."""
    # Nothing else was looked at then.
    if found.structure is not None:
        yield f"{found.path}: SQLite finds the file broken: {found.structure}"
        yield "the next run moves it aside and begins an empty one"
        return
    if found.sound:
        yield f"{found.path}: {counted(found.entries, 'answer')}, all sound"
        return
    did = "removed" if found.repaired else "`--repair` removes"
    sound = found.entries - found.damaged_count
    yield f"{found.path}: {counted(sound, 'answer')} of {fmt.count(found.entries)} sound"
    if found.damaged_count:
        named = ", ".join(key[:12] for key in found.damaged)
        more = ", …" if found.damaged_count > len(found.damaged) else ""
        yield f"  damaged: {fmt.count(found.damaged_count)} ({named}{more})"
    if found.orphan_files:
        size = fmt.byte_size(found.orphan_bytes)
        yield f"  files without an answer: {fmt.count(found.orphan_files)} ({size})"
    if found.orphan_notes:
        yield f"  requests without an answer: {fmt.count(found.orphan_notes)}"
    yield f"{did}{'' if found.repaired else ' them'}"


def audit_json(found: CacheAudit) -> dict[str, Any]:
    """The fields of *found*."""
    return {
        "path": found.path,
        "sound": found.sound,
        "entries": found.entries,
        "structure": found.structure,
        "damaged": found.damaged_count,
        "damaged_keys": list(found.damaged),
        "orphan_files": found.orphan_files,
        "orphan_bytes": found.orphan_bytes,
        "orphan_requests": found.orphan_notes,
        "repaired": found.repaired,
    }


def render_import(found: CacheImport, name: str) -> Iterator[str]:
    """What became of the lines of the file *name*."""
    there = f", {fmt.count(found.there)} were there" if found.there else ""
    yield f"{name}: {counted(found.taken, 'cached answer')} taken{there}"
    for reason, count in sorted(found.left_out.items(), key=lambda item: -item[1]):
        yield f"  {counted(count, 'line')} left out: {reason}"


def import_json(found: CacheImport) -> dict[str, Any]:
    """The fields of *found*."""
    return {
        "taken": found.taken,
        "already_there": found.there,
        "left_out": dict(found.left_out),
    }
