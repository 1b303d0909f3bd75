"""Whether a journal is as it was written: every answer, every amount, and SQLite's own
structure.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from claudebatch.storage.journal.checksums import (
    ATTEMPT_FIELDS,
    RESULT_FIELDS,
    attempt_seal,
    body_digest,
    fits,
    result_seal,
)

_ATTEMPTS = f"SELECT {', '.join(ATTEMPT_FIELDS)}, seal, body FROM attempts"
_RESULTS = (
    f"SELECT {', '.join(f'x.{name}' for name in RESULT_FIELDS)}, x.seal, x.n, a.attempt, r.row "
    f"FROM results x"
    " LEFT JOIN attempts a ON a.attempt = x.attempt LEFT JOIN rows r ON r.row = x.row"
)


@dataclass(frozen=True, slots=True)
class JournalAudit:
    """What is not as it was written."""

    structure: str | None
    """What SQLite says of the file; None: it is whole."""
    attempts: int
    """How many were looked at."""
    results: int
    bad_answers: tuple[int, ...]
    """Attempts whose body is damaged."""
    bad_records: tuple[int, ...]
    """Attempts whose amounts, or other fields, are damaged."""
    bad_results: tuple[int, ...]
    """Results, by their number, that are damaged or stand for nothing."""

    @property
    def sound(self) -> bool:
        """Whether everything is as it was written."""
        return not (self.structure or self.bad_answers or self.bad_records or self.bad_results)


def audit(journal: sqlite3.Connection) -> JournalAudit:
    """Look at every row of *journal*. Takes some 10 us for each."""
    structure: str | None = None
    answers: list[int] = []
    records: list[int] = []
    results: list[int] = []
    attempts = lines = 0
    numbered = True
    with any_text(journal):
        try:
            for *fields, seal, body in journal.execute(_ATTEMPTS):
                attempts += 1
                here = dict(zip(ATTEMPT_FIELDS, fields, strict=True))
                if body_digest(body) != here["digest"]:
                    answers.append(here["attempt"])
                if not fits(fields, seal, attempt_seal):
                    records.append(here["attempt"])
            for *fields, seal, n, attempt, row in journal.execute(_RESULTS):
                lines += 1
                here = dict(zip(RESULT_FIELDS, fields, strict=True))
                orphan = row is None or (here["attempt"] is not None and attempt is None)
                if orphan or not fits(fields, seal, result_seal):
                    results.append(n)
                numbered = numbered and type(n) is int
            # A bit in the text of a table's own definition can do that.
            structure = _structure(journal) if numbered else "the results have lost their numbers"
        except (sqlite3.Error, ValueError) as error:  # a damaged name of a column is no text either
            structure = str(error)
    return JournalAudit(
        structure=structure,
        attempts=attempts,
        results=lines,
        bad_answers=tuple(answers),
        bad_records=tuple(records),
        bad_results=tuple(results),
    )


def unsound(journal: sqlite3.Connection) -> Iterator[int]:
    """The attempts whose amounts, or other fields, are not as they were written; their
    answers are not looked at.
    """
    with any_text(journal):
        for *fields, seal in journal.execute(
            f"SELECT {', '.join(ATTEMPT_FIELDS)}, seal FROM attempts"
        ):
            if not fits(fields, seal, attempt_seal):
                yield dict(zip(ATTEMPT_FIELDS, fields, strict=True))["attempt"]


@contextmanager
def any_text(journal: sqlite3.Connection) -> Iterator[None]:
    """Let *journal* be read although some of its text may be none any more."""
    before = journal.text_factory
    journal.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        journal.text_factory = before


def _structure(journal: sqlite3.Connection) -> str | None:
    (verdict,) = journal.execute("PRAGMA integrity_check(1)").fetchone()
    return None if verdict == "ok" else str(verdict)
