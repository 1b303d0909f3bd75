"""Damaged parts of a journal are restored from copies, or given up and reported.

Only a copy that the row's own checksum confirms goes back: out of the results file, the
response cache or the spend ledger. No copy is believed because it looks the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

from claudebatch.core.result_lines import parts
from claudebatch.storage.columns import DIGEST, INTENT_COLUMNS, OUTCOME_COLUMNS
from claudebatch.storage.journal.audit import JournalAudit, any_text
from claudebatch.storage.journal.checksums import (
    ATTEMPT_FIELDS,
    RESULT_FIELDS,
    attempt_checksum,
    body_digest,
    fits,
    result_checksum,
)
from claudebatch.storage.journal.schema import AttemptState

# A flipped high bit makes an amount that no sum of 64 bits can hold any more.
_MAX_AMOUNT = 2**62
_COLUMNS = {column.name: column for column in (*INTENT_COLUMNS, *OUTCOME_COLUMNS, DIGEST)}
_SELECT = f"SELECT {', '.join(ATTEMPT_FIELDS)}, seal, body FROM attempts WHERE attempt = ?"
# Results whose answer or whose row is gone: a session could neither show nor skip them.
_DANGLING = (
    "SELECT n, row FROM results x WHERE NOT EXISTS (SELECT 1 FROM rows r WHERE r.row = x.row)"
    " OR (ok AND body IS NULL AND NOT EXISTS"
    " (SELECT 1 FROM attempts a WHERE a.attempt = x.attempt AND a.body IS NOT NULL))"
)
_STILL_OPEN = (
    "SELECT 1 FROM rows r WHERE r.row = ? AND r.live"
    " AND NOT EXISTS (SELECT 1 FROM results x WHERE x.row = r.row AND x.ok)"
    " AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.row = r.row AND a.body IS NOT NULL"
    " AND a.state IN (?, ?))"
)


class RecordCopies(Protocol):
    """Copies of a journal's parts, from outside of it."""

    def lines(self, row: int) -> Iterable[bytes]:
        """Result lines of *row*, newline included."""
        ...

    def messages(self, row: int) -> Iterable[bytes]:
        """Answers to *row*."""
        ...

    def record(self, attempt: int) -> Mapping[str, object] | None:
        """The columns of *attempt*."""
        ...

    def records(self) -> Iterable[Mapping[str, object]]:
        """All attempts there are copies of."""
        ...


@dataclass(slots=True)
class RepairReport:
    """The outcome of a repair."""

    restored: int = 0
    """Answers, amounts and result lines that have their written content again."""
    lost: list[int] = field(default_factory=list)
    """Rows whose answer has no copy: they will be asked again."""
    unsure: list[int] = field(default_factory=list)
    """Attempts whose amounts no copy confirms; they count at the highest known amount.
    """


def restore(journal: sqlite3.Connection, found: JournalAudit, copies: RecordCopies) -> RepairReport:
    """Mend what *found* says is damaged, in one transaction."""
    done = RepairReport()
    journal.execute("BEGIN IMMEDIATE")
    try:
        with any_text(journal):
            # Records before answers, because the digest that an answer must fit is in
            # its record; and both before results, which refer to attempts.
            attempts = [_record(journal, attempt, copies, done) for attempt in found.bad_records]
            _missing(journal, copies, done)
            for attempt in dict.fromkeys((*found.bad_answers, *attempts)):
                _answer(journal, attempt, copies, done)
            for n in found.bad_results:
                _result(journal, n, copies, done)
            _drop_dangling(journal, done)
            done.lost = [row for row in dict.fromkeys(done.lost) if _is_open(journal, row)]
        journal.execute("COMMIT")
    except BaseException:
        journal.execute("ROLLBACK")
        raise
    return done


def _record(
    journal: sqlite3.Connection, attempt: int, copies: RecordCopies, done: RepairReport
) -> int:
    """Mend the fields of an attempt; returns its number, which may have been the
    damaged field.
    """
    *fields, checksum, body = journal.execute(_SELECT, (attempt,)).fetchone()
    here = dict(zip(ATTEMPT_FIELDS, fields, strict=True))
    copy = copies.record(attempt)
    for candidate in _candidates(here, copy, body, copies):
        if fits(candidate, checksum, attempt_checksum):
            done.restored += 1
            return _write(journal, attempt, candidate)
    done.unsure.append(attempt)
    return _write(
        journal, attempt, _at_most(here, copy or {}, body, _rows_answered(journal, attempt))
    )


