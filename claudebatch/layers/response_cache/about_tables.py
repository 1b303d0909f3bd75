"""The tables about entries, in the database of the response cache: who asked what, and
how often the answer was found.

Nothing in them is needed to find an answer. They are filled after the answers, in
transactions of their own, so they may lag behind; entries that they lack are described
from their answers, by `adopt`. A trigger removes what is about an entry together with
it, whoever deletes it: also an older version of this program, which does not know them.

Reads go over one narrow table from its beginning to its end: a million lines take a
fraction of a second, and no index has to be kept up with every answer.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from claudebatch.core.domain import Call
from claudebatch.layers.response_cache.description import described
from claudebatch.layers.response_cache.request_notes import Note, RequestNotes

# Of entries that are gone, the newest so many are remembered: enough to say why a row
# of yesterday is asked again.
MOST_GONE = 50_000
# Results of a batch are kept by the API for 29 days; later nobody collects them.
_SENT_KEPT_S = 40 * 86400
NOW = "((julianday('now') - 2440587.5) * 86400)"
"""Unix seconds, as diskcache writes them."""

# `AboutName` holds what many entries share: models, files, runs, sets of betas, places.
TABLES = """
CREATE TABLE IF NOT EXISTS AboutName (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS About (
  entry INTEGER PRIMARY KEY, stored REAL, expires REAL, size INTEGER,
  input INTEGER, output INTEGER, worth INTEGER, hits INTEGER NOT NULL DEFAULT 0, found REAL,
  model INTEGER, file INTEGER, line INTEGER, run INTEGER, betas INTEGER, repeat INTEGER,
  place INTEGER, messages INTEGER, before INTEGER, head INTEGER, tail INTEGER, loose INTEGER,
  rowname INTEGER);
CREATE TABLE IF NOT EXISTS AboutText (entry INTEGER PRIMARY KEY, words TEXT, row TEXT);
CREATE TABLE IF NOT EXISTS AboutBody (entry INTEGER PRIMARY KEY, form INTEGER, body BLOB);
CREATE TABLE IF NOT EXISTS AboutSent (
  key TEXT PRIMARY KEY, at REAL, words TEXT, row TEXT, form INTEGER, body BLOB,
  model INTEGER, file INTEGER, line INTEGER, run INTEGER, betas INTEGER, repeat INTEGER,
  place INTEGER, messages INTEGER, before INTEGER, head INTEGER, tail INTEGER, loose INTEGER,
  rowname INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS AboutGone (
  n INTEGER PRIMARY KEY, key TEXT UNIQUE, at REAL, why TEXT, stored REAL, expires REAL);
CREATE TRIGGER IF NOT EXISTS About_removed AFTER DELETE ON Cache FOR EACH ROW BEGIN
  INSERT OR REPLACE INTO AboutGone(key, at, why, stored, expires) SELECT OLD.key,
    (julianday('now') - 2440587.5) * 86400, '', OLD.store_time, OLD.expire_time;
  DELETE FROM About WHERE entry = OLD.rowid;
  DELETE FROM AboutText WHERE entry = OLD.rowid;
  DELETE FROM AboutBody WHERE entry = OLD.rowid;
END;
"""
_DIGESTS = "messages, before, head, tail, loose, rowname"
_ASKED = f"model, file, line, run, betas, repeat, place, {_DIGESTS}"
_ABOUT = f"entry, stored, expires, size, input, output, worth, {_ASKED}"
_SENT = f"words, row, form, body, {_ASKED}"
_KEYS_A_QUERY = 250
# A transaction for each group of answers took a third of the time of a put.
_PUTS_AT_ONCE = 256
# Requests with images wait in memory: so many of them only.
_BYTES_AT_ONCE = 4 * 2**20
_HITS_AT_ONCE = 2000
_ROW_ID_CHARS = 200


class _Asked(NamedTuple):
    """The columns that tell of a request."""

    words: str
    row: str
    form: int
    body: bytes
    said: Sequence[Any]
    """Those of `_ASKED`."""


class AboutWriter:
    """Writes notes beside their entries. Used by the store's thread only."""

    def __init__(self, connection: sqlite3.Connection, notes: RequestNotes) -> None:
        """*connection* commits each statement by itself."""
        self._connection = connection
        self._notes = notes
        # Mutable: numbers of names, and what is not written yet: the sizes of entries
        # by key, with the bytes of their requests in all, and hits by entry.
        self._names: dict[str, int] = {}
        self._puts: dict[str, int] = {}
        self._waiting_bytes = 0
        self._hits: Counter[int] = Counter()

    @property
    def is_due(self) -> bool:
        """Whether enough waits to be written. A crash loses what waits: entries that
        are then described from their answers, and counts.
        """
        return (
            len(self._puts) >= _PUTS_AT_ONCE
            or self._waiting_bytes >= _BYTES_AT_ONCE
            or len(self._hits) >= _HITS_AT_ONCE
            or self._notes.pending
        )

    def prepare(self) -> None:
        """Make the tables. Raises `sqlite3.Error`."""
        prepare(self._connection)

    def trim(self) -> None:
        """Forget what nobody will ask for any more. Raises `sqlite3.Error`."""
        trim(self._connection)

    def put(self, key: str, size: int) -> None:
        """An answer of *size* bytes was stored under *key*."""
        self._puts[key] = size
        self._waiting_bytes += self._notes.size_of(key)

    def hits(self, entries: Iterable[int]) -> None:
        """The answers of *entries* were found."""
        self._hits.update(entries)

    def write(self) -> None:
        """Write all that waits. Raises `sqlite3.Error`."""
        # Taken first: what is noted from now on belongs to the next group.
        others = self._notes.others()
        puts, self._puts, self._waiting_bytes = self._puts, {}, 0
        if not puts and not others and not self._hits:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._write_puts(puts)
            for key, note in others:
                self._write_other(key, note)
            self._write_hits()
            self._connection.execute("COMMIT")
        except BaseException:
            # A name that was taken back with the others would be used again.
            self._names.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _write_hits(self) -> None:
        # In the order of the table: each page is touched once.
        (now,) = self._connection.execute(f"SELECT {NOW}").fetchone()
        counts = [(count, now, entry) for entry, count in sorted(self._hits.items())]
        self._hits.clear()
        self._connection.executemany(
            "UPDATE About SET hits = hits + ?, found = ? WHERE entry = ?", counts
        )

    def _write_puts(self, puts: Mapping[str, int]) -> None:
        about, texts, bodies = [], [], []
        for key, entry, stored, expires in _entries(self._connection, list(puts)):
            note = self._notes.taken(key)
            if note is None or note.reply is None:
                continue
            asked = self._sent(key) if note.call is None else self._asked(note.call)
            if asked is None:
                continue
            usage = note.reply.usage
            # Priced as the run prices a row that is found: under the name it was asked.
            worth = self._notes.worth(note.call.model if note.call else note.reply.model, usage)
            size = puts[key] + len(asked.body)
            answer = (entry, stored, expires, size, usage.total_input, usage.output_tokens, worth)
            about.append((*answer, *asked.said))
            texts.append((entry, asked.words, asked.row))
            bodies.append((entry, asked.form, asked.body))
        self._connection.executemany(
            f"INSERT OR REPLACE INTO About({_ABOUT}) VALUES ({_marks(_ABOUT)})", about
        )
        self._connection.executemany("INSERT OR REPLACE INTO AboutText VALUES (?,?,?)", texts)
        self._connection.executemany("INSERT OR REPLACE INTO AboutBody VALUES (?,?,?)", bodies)

    def _write_other(self, key: str, note: Note) -> None:
        if note.unkept:
            self._connection.execute(
                f"INSERT OR REPLACE INTO AboutGone(key, at, why, stored) VALUES (?,{NOW},?,{NOW})",
                (key, note.unkept),
            )
        elif note.call is not None:
            *asked, said = self._asked(note.call)
            columns = f"key, {_SENT}"
            self._connection.execute(
                f"INSERT OR REPLACE INTO AboutSent(at, {columns}) VALUES ({NOW},{_marks(columns)})",
                (key, *asked, *said),
            )

    def _asked(self, call: Call) -> _Asked:
        told, prompt = described(call), call.prompt
        said = (
            self._name(call.model),
            self._name(prompt.file),
            prompt.line,
            self._name(self._notes.run),
            self._name(",".join(sorted(prompt.betas))),
            prompt.repeat,
            self._name(self._notes.place),
            *told.digests,
        )
        return _Asked(told.words, prompt.id[:_ROW_ID_CHARS], told.form, told.packed, said)

    def _sent(self, key: str) -> _Asked | None:
        """What was noted of a request when it was sent by batch."""
        found = self._connection.execute(
            f"SELECT {_SENT} FROM AboutSent WHERE key = ?", (key,)
        ).fetchone()
        if found is None:
            return None
        self._connection.execute("DELETE FROM AboutSent WHERE key = ?", (key,))
        words, row, form, body, *said = found
        return _Asked(words, row, form, body, said)

    def _name(self, text: str) -> int | None:
        if not text:
            return None
        known = self._names.get(text)
        if known is None:
            known = self._names[text] = name_number(self._connection, text)
        return known


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables where they are not there. Raises `sqlite3.Error`."""
    (there,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name IN ('About', 'AboutName', 'AboutText',"
        " 'AboutBody', 'AboutSent', 'AboutGone', 'About_removed')"
    ).fetchone()
    # Looked at first: making them takes the lock that another run may hold for long.
    if there < 7:
        connection.executescript(TABLES)


def forget_all(connection: sqlite3.Connection) -> None:
    """Drop the tables: the entries go, too, and are not to be told of one by one."""
    connection.executescript(
        "BEGIN IMMEDIATE; DROP TRIGGER IF EXISTS About_removed;"
        " DROP TABLE IF EXISTS About; DROP TABLE IF EXISTS AboutText;"
        " DROP TABLE IF EXISTS AboutBody; DROP TABLE IF EXISTS AboutGone;"
        " DROP TABLE IF EXISTS AboutSent; DROP TABLE IF EXISTS AboutName; COMMIT;"
    )


def name_number(connection: sqlite3.Connection, text: str) -> int:
    """The number of a name, made if need be."""
    connection.execute("INSERT OR IGNORE INTO AboutName(text) VALUES (?)", (text,))
    (number,) = connection.execute("SELECT id FROM AboutName WHERE text = ?", (text,)).fetchone()
    return int(number)


def trim(connection: sqlite3.Connection) -> None:
    """Forget what nobody will ask for any more."""
    connection.execute(
        "DELETE FROM AboutGone WHERE n <= (SELECT max(n) FROM AboutGone) - ?", (MOST_GONE,)
    )
    connection.execute(f"DELETE FROM AboutSent WHERE at < {NOW} - {_SENT_KEPT_S}")


def _entries(
    connection: sqlite3.Connection, keys: list[str]
) -> Iterable[tuple[str, int, float, float | None]]:
    for start in range(0, len(keys), _KEYS_A_QUERY):
        some = keys[start : start + _KEYS_A_QUERY]
        yield from connection.execute(
            "SELECT key, rowid, store_time, expire_time FROM Cache WHERE raw = 1 AND key IN"
            f" ({','.join('?' * len(some))})",
            some,
        ).fetchall()


def _marks(columns: str) -> str:
    return ",".join("?" for _ in columns.split(","))
