"""Why a row is answered out of the response cache, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from claudebatch.core.reports import CacheEntry, CacheWhy
from claudebatch.ui import format as fmt
from claudebatch.ui.tables.cache_entry_tables import KEY_SHOWN, entry_fields, span

_MISSES = {
    "expired": "the answer is too old",
    "not kept": "its answer was not kept",
    "dropped": "its answer is no longer there",
    "damaged": "its answer is damaged: `claudebatch cache verify --repair` removes it",
    "nearest": "this request has no answer",
    "nothing like it": "nothing like it was asked",
    "no cache": "nothing to look in",
}


def render_why(why: CacheWhy, *, now: float) -> Iterator[str]:
    """The lines that say so."""
    yield f"{why.row} ({why.where})" + (f": {why.asked}" if why.asked else "")
    if why.kind == "hit" and why.entry is not None:
        yield f"hit: {_named(why.entry, now)}; {fmt.money(why.entry.worth)} saved each time"
        return
    yield f"miss: {_MISSES[why.kind]}" + (f": {why.reason}" if why.reason else "")
    if why.kind == "nearest" and why.entry is not None:
        yield f"the nearest one is {_named(why.entry, now)}{_row(why)}; it differs in"
        yield from (f"  {change}" for change in why.changes)
    elif why.kind == "nothing like it":
        compared = fmt.count(why.entries - why.unread)
        which = f"none of {compared} requests" if why.entries else "nothing answered before"
        yield f"{which} has this prompt, a similar one, or this row"
    # Else the reader would take the nearest of some for the nearest of all.
    if why.unread and why.kind in ("nearest", "nothing like it"):
        yield (
            f"({fmt.count(why.unread)} answers of an earlier version tell no request to compare)"
        )


def _named(entry: CacheEntry, now: float) -> str:
    return f"{entry.key[:KEY_SHOWN]}, answered {span(now - entry.stored)} ago"


def _row(why: CacheWhy) -> str:
    # The same row, as usual, goes without saying.
    entry = why.entry
    if entry is None or not entry.row or entry.row == why.row:
        return ""
    return f" for row {entry.row}"


def why_json(found: Sequence[CacheWhy]) -> dict[str, Any]:
    """The fields of *found*."""
    return {"rows": [_fields(why) for why in found]}


def _fields(why: CacheWhy) -> dict[str, Any]:
    return {
        "id": why.row,
        "where": why.where,
        "key": why.key or None,
        "hit": why.kind == "hit",
        "kind": why.kind.replace(" ", "_"),
        "reason": why.reason or None,
        "asked": why.asked or None,
        "entry": entry_fields(why.entry) if why.entry is not None else None,
        "differs_in": [
            {"field": one.field, "before": one.before, "after": one.after, "note": one.note or None}
            for one in why.changes
        ],
        "entries": why.entries,
        "without_request": why.unread,
    }