def _candidates(
    here: Mapping[str, object],
    copy: Mapping[str, object] | None,
    body: object,
    copies: RecordCopies,
) -> Iterator[list[object]]:
    # Either the body or its digest may be what was damaged.
    digests = [body_digest(body), here["digest"]]
    if isinstance(here["row"], int):
        digests += [body_digest(message) for message in copies.messages(here["row"])]
    for known in (dict(here), {**here, **(copy or {})}):
        for digest in digests:
            # The ledger does not say which; the checksum does.
            for simulated in (0, 1):
                whole = known | {"digest": digest, "simulated": simulated}
                yield [whole[name] for name in ATTEMPT_FIELDS]


def _rows_answered(journal: sqlite3.Connection, attempt: int) -> list[int]:
    """The rows whose results say, under seals of their own, that *attempt* answered
    them.
    """
    query = f"SELECT {', '.join(RESULT_FIELDS)}, seal FROM results WHERE attempt = ?"
    found = journal.execute(query, (attempt,)).fetchall()
    return [
        dict(zip(RESULT_FIELDS, fields, strict=True))["row"]
        for *fields, checksum in found
        if fits(fields, checksum, result_checksum)
    ]


def _at_most(
    here: Mapping[str, object], copy: Mapping[str, object], body: object, answered: Sequence[int]
) -> list[object]:
    """The fields of an attempt that no copy confirms, so that no cap counts too little.

    Its row is not known either: its answer stays that of the rows *answered*, and
    becomes no other's.
    """
    mended = {name: _plain(name, value) for name, value in {**here, **copy}.items()}
    known = [
        value
        for source in (here, copy)
        for name in ("cost", "worst")
        if _is_amount(value := source.get(name))
    ]
    # The largest of all candidates: a repair must never make anything cheaper.
    mended["worst"] = max((value for value in known if isinstance(value, int)), default=0)
    mended["cost"] = mended["worst"] if isinstance(body, bytes) else 0
    if not isinstance(body, bytes):
        mended["state"] = AttemptState.UNKNOWN
    elif answered:
        mended.update(
            state=AttemptState.ANSWERED,
            row=mended["row"] if mended["row"] in answered else answered[0],
        )
    else:
        mended["state"] = AttemptState.SETTLED
    # As a rehearsal its cost would be left out of the ledger.
    mended["simulated"] = 0
    return [mended[name] for name in ATTEMPT_FIELDS]


def _plain(name: str, value: object) -> object:
    """*value* if it is of the kind that the column *name* holds."""
    column = _COLUMNS[name]
    nothing: object = 0
    if column.type == "TEXT":
        sound, nothing = isinstance(value, str) and value.isprintable(), ""
    elif column.type == "BLOB":
        sound, nothing = isinstance(value, bytes), b""
    else:
        sound = _is_amount(value)
    return value if sound else nothing if column.required else None


