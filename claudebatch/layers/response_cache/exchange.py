"""Entries of the response cache as JSON lines, to be taken into another one.

Nothing of a line is believed. Its key is made anew from its request; a request that
does not lead to the key, or is not whole, is left out, as an answer could stand under
another question. What a line cannot prove is that the API wrote the answer: its file
has to be trusted as much as its sender.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from claudebatch.core.domain import Call, Prompt, Reply, Route, Size
from claudebatch.core.jsonl import InputLine, decode, encode, encode_in_order, raw_members, spelt
from claudebatch.core.message import BadAnswer, parse_message
from claudebatch.core.reports.cache_audit import CacheImport
from claudebatch.layers.response_cache.about_tables import AboutWriter
from claudebatch.layers.response_cache.adopt import Worth
from claudebatch.layers.response_cache.description import unpacked
from claudebatch.layers.response_cache.entries import CacheReader, EntryFilter
from claudebatch.layers.response_cache.layer import NOT_IN_KEY, request_key
from claudebatch.layers.response_cache.request_notes import RequestNotes, place_of
from claudebatch.layers.response_cache.settings import CacheSettings
from claudebatch.layers.response_cache.sound_value import sealed, sound_value

# Raised when a line means something else: older programs then refuse it.
_FORM = 1
_AT_ONCE = 200
_KEY = re.compile(r"[0-9a-f]{64}")
# What stands between names in the text that keys are made of must not be part of one.
_BETA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST_REPEATS = 10_000
_LAST_MOMENT = 1e15
_NO_LINE = "no line of `cache export`"
_CUT = "its request is not whole, so its key cannot be checked"
_WRONG_KEY = "its key does not belong to its request, or to another address than this one's"
_NO_ANSWER = "its answer is no message of the API"
_OLD = "its answer is older than cache.ttl"
_FROM_IMPORT = "import"
"""Stands where entries of a run have its id."""


class _LeftOut(Exception):
    """The reason why a line is not taken."""


class _SharedAnswer(NamedTuple):
    """One entry that may be taken."""

    key: str
    call: Call
    reply: Reply
    stored: float


def exported(cache: CacheReader, wanted: EntryFilter, *, now: float) -> Iterator[bytes]:
    """The lines of the entries that are *wanted*, the oldest first; without those that
    are damaged, or of which only the answer is known.
    """
    where, values = wanted.sql(now)
    last = 0
    while True:
        numbers = cache.connection.execute(
            f"SELECT a.entry FROM About a LEFT JOIN AboutText t ON t.entry = a.entry WHERE {where}"
            " AND a.messages IS NOT NULL AND a.entry > ? ORDER BY a.entry LIMIT ?",
            (*values, last, _AT_ONCE),
        ).fetchall()
        for (number,) in numbers:
            line = _exported(cache, number)
            if line is not None:
                yield line + b"\n"
        if len(numbers) < _AT_ONCE:
            return
        last = numbers[-1][0]


def _exported(cache: CacheReader, number: int) -> bytes | None:
    entry = next(cache.some([number]), None)
    value = sound_value(cache.cache, cache.connection, number)
    kept = cache.connection.execute(
        "SELECT body, form FROM AboutBody WHERE entry = ?", (number,)
    ).fetchone()
    # Gone meanwhile, damaged, or without a request: nothing that could be checked.
    if entry is None or value is None or kept is None:
        return None
    try:
        request = unpacked(*kept)
        message = parse_message(value, source="cache", via=None, attempts=0).message
    except (ValueError, BadAnswer):
        return None
    return encode_in_order(
        {
            "cached_answer": _FORM,
            "key": entry.key,
            "answered_at": entry.stored,
            "betas": list(entry.betas),
            "repeat": entry.repeat,
            "request": request.body,
            "request_is_whole": request.whole,
            # As it came: a digit of it may matter to somebody.
            "message": spelt(message),
        }
    )


def imported(
    cache: CacheReader,
    lines: Iterable[InputLine],
    settings: CacheSettings,
    *,
    scope: str,
    worth: Worth,
    now: float,
) -> CacheImport:
    """Take *lines* over that belong to *scope*; entries that are there stay. Raises
    `sqlite3.Error`; what was taken before is kept.
    """
    notes = RequestNotes(run=_FROM_IMPORT, place=place_of(scope), worth=worth)
    importer = _Importer(cache, settings, notes, now=now)
    left_out: Counter[str] = Counter()
    for line in lines:
        try:
            importer.take(_read(line.data, settings, scope=scope, now=now))
        except _LeftOut as reason:
            # Counted, not named: of a file of another kind it would be all of them.
            left_out[str(reason)] += 1
    importer.flush()
    # Entries of long ago go first, as in a run that passes the limit.
    cache.cache.cull()
    return CacheImport(importer.taken, importer.there, dict(left_out))


class _Importer:
    """Stores answers by group, each in one transaction: an interruption leaves groups
    that are whole.
    """

    def __init__(
        self, cache: CacheReader, settings: CacheSettings, notes: RequestNotes, *, now: float
    ) -> None:
        self._cache = cache
        self._settings = settings
        self._notes = notes
        self._writer = AboutWriter(cache.connection, notes)
        self._now = now
        # Mutable: the group at hand, and what became of the others.
        self._group: list[_SharedAnswer] = []
        self.taken = 0
        self.there = 0

    def take(self, answer: _SharedAnswer) -> None:
        """Store *answer* soon."""
        self._group.append(answer)
        if len(self._group) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Store what waits. Raises `sqlite3.Error`."""
        group, self._group = self._group, []
        new = self._new(group)
        self._store(new)
        self.taken += len(new)
        self.there += len(group) - len(new)

    def _new(self, group: list[_SharedAnswer]) -> list[_SharedAnswer]:
        """Those of *group* whose keys are not there yet, each once."""
        marks = ",".join("?" * len(group))
        rows = self._cache.connection.execute(
            f"SELECT key FROM Cache WHERE raw = 1 AND key IN ({marks})"
            " AND (expire_time IS NULL OR expire_time > ?)",
            [*(one.key for one in group), self._now],
        )
        known = {row[0] for row in rows}
        return list({one.key: one for one in group if one.key not in known}.values())

    def _store(self, new: list[_SharedAnswer]) -> None:
        cache, ttl_s = self._cache.cache, self._settings.ttl_s
        # Answers first: what is about them may be missing, they may not.
        with cache.disk.removes_at_the_end(), cache.transact():
            for one in new:
                left_s = None if ttl_s is None else one.stored + ttl_s - self._now
                cache.set(one.key, sealed(one.key, one.reply.message), expire=left_s)
        for one in new:
            # Their age is that of the answer, and the oldest are dropped first.
            self._cache.connection.execute(
                "UPDATE Cache SET store_time = ? WHERE key = ? AND raw = 1", (one.stored, one.key)
            )
            self._notes.answered(one.key, one.call, one.reply)
            self._writer.put(one.key, len(one.reply.message))
        self._writer.write()


