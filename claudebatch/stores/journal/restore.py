"""What is damaged in a journal, brought back from copies that its seals confirm; else given up, in the open.

Copies lie in the results file, in the response cache and in the spend ledger. None of them is believed by itself:
only what has the checksum of what was written goes back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from claudebatch.results import line, parts
from claudebatch.stores.journal.audit import Audit, any_text
from claudebatch.stores.journal.schema import State
from claudebatch.stores.journal.seals import (
    ATTEMPT_FIELDS,
    RESULT_FIELDS,
    attempt_seal,
    body_digest,
    reseal,
    result_seal,
)

_MAX_AMOUNT = 2**62


class Copies(Protocol):
    """Where else parts of a journal may lie."""

    def lines(self, row: int) -> Iterable[bytes]:
        """Result lines of *row*, newline included."""
        ...

    def messages(self, row: int) -> Iterable[bytes]:
        """Answers to *row*."""
        ...

    def record(self, attempt: int) -> Mapping[str, object] | None:
        """The columns of *attempt*."""
        ...


@dataclass(slots=True)
class Restored:
    """What became of what was damaged."""

    restored: int = 0
    """Answers, amounts and result lines that are as they were written again."""
    lost: list[int] = field(default_factory=list)
    """Rows whose answer is nowhere any more: they will be asked again."""
    unsure: list[int] = field(default_factory=list)
    """Attempts whose amounts nothing confirms; they count at the larger of what is known."""


def restore(journal: sqlite3.Connection, found: Audit, copies: Copies) -> Restored:
    """Mend what *found* says is damaged, in one transaction."""
    done = Restored()
    journal.execute("BEGIN IMMEDIATE")
    try:
        with any_text(journal):
            for attempt in found.bad_records:
                _record(journal, attempt, copies, done)
            for attempt in found.bad_answers:
                _answer(journal, attempt, copies, done)
            for n in found.bad_results:
                _result(journal, n, copies, done)
        journal.execute("COMMIT")
    except BaseException:
        journal.execute("ROLLBACK")
        raise
    return done


def _record(journal: sqlite3.Connection, attempt: int, copies: Copies, done: Restored) -> None:
    *fields, seal, body = journal.execute(
        f"SELECT {', '.join(ATTEMPT_FIELDS)}, seal, body FROM attempts WHERE attempt = ?", (attempt,)
    ).fetchone()
    here = dict(zip(ATTEMPT_FIELDS, fields, strict=True))
    copy = copies.record(attempt)
    digest = body_digest(body)
    candidates = [here | {"digest": digest}, *(here | dict(copy or {}) | {"simulated": made_up, "digest": d}
                  for made_up in (0, 1) for d in (digest, here["digest"]))]  # fmt: skip
    for candidate in candidates:
        values = [candidate[name] for name in ATTEMPT_FIELDS]
        confirmed = attempt_seal(values) == seal
        # The seal itself may be what is damaged: then the ledger says the same as the journal.
        if confirmed or (copy is not None and values == fields and all(here[name] == copy[name] for name in copy)):
            _write(journal, candidate)
            reseal(journal, [attempt])
            done.restored += 1
            return
    _write(journal, _at_most(here, copy or {}, body))
    reseal(journal, [attempt])
    done.unsure.append(attempt)


def _at_most(here: Mapping[str, object], copy: Mapping[str, object], body: object) -> dict[str, object]:
    """The fields of an attempt of which nobody knows what they were, so that caps never count too little."""
    mended = dict(here)
    for name in ("cost", "worst"):
        known = [value for value in (here[name], copy.get(name)) if isinstance(value, int) and 0 <= value < _MAX_AMOUNT]
        mended[name] = max(known, default=0)
    if isinstance(body, bytes):
        mended["state"] = State.ANSWERED
    else:  # at its worst case, until the user settles it
        mended.update(state=State.UNKNOWN, cost=0)
    return mended


def _write(journal: sqlite3.Connection, fields: Mapping[str, object]) -> None:
    names = [name for name in ATTEMPT_FIELDS if name != "attempt"]
    changed = ", ".join(f"{name} = ?" for name in names)
    journal.execute(
        f"UPDATE attempts SET {changed} WHERE attempt = ?", (*(fields[name] for name in names), fields["attempt"])
    )


def _answer(journal: sqlite3.Connection, attempt: int, copies: Copies, done: Restored) -> None:
    row, digest, body = journal.execute(
        "SELECT row, digest, body FROM attempts WHERE attempt = ?", (attempt,)
    ).fetchone()
    if body_digest(body) == digest:
        return  # its record was what was damaged
    found = next((message for message in copies.messages(row) if body_digest(message) == digest), None)
    if found is not None:
        journal.execute("UPDATE attempts SET body = ? WHERE attempt = ?", (found, attempt))
        done.restored += 1
        return
    # It stays paid for. The rows that it answered are asked again.
    journal.execute(
        "UPDATE attempts SET body = NULL, digest = NULL, state = ? WHERE attempt = ?", (State.SETTLED, attempt)
    )
    reseal(journal, [attempt])
    shared = [row for (row,) in journal.execute("SELECT row FROM results WHERE attempt = ?", (attempt,))]
    journal.execute("DELETE FROM results WHERE attempt = ?", (attempt,))
    done.lost += shared or [row]


def _result(journal: sqlite3.Connection, n: int, copies: Copies, done: Restored) -> None:
    found = journal.execute(f"SELECT {', '.join(RESULT_FIELDS)}, seal FROM results WHERE n = ?", (n,)).fetchone()
    if found is None:
        return  # it went with its answer
    *fields, seal = found
    row, _, head, attempt, body, *_ = fields
    stored = journal.execute("SELECT body FROM attempts WHERE attempt = ?", (attempt,)).fetchone()
    for copy in copies.lines(row):
        first, message = parts(copy)
        for one_head in (head, first):
            for one_body in (body, None if attempt is not None else message):
                candidate = [*fields[:2], one_head, attempt, one_body, *fields[5:]]
                if result_seal(candidate) == seal:
                    journal.execute("UPDATE results SET head = ?, body = ? WHERE n = ?", (one_head, one_body, n))
                    done.restored += 1
                    return
        shown = body if body is not None else stored[0] if stored else None
        if isinstance(head, bytes) and line(head, shown) == copy:  # the seal itself, or what the answer saved
            journal.execute("UPDATE results SET seal = ? WHERE n = ?", (result_seal(fields), n))
            done.restored += 1
            return
    journal.execute("DELETE FROM results WHERE n = ?", (n,))
    if stored is None or stored[0] is None:
        done.lost.append(row)  # else its answer comes back when the run goes on