def _is_amount(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < _MAX_AMOUNT


def _write(journal: sqlite3.Connection, attempt: int, fields: Sequence[object]) -> int:
    changed = ", ".join(f"{name} = ?" for name in ATTEMPT_FIELDS)
    checksum = attempt_checksum(fields)
    journal.execute(
        f"UPDATE attempts SET {changed}, seal = ? WHERE attempt = ?", (*fields, checksum, attempt)
    )
    number = dict(zip(ATTEMPT_FIELDS, fields, strict=True))["attempt"]
    return number if isinstance(number, int) else attempt


def _missing(journal: sqlite3.Connection, copies: RecordCopies, done: RepairReport) -> None:
    """Add the attempts that the ledger has and the journal lacks: their cost stays
    spent.
    """
    there = {attempt for (attempt,) in journal.execute("SELECT attempt FROM attempts")}
    for copy in copies.records():
        attempt = copy["attempt"]
        if attempt not in there and isinstance(attempt, int):
            fields = _without_answer({**copy, "simulated": 0})
            marks = ",".join("?" * (len(ATTEMPT_FIELDS) + 1))
            journal.execute(
                f"INSERT INTO attempts ({', '.join(ATTEMPT_FIELDS)}, seal) VALUES ({marks})",
                (*fields, attempt_checksum(fields)),
            )
            done.unsure.append(attempt)


def _answer(
    journal: sqlite3.Connection, attempt: int, copies: RecordCopies, done: RepairReport
) -> None:
    *fields, _, body = journal.execute(_SELECT, (attempt,)).fetchone()
    here = dict(zip(ATTEMPT_FIELDS, fields, strict=True))
    digest = here["digest"]
    if body_digest(body) == digest:
        return  # only its record was damaged
    # Any row that shares the answer may have a line with a copy of it.
    sharing = [
        row for (row,) in journal.execute("SELECT row FROM results WHERE attempt = ?", (attempt,))
    ]
    if isinstance(here["row"], int):
        sharing.append(here["row"])
    copied = (message for row in dict.fromkeys(sharing) for message in copies.messages(row))
    found = next((message for message in copied if body_digest(message) == digest), None)
    if found is not None:
        journal.execute("UPDATE attempts SET body = ? WHERE attempt = ?", (found, attempt))
        done.restored += 1
        return
    # It stays paid for. The rows that it answered are asked again.
    journal.execute("UPDATE attempts SET body = NULL WHERE attempt = ?", (attempt,))
    _write(journal, attempt, _without_answer(here))
    done.lost += sharing


def _result(journal: sqlite3.Connection, n: int, copies: RecordCopies, done: RepairReport) -> None:
    *fields, checksum = journal.execute(
        f"SELECT {', '.join(RESULT_FIELDS)}, seal FROM results WHERE n = ?", (n,)
    ).fetchone()
    if fits(fields, checksum, result_checksum):
        return  # it is sound itself: its answer or its row is gone, see `_drop_dangling`
    here = dict(zip(RESULT_FIELDS, fields, strict=True))
    for candidate in _result_candidates(here, copies):
        if fits(candidate, checksum, result_checksum):
            _write_result(journal, n, candidate, done)
            return
    row = here["row"]
    journal.execute("DELETE FROM results WHERE n = ?", (n,))
    done.lost.append(row)


def _result_candidates(here: Mapping[str, Any], copies: RecordCopies) -> Iterator[list[object]]:
    """The fields of a result with head or message, or both, out of a line of its
    row.
    """
    for copy in copies.lines(here["row"]):
        found = parts(copy)
        of_copy = None if here["attempt"] is not None else found.message
        for head, body, place in product(
            (here["head"], found.head), (here["body"], of_copy), (here["place"], found.place)
        ):
            whole = {**here, "head": head, "body": body, "place": place}
            yield [whole[name] for name in RESULT_FIELDS]


def _write_result(
    journal: sqlite3.Connection, n: int, fields: Sequence[object], done: RepairReport
) -> None:
    changed = ", ".join(f"{name} = ?" for name in RESULT_FIELDS)
    journal.execute(
        f"UPDATE results SET {changed}, seal = ? WHERE n = ?", (*fields, result_checksum(fields), n)
    )
    done.restored += 1


def _drop_dangling(journal: sqlite3.Connection, done: RepairReport) -> None:
    for n, row in journal.execute(_DANGLING).fetchall():
        journal.execute("DELETE FROM results WHERE n = ?", (n,))
        done.lost.append(row)


def _is_open(journal: sqlite3.Connection, row: int) -> bool:
    """Whether *row* has neither a result nor an answer that a session will show."""
    shown = (AttemptState.ANSWERED, AttemptState.UNKNOWN)
    return journal.execute(_STILL_OPEN, (row, *shown)).fetchone() is not None


def _without_answer(fields: Mapping[str, object]) -> list[object]:
    """*fields* of an attempt whose answer is lost: what it cost, or may have, stays."""
    unknown = fields["state"] == AttemptState.UNKNOWN
    state = AttemptState.UNKNOWN if unknown else AttemptState.SETTLED
    return [{**fields, "digest": None, "state": state}[name] for name in ATTEMPT_FIELDS]