def _read(data: bytes, settings: CacheSettings, *, scope: str, now: float) -> _SharedAnswer:
    """The entry that *data* tells. Raises `_LeftOut`."""
    try:
        line, members = decode(data), raw_members(data)
    except ValueError as error:
        raise _LeftOut(_NO_LINE) from error
    key, stored = line.get("key"), line.get("answered_at")
    betas, repeat = _betas(line.get("betas")), line.get("repeat")
    if line.get("cached_answer") != _FORM or not isinstance(key, str) or not _KEY.fullmatch(key):
        raise _LeftOut(_NO_LINE)
    if type(repeat) is not int or not 0 <= repeat < _MOST_REPEATS or not _is_moment(stored):
        raise _LeftOut(_NO_LINE)
    # Over the bytes of the line: a number that is spelt otherwise is another request.
    body = _keyed_body(line.get("request"), members.get("request", b""))
    if request_key(body, scope=scope, betas=betas, repeat=repeat) != key:
        raise _LeftOut(_CUT if line.get("request_is_whole") is False else _WRONG_KEY)
    reply = _reply(members.get("message", b""), settings)
    # Of the future: it would never expire.
    stored = min(float(stored), now)
    if settings.ttl_s is not None and stored + settings.ttl_s <= now:
        raise _LeftOut(_OLD)
    request = line["request"]
    prompt = Prompt("", request, has_own_id=False, betas=betas, repeat=repeat)
    model = str(request.get("model"))
    # Nothing of the sender's own: neither the row nor the file that it came from.
    call = Call(
        row=0,
        prompt=prompt,
        route=Route(model, _FROM_IMPORT),
        model=model,
        body=body,
        size=Size(0, 0, 0, 0),
    )
    return _SharedAnswer(key, call, reply, stored)


def _keyed_body(request: Any, data: bytes) -> bytes:
    if not isinstance(request, dict):
        raise _LeftOut(_NO_LINE)
    if NOT_IN_KEY.isdisjoint(request):
        return data
    return encode({name: value for name, value in request.items() if name not in NOT_IN_KEY})


def _betas(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _LeftOut(_NO_LINE)
    # A beta with a blank in it could make the key of another address.
    if not all(isinstance(beta, str) and _BETA.fullmatch(beta) for beta in value):
        raise _LeftOut(_NO_LINE)
    return tuple(value)


def _is_moment(value: Any) -> bool:
    # JSON has whole numbers that no float holds.
    return type(value) in (int, float) and 0 < value <= _LAST_MOMENT


def _reply(data: bytes, settings: CacheSettings) -> Reply:
    try:
        reply = parse_message(data, source="cache", via=None, attempts=0)
    except BadAnswer as error:
        raise _LeftOut(_NO_ANSWER) from error
    if not settings.policy.keeps(reply):
        raise _LeftOut(f"its answer would not be kept: {reply.stop_reason}")
    return reply
