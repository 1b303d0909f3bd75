"""Looks into the response cache: its entries in order, one in full, sums.

Each look goes once over a narrow table, so that a million entries take less than a
second, and no more memory than what is shown.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

import diskcache

from claudebatch.core.errors import StorageError
from claudebatch.core.jsonl import decode
from claudebatch.core.reports import CachedPair, CacheEntries, CacheEntry, CacheGroup
from claudebatch.layers.response_cache.about_tables import prepare
from claudebatch.layers.response_cache.adopt import Worth, adopt
from claudebatch.layers.response_cache.description import unpacked
from claudebatch.layers.response_cache.disk_store import DATABASE, open_database
from claudebatch.layers.response_cache.first_words import prepare_words, words_with
from claudebatch.layers.response_cache.sound_value import sound_value

Sort: TypeAlias = Literal["age", "size", "tokens", "hits", "saved"]

# Long enough for another run's large group.
_BUSY_S = 30.0
# As many characters of a key as lists show.
_SURELY_A_KEY = 12
_ORDER: dict[Sort, str] = {
    "age": "a.stored",
    "size": "a.size",
    "tokens": "a.input + a.output",
    "hits": "a.hits",
    "saved": "a.hits * a.worth",
}
_NAME = "coalesce((SELECT text FROM AboutName WHERE id = a.{0}), '')"
_COLUMNS = (
    f"c.key, {_NAME.format('model')}, a.stored, a.expires, a.size, coalesce(a.input, 0),"
    " coalesce(a.output, 0), coalesce(a.worth, 0), a.hits, a.found, coalesce(t.words, ''),"
    f" coalesce(t.row, ''), {_NAME.format('file')}, coalesce(a.line, 0), {_NAME.format('run')},"
    f" {_NAME.format('betas')}, coalesce(a.repeat, 0), {_NAME.format('place')}"
)
_FIELDS = tuple(field.name for field in fields(CacheEntry))
_FROM = "FROM About a JOIN Cache c ON c.rowid = a.entry LEFT JOIN AboutText t ON t.entry = a.entry"
_TOP = "SELECT number, {matching} FROM ({chosen}) ORDER BY rank DESC, number DESC LIMIT ?"
_ONCE = (
    "WITH found AS MATERIALIZED ({chosen}) SELECT number, (SELECT count(*) FROM found)"
    " FROM found ORDER BY rank DESC, number DESC LIMIT ?"
)
_DAY = 86_400.0
_AGES = (("today", 1), ("2 to 7 days", 7), ("8 to 30 days", 30))


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries are meant; all that is given has to be true."""

    model: str | None = None
    """Is in the name of the model."""
    older_than_s: float | None = None
    newer_than_s: float | None = None
    larger_than: int | None = None
    """Bytes."""
    text: str | None = None
    """Is in the first words of the prompt."""

    def __bool__(self) -> bool:
        return self != EntryFilter()

    def sql(self, now: float) -> tuple[str, list[Any]]:
        """A condition on `About a` and `AboutText t`, and its values."""
        told = (
            (
                "a.model IN (SELECT id FROM AboutName WHERE instr(lower(text), ?))",
                None if self.model is None else self.model.lower(),
            ),
            ("a.stored < ?", None if self.older_than_s is None else now - self.older_than_s),
            ("a.stored >= ?", None if self.newer_than_s is None else now - self.newer_than_s),
            ("a.size > ?", self.larger_than),
        )
        chosen = [(condition, [value]) for condition, value in told if value is not None]
        if self.text is not None:
            chosen.append(words_with(self.text))
        where = " AND ".join(condition for condition, _ in chosen) or "1"
        return where, [value for _, values in chosen for value in values]


