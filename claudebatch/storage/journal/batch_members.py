"""The rows of message batches, with what their result lines are made of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from claudebatch.storage.columns import INTENT_COLUMNS, listed, marks, names
from claudebatch.storage.journal.checksums import damaged, is_sound
from claudebatch.storage.journal.records import AttemptIntent
from claudebatch.storage.journal.roads import shares
from claudebatch.storage.journal.row_records import RowFilter, RowRef
from claudebatch.storage.journal.schema import AttemptState


class BatchMember(NamedTuple):
    """A row of a batch: its attempt, and what its result line is made of."""

    intent: AttemptIntent
    own: int
    source: int
    line: int
    columns: bytes
    offset: int
    length: int
    digest: bytes
    key: bytes
    live: bool
    """Whether its line is still in the input."""

    @property
    def ref(self) -> RowRef:
        """Where its line is."""
        return RowRef(
            row=self.intent.row,
            source=self.source,
            line=self.line,
            offset=self.offset,
            length=self.length,
            id=self.intent.id,
            digest=self.digest,
        )


_MEMBERS = (
    f"SELECT {listed(INTENT_COLUMNS, 'a.')}, r.id, r.own, r.source, r.line, r.columns, r.offset,"
    " r.length, r.digest, r.key, r.live FROM attempts a JOIN rows r"
    " ON r.row = a.row WHERE a.batch = ? AND a.state = ?"
)
_INTENT = names(INTENT_COLUMNS)
_FOLLOWERS = (
    "SELECT r.row, r.model, r.rule, r.id, r.own, r.source, r.line, r.columns,"
    " r.offset, r.length, r.digest FROM rows r"
    " WHERE r.key = ? AND r.row <> ? AND r.live AND r.position < ? AND NOT EXISTS"
    " (SELECT 1 FROM results x WHERE x.row = r.row AND"
    " (CASE x.ok WHEN 0 THEN NOT ? WHEN 5 THEN NOT ? WHEN 2 THEN NOT ? ELSE 1 END))"
)
# A batch that was never made says nothing of its rows.
_TRIES = "SELECT row, count(*) FROM attempts WHERE batch > 0 AND state = ? AND error <> 'not sent'"
# Far below the number of values that SQLite binds in one statement.
_AT_ONCE = 500


def members(journal: sqlite3.Connection, batch: int, attempts: Sequence[int]) -> list[BatchMember]:
    """Those of *attempts* that are in *batch* and have no outcome. Raises
    `StorageError` for one that is damaged.
    """
    found: list[BatchMember] = []
    for some in _parts(attempts):
        query = f"{_MEMBERS} AND a.attempt IN ({marks(len(some))})"
        rows = journal.execute(query, (batch, AttemptState.IN_BATCH, *some)).fetchall()
        found += map(_member, rows)
    # A flipped bit must not become a price or another row's answer.
    for member in found:
        if not is_sound(journal, member.intent.attempt):
            raise damaged(journal, f"what is written down of request {member.intent.attempt}")
    return found


def next_members(
    journal: sqlite3.Connection, batch: int, after: int, count: int
) -> list[BatchMember]:
    """The next *count* rows of *batch* without an outcome, after attempt number
    *after*.
    """
    # By number, not with OFFSET: those that get their outcome meanwhile fall out.
    query = f"{_MEMBERS} AND a.attempt > ? ORDER BY a.attempt LIMIT ?"
    found = journal.execute(query, (batch, AttemptState.IN_BATCH, after, count)).fetchall()
    return [_member(fields) for fields in found]


def followers(journal: sqlite3.Connection, of: BatchMember, wanted: RowFilter) -> list[BatchMember]:
    """The other rows that ask for the same as *of* and still need an answer; they have
    no attempt of their own.
    """
    if not shares(journal):
        return []
    end = 2**62 if wanted.limit is None else wanted.limit
    found = journal.execute(
        _FOLLOWERS,
        (of.key, of.intent.row, end, wanted.retry_failed, wanted.retry_failed, wanted.retry_cut),
    )
    return [
        BatchMember(
            intent=AttemptIntent(
                attempt=0, row=row, model=model, worst=0, sent_ms=0, day="", rule=rule, id=name
            ),
            own=own,
            source=source,
            line=line,
            columns=columns,
            offset=offset,
            length=length,
            digest=digest,
            key=of.key,
            live=True,
        )
        for row, model, rule, name, own, source, line, columns, offset, length, digest in found
    ]


def tries_in_batches(journal: sqlite3.Connection, rows: Sequence[int]) -> dict[int, int]:
    """How many batches have come back without an answer for each of *rows*."""
    tries: dict[int, int] = {}
    for some in _parts(rows):
        query = f"{_TRIES} AND row IN ({marks(len(some))}) GROUP BY row"
        tries |= dict(journal.execute(query, (AttemptState.FAILED, *some)).fetchall())
    return tries


def _parts(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _AT_ONCE):
        yield numbers[start : start + _AT_ONCE]


def _member(fields: Sequence[Any]) -> BatchMember:
    intent = dict(zip(_INTENT, fields[: len(_INTENT)], strict=True))
    name, own, *more, key, live = fields[len(_INTENT) :]
    source, line, columns, offset, length, digest = more
    return BatchMember(
        intent=AttemptIntent(**intent, id=name),
        own=own,
        source=source,
        line=line,
        columns=columns,
        offset=offset,
        length=length,
        digest=digest,
        key=key,
        live=bool(live),
    )
