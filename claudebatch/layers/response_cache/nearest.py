"""Why a request finds an answer or does not: its entry, what became of it, or the
nearest other one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from claudebatch.core.reports import CacheEntry, CacheWhy, FieldChange
from claudebatch.core.reports.why_report import WhyKind
from claudebatch.layers.response_cache.description import Digests, Unpacked, cut, unpacked
from claudebatch.layers.response_cache.entries import CacheReader
from claudebatch.layers.response_cache.request_diff import (
    AskedRequest,
    changes,
    is_request,
    likeness,
)
from claudebatch.layers.response_cache.sound_value import sound_value

# Compared in full. Of rows made by one template nearly all begin alike: the closest
# and newest of them are enough to name what differs.
_COMPARED = 48
# Less alike, and of no common row: another prompt.
_ALIKE = 0.45
_UNLIKE = 6
_DAY = 86_400.0
_CLOSE = """
SELECT entry, (messages = :messages) * 16 + (loose = :loose) * 8 + (rowname = :row) * 6
  + (before = :before) * 3 + (tail = :tail) * 3 + (head = :head) * 2 AS close
FROM About
WHERE (messages = :messages OR loose = :loose OR rowname = :row OR before = :before
  OR tail = :tail OR head = :head) AND stored < :until
ORDER BY close DESC, stored DESC LIMIT :most
"""
_UNKEPT = {
    "max_tokens": "cut off at max_tokens (cache.keep_max_tokens keeps such answers)",
    "model_context_window_exceeded": "cut off at the model's window",
    "pause_turn": "it paused its turn",
    "refusal": "refused (cache.keep_refusals keeps such answers)",
    "unfit": "it did not fit its schema",
    "simulated": "made up by a simulator",
}
PRUNED = "pruned"
"""Why an entry is gone that `cache prune` dropped."""


@dataclass(frozen=True, slots=True)
class CacheQuestion:
    """A request that is looked for."""

    row: str
    where: str
    key: str
    request: AskedRequest | None
    """None: it is not known, only its key."""
    digests: Digests | None
    file: str = ""


class _Near(NamedTuple):
    """An entry that is compared."""

    distance: float
    entry: CacheEntry
    changes: list[FieldChange]


def question_of(cache: CacheReader, question: CacheQuestion) -> CacheQuestion:
    """*question*, of which only the key is known, with the request that the entry of
    that key answers; as it is where there is none.
    """
    numbers = cache.numbers(question.key)
    entry = next(cache.some(numbers), None)
    kept = _kept(cache, numbers[0]) if numbers else None
    found = cache.connection.execute(
        "SELECT messages, before, head, tail, loose, rowname FROM About WHERE entry = ?",
        numbers[:1],
    ).fetchone()
    if entry is None or kept is None or found is None:
        return question
    request = AskedRequest(kept.body, entry.betas, entry.repeat, entry.place)
    return replace(question, request=request, digests=Digests(*found), file=entry.file)


def explained(
    cache: CacheReader, question: CacheQuestion, *, now: float, before: float | None = None
) -> CacheWhy:
    """Why *question* finds an answer at *now*, or does not. *before*: as things stood
    then, in Unix seconds, but for what is gone since.
    """
    why = CacheWhy(
        question.row,
        question.where,
        question.key,
        "nothing like it",
        # Of before, they are not counted any more.
        entries=len(cache.cache) if before is None else 0,
        unread=cache.without_request() if before is None else 0,
    )
    if before is None:
        found = _own_entry(cache, question, why, now)
        if found is not None:
            return found
    near = _nearest(cache, question, now if before is None else before)
    # What became of it tells more than any other entry does.
    gone = _gone(cache, question.key, now) if before is None else None
    if gone is not None:
        return replace(why, kind=gone[0], reason=gone[1])
    if near is None:
        return why
    return replace(why, kind="nearest", entry=near.entry, changes=tuple(near.changes))


def _own_entry(
    cache: CacheReader, question: CacheQuestion, why: CacheWhy, now: float
) -> CacheWhy | None:
    numbers = cache.numbers(question.key)
    entry = next(cache.some(numbers), None)
    if entry is None:
        return None
    if entry.expires is not None and entry.expires <= now:
        ttl = _span(entry.expires - entry.stored)
        reason = f"answered {_span(now - entry.stored)} ago, ttl {ttl}"
        return replace(why, kind="expired", reason=reason, entry=entry)
    if sound_value(cache.cache, cache.connection, numbers[0]) is None:
        return replace(why, kind="damaged", entry=entry)
    return replace(why, kind="hit", entry=entry)


def _gone(
    cache: CacheReader, key: str, now: float
) -> tuple[WhyKind, str] | None:  # a kind and its reason
    row = cache.connection.execute(
        "SELECT at, why, stored, expires FROM AboutGone WHERE key = ?", (key,)
    ).fetchone()
    if row is None:
        return None
    # An empty cause is that of the trigger, which knows only that the entry went.
    at, cause, stored, expires = row
    answered = f"answered {_span(now - stored)} ago"
    if cause == PRUNED:
        return "dropped", f"{answered}, removed by `cache prune` {_span(now - at)} ago"
    if cause:
        return "not kept", f"{answered}, {_UNKEPT.get(cause, cause)}"
    if expires is not None and expires <= at:
        return "expired", f"{answered}, ttl {_span(expires - stored)}"
    return "dropped", f"{answered}, dropped {_span(now - at)} ago to make room (cache.size)"


def _nearest(cache: CacheReader, question: CacheQuestion, until: float) -> _Near | None:
    if question.request is None or question.digests is None:
        return None
    # The first of equals: candidates come with the closest and newest first.
    near = sorted(_compared(cache, question, question.request, until), key=lambda one: one.distance)
    return near[0] if near else None


def _compared(
    cache: CacheReader, question: CacheQuestion, asked: AskedRequest, until: float
) -> Iterator[_Near]:
    for number in _candidates(cache, question, until):
        entry = next(cache.some([number]), None)
        kept = _kept(cache, number)
        if entry is None or kept is None or entry.key == question.key:
            continue
        then = AskedRequest(kept.body, entry.betas, entry.repeat, entry.place)
        # What was cut there has to be cut here, or it would seem to differ.
        now = asked if kept.whole else asked._replace(body=cut(asked.body))
        alike = likeness(then, now)
        same_row = bool(question.row) and entry.row == question.row and entry.file == question.file
        if alike < _ALIKE and not same_row and not _same_turns(then, now):
            continue
        found = changes(then, now)
        # A text that is unlike counts as much as several other fields: another prompt
        # is further away than the same one at other settings.
        yield _Near(len(found) + _UNLIKE * (1 - alike), entry, found)


def _candidates(cache: CacheReader, question: CacheQuestion, until: float) -> list[int]:
    digests = question.digests
    if digests is None:
        return []
    # Nothing is like an empty text.
    values = {name: value or -1 for name, value in digests._asdict().items()}
    rows = cache.connection.execute(_CLOSE, {**values, "until": until, "most": _COMPARED})
    return [number for number, _ in rows.fetchall()]


def _kept(cache: CacheReader, number: int) -> Unpacked | None:
    kept = cache.connection.execute(
        "SELECT body, form FROM AboutBody WHERE entry = ?", (number,)
    ).fetchone()
    # Planted or damaged: it is no candidate.
    with suppress(ValueError):
        found = unpacked(*kept) if kept is not None else None
        return found if found is not None and is_request(found.body) else None
    return None


def _same_turns(then: AskedRequest, now: AskedRequest) -> bool:
    """Whether one goes on where the other one ends."""
    one, two = then.body.get("messages"), now.body.get("messages")
    if not isinstance(one, list) or not isinstance(two, list):
        return False
    same = min(len(one), len(two)) - (len(one) == len(two))
    return same > 0 and one[:same] == two[:same]


def _span(seconds: float) -> str:
    for unit, name in ((_DAY, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= unit:
            number = int(seconds // unit)
            return f"{number} {name}{'' if number == 1 else 's'}"
    return "less than a minute"