class CacheReader:
    """The response cache in one folder, to look into. Closed by `reading`."""

    def __init__(self, connection: sqlite3.Connection, cache: Any, path: Path) -> None:
        self.connection = connection
        self.cache = cache
        self.path = path

    def listed(self, wanted: EntryFilter, *, sort: Sort, limit: int, now: float) -> CacheEntries:
        """The first *limit* of the entries that are *wanted*, the newest or largest
        first.
        """
        where, values = wanted.sql(now)
        # Numbers alone: whole rows would all pass through the sorter. And from the last
        # one on: mostly the newest, so that few of the others come before them.
        chosen = (
            f"SELECT a.entry AS number, {_ORDER[sort]} AS rank FROM {_tables(wanted)}"
            f" WHERE {where} ORDER BY entry DESC LIMIT -1"
        )
        if wanted.text is not None:
            # Looked for once in each entry, and not once more to count them.
            query = _ONCE.format(chosen=chosen)
        else:
            # Less than keeping them all would take.
            counted = f"SELECT count(*) FROM About a WHERE {where}"
            (matching,) = self.connection.execute(counted, values).fetchone()
            query = _TOP.format(chosen=chosen, matching=matching)
        found = self.connection.execute(query, [*values, limit]).fetchall()
        numbers = [number for number, _ in found]
        return CacheEntries(tuple(self.some(numbers)), found[0][1] if found else 0)

    def some(self, numbers: Sequence[int]) -> Iterator[CacheEntry]:
        """The entries of these *numbers*, in their order."""
        for number in numbers:
            row = self.connection.execute(
                f"SELECT {_COLUMNS} {_FROM} WHERE a.entry = ?", (number,)
            ).fetchone()
            # It may have been dropped meanwhile.
            if row is not None:
                yield _entry(row)

    def numbers(self, name: str) -> list[int]:
        """The entries whose key begins with *name*, or that the row *name* asked for,
        the newest first.
        """
        # 17 is the beginning of some keys, and the id of a row: that is meant.
        if len(name) >= _SURELY_A_KEY and (found := self._with_key(name)):
            return found
        rows = self.connection.execute(
            "SELECT entry FROM AboutText WHERE row = ? ORDER BY entry DESC LIMIT 100", (name,)
        ).fetchall()
        return [number for (number,) in rows] or self._with_key(name)

    def _with_key(self, name: str) -> list[int]:
        if not _is_hex(name):
            return []
        rows = self.connection.execute(
            # The end of the range: no key has a character above `f`.
            "SELECT rowid FROM Cache WHERE raw = 1 AND key >= ? AND key < ? LIMIT 100",
            (name.lower(), name.lower() + "g"),
        ).fetchall()
        return [number for (number,) in rows]

    def pair(self, number: int) -> CachedPair | None:
        """The entry of this *number* with request and answer; None: it is gone."""
        entry = next(self.some([number]), None)
        if entry is None:
            return None
        kept = self.connection.execute(
            "SELECT body, form FROM AboutBody WHERE entry = ?", (number,)
        ).fetchone()
        value = sound_value(self.cache, self.connection, number)
        request = message = None
        # Planted or damaged: what is sound is shown.
        with suppress(ValueError):
            request = unpacked(*kept) if kept is not None else None
        with suppress(ValueError):
            message = decode(value) if value is not None else None
        return CachedPair(
            entry,
            request.body if request is not None else None,
            request is None or request.whole,
            message if isinstance(message, dict) else None,
        )

    def without_request(self) -> int:
        """How many entries have an answer only."""
        # Not by the table of the requests: it is the largest of all.
        (found,) = self.connection.execute(
            "SELECT count(*) FROM About WHERE messages IS NULL"
        ).fetchone()
        return int(found)

    def by_model(self) -> tuple[CacheGroup, ...]:
        """The entries of each model, the most first."""
        rows = self.connection.execute(
            "SELECT coalesce((SELECT text FROM AboutName WHERE id = model), '(damaged)'),"
            " n, size, hits, saved FROM (SELECT model, count(*) AS n, sum(size) AS size,"
            " sum(hits) AS hits, total(hits * worth) AS saved FROM About GROUP BY model)"
            " ORDER BY n DESC, 1"
        )
        return tuple(_group(label, figures) for label, *figures in rows)

    def by_age(self, now: float) -> tuple[CacheGroup, ...]:
        """The entries of some spans of time, the newest first."""
        edges = [now - days * _DAY for _, days in _AGES]
        spans = " ".join(f"WHEN stored >= ? THEN {n}" for n in range(len(edges)))
        rows = self.connection.execute(
            f"SELECT CASE {spans} ELSE {len(edges)} END AS age, count(*), sum(size), sum(hits),"
            " total(hits * worth) FROM About GROUP BY age ORDER BY age",
            edges,
        )
        labels = [*(label for label, _ in _AGES), f"over {_AGES[-1][1]} days"]
        return tuple(_group(labels[age], figures) for age, *figures in rows)


@contextmanager
def reading(path: Path, *, worth: Worth, size_limit: int = 2**40) -> Iterator[CacheReader | None]:
    """The cache at *path* to look into, its older entries described from their answers;
    None where there is none. Raises `StorageError`.
    """
    if not (path / DATABASE).exists():
        yield None
        return
    try:
        with (
            closing(open_database(path, size_limit)) as cache,
            closing(
                sqlite3.connect(path / DATABASE, timeout=_BUSY_S, isolation_level=None)
            ) as connection,
        ):
            prepare(connection)
            prepare_words(connection)
            adopt(cache, connection, worth=worth)
            yield CacheReader(connection, cache, path)
    except sqlite3.Error as error:
        raise StorageError(
            "E800",
            f"{path}: the response cache cannot be read: {error}",
            fix="wait until no run uses it; where that does not help, `claudebatch cache clear`",
        ) from error


def make_cache(path: Path, size_limit: int) -> None:
    """Make the cache at *path* where there is none."""
    open_database(path, size_limit).close()


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Put this around changes of the cache at *path*: their failures are
    `StorageError`.
    """
    try:
        yield
    except (sqlite3.Error, diskcache.Timeout) as error:
        raise StorageError(
            "E807",
            f"{path}: the response cache cannot be changed: {error or 'it stays locked'}",
            fix="what was done before stays: free some space, or wait until no run uses it, and "
            "run the same command again",
        ) from error


def _tables(wanted: EntryFilter) -> str:
    """Where those that are *wanted* are looked for."""
    if wanted.text is None:
        return "About a"
    # Where nothing else is asked for, the words come first: few entries have them.
    words_only = wanted == EntryFilter(text=wanted.text)
    first, second = ("AboutText t", "About a") if words_only else ("About a", "AboutText t")
    return f"{first} CROSS JOIN {second} USING (entry)"


def _group(label: str, figures: Sequence[Any]) -> CacheGroup:
    entries, size, hits, saved = figures
    return CacheGroup(label, int(entries), int(size or 0), int(hits), int(saved))


def _entry(row: Sequence[Any]) -> CacheEntry:
    # The columns stand in the order of the fields.
    facts = dict(zip(_FIELDS, row, strict=True))
    betas = facts["betas"]
    return CacheEntry(**facts | {"betas": tuple(betas.split(",")) if betas else ()})


def _is_hex(text: str) -> bool:
    return bool(text) and not set(text.lower()) - set("0123456789abcdef")
