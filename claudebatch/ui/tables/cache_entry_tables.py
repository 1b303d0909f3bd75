"""Entries of the response cache as aligned text, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from claudebatch.core.reports import CachedPair, CacheEntries, CacheEntry
from claudebatch.ui import format as fmt
from claudebatch.ui.tables.table import beginning, fitted

KEY_SHOWN = 12
"""Characters of a key that are shown: no two of a million begin with the same ones."""

# What a narrow terminal can do without, from the first.
_DROPPED = ("tokens", "size", "hits", "model", "saved", "age")
_WORDS_SHOWN = 60
_SHORTEST_WORDS = 16
# In the order in which people read a request; canonical bytes are sorted.
_FIRST = ("model", "max_tokens", "system", "messages", "role", "type")
_DAY, _HOUR, _MINUTE = 86_400, 3600, 60


def render_entries(found: CacheEntries, *, now: float, width: int = 0) -> list[str]:
    """One line per entry, in at most *width* columns (0: in any)."""
    if not found.entries:
        return ["There is no such answer in the response cache."]
    cells = [_cells(entry, now) for entry in found.entries]
    header = ["key", "model", "age", "size", "tokens", "hits", "saved", "prompt"]
    # The prompt gives way first: a few words tell it, half a price tells nothing.
    room = _WORDS_SHOWN
    while True:
        rows = [[*row[:-1], beginning(row[-1], room)] for row in cells]
        lines = fitted("<<>>>>><", header, rows, width=width, drop=())
        over = max(map(len, lines)) - width if width else 0
        if over <= 0 or room <= _SHORTEST_WORDS:
            break
        room = max(_SHORTEST_WORDS, room - over)
    lines = fitted("<<>>>>><", header, rows, width=width, drop=_DROPPED)
    more = found.matching - len(found.entries)
    if more > 0:
        lines.append(f"… and {fmt.count(more)} more: --limit {found.matching} shows all")
    return lines


def _cells(entry: CacheEntry, now: float) -> list[str]:
    return [
        entry.key[:KEY_SHOWN],
        entry.model or "?",
        age_of(entry, now),
        fmt.byte_size(entry.size),
        f"{fmt.tokens(entry.input_tokens)} + {fmt.tokens(entry.output_tokens)}",
        fmt.count(entry.hits),
        fmt.money(entry.saved),
        entry.words,
    ]


def age_of(entry: CacheEntry, now: float) -> str:
    """How long ago *entry* was answered, and whether that is too long."""
    old = span(now - entry.stored)
    return f"{old}, expired" if entry.expires is not None and entry.expires <= now else old


def span(seconds: float) -> str:
    """A time in its largest unit: `5 min`, `3 h`, `41 d`."""
    # One unit only: nobody asks for the minutes of an answer of last week.
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit):,} {name}"
    return f"{max(0, int(seconds))} s"


def render_pair(pair: CachedPair, *, now: float) -> list[str]:
    """A request and its answer, as people read them."""
    entry = pair.entry
    facts = {
        "key": entry.key,
        "model": entry.model,
        "answered": f"{_moment(entry.stored)}, {age_of(entry, now)} ago"
        if not _expired(entry, now)
        else f"{_moment(entry.stored)}, {span(now - entry.stored)} ago",
        "expires": _expiry(entry, now),
        "row": entry.row,
        "from": f"{entry.file}:{entry.line}" if entry.file else "",
        "run": entry.run,
        "at": entry.place,
        "betas": ", ".join(entry.betas),
        "repeat": f"answer {entry.repeat + 1} of its row" if entry.repeat else "",
        "tokens": f"{fmt.count(entry.input_tokens)} in, {fmt.count(entry.output_tokens)} out",
        "price": fmt.money(entry.worth) if entry.worth else "not known",
        "hits": _hits(entry, now),
    }
    lines = [f"{name:<9}{value}" for name, value in facts.items() if value]
    lines += ["", "REQUEST", *_request(pair), "", "ANSWER", *_answer(pair)]
    return lines


def _hits(entry: CacheEntry, now: float) -> str:
    if not entry.hits or entry.found is None:
        return "none so far"
    ago = span(now - entry.found)
    return f"{fmt.count(entry.hits)}, saved {fmt.money(entry.saved)}; last {ago} ago"


def _request(pair: CachedPair) -> Iterator[str]:
    if pair.request is None:
        yield "not noted: it was asked by an earlier version"
        return
    yield from json.dumps(_shown(pair.request), ensure_ascii=False, indent=2).splitlines()
    if not pair.whole:
        yield "(long texts are kept as their two ends)"


def _answer(pair: CachedPair) -> Iterator[str]:
    if pair.message is None:
        yield "damaged: `claudebatch cache verify --repair` removes it"
        return
    # Whatever is no text, such as a tool call, is shown as it came.
    texts = [block for block in pair.message.get("content") or [] if isinstance(block, dict)]
    for block in texts:
        if isinstance(block.get("text"), str):
            yield from block["text"].split("\n")
        else:
            yield from json.dumps(block, ensure_ascii=False, indent=2).splitlines()
    yield f"(stop reason: {pair.message.get('stop_reason')})"


def _shown(value: Any) -> Any:
    """*value* with its members as people write them, and files by their length."""
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        names = [*(name for name in _FIRST if name in value), *sorted(value.keys() - set(_FIRST))]
        is_file = value.get("type") == "base64"
        return {
            name: f"({len(value[name]):,} characters)"
            if is_file and name == "data" and isinstance(value[name], str)
            else _shown(value[name])
            for name in names
        }
    return value


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _expired(entry: CacheEntry, now: float) -> bool:
    return entry.expires is not None and entry.expires <= now


def _expiry(entry: CacheEntry, now: float) -> str:
    if entry.expires is None:
        return "never"
    if _expired(entry, now):
        return f"expired {span(now - entry.expires)} ago"
    return f"in {span(entry.expires - now)}"


def entries_json(found: CacheEntries) -> dict[str, Any]:
    """The fields of *found*."""
    return {
        "matching": found.matching,
        "entries": [entry_fields(entry) for entry in found.entries],
    }


def pairs_json(pairs: Sequence[CachedPair]) -> dict[str, Any]:
    """The fields of *pairs*."""
    return {
        "entries": [
            {
                **entry_fields(pair.entry),
                "request": pair.request,
                "request_is_whole": pair.request is not None and pair.whole,
                "message": pair.message,
            }
            for pair in pairs
        ]
    }


def entry_fields(entry: CacheEntry) -> dict[str, Any]:
    """The fields of *entry*; dollars as exact strings."""
    return {
        "key": entry.key,
        "model": entry.model,
        "answered_at": _iso(entry.stored),
        "expires_at": _iso(entry.expires),
        "bytes": entry.size,
        "input_tokens": entry.input_tokens,
        "output_tokens": entry.output_tokens,
        "price_usd": fmt.usd_string(entry.worth),
        "hits": entry.hits,
        "last_hit_at": _iso(entry.found),
        "saved_usd": fmt.usd_string(entry.saved),
        "prompt": entry.words,
        "id": entry.row or None,
        "file": entry.file or None,
        "line": entry.line or None,
        "run": entry.run or None,
        "betas": list(entry.betas),
        "repeat": entry.repeat,
        "at": entry.place or None,
    }


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
