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
    attempt_checksum,
    body_digest,
    fits,
    result_checksum,
)

_ATTEMPTS = f"SELECT {', '.join(ATTEMPT_FIELDS)}, seal, body FROM attempts"
_RESULTS = (
    f"SELECT {', '.join(f'x.{name}' for name in RESULT_FIELDS)}, x.seal, x.n, a.attempt, r.row "
    f"FROM results x"
    " LEFT JOIN attempts a ON a.attempt = x.attempt LEFT JOIN rows r ON r.row = x.row"
)


@dataclass(frozen=True, slots=True)
class JournalAudit:
    """The damage that a look at a journal has found."""

    structure: str | None
    """SQLite's verdict on the file; None: it is whole."""
    attempts: int
    """The number that was checked."""
    results: int
    bad_answers: tuple[int, ...]
    """Attempts whose body is damaged."""
    bad_records: tuple[int, ...]
    """Attempts with damaged amounts or other fields."""
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
            for *fields, checksum, body in journal.execute(_ATTEMPTS):
                attempts += 1
                here = dict(zip(ATTEMPT_FIELDS, fields, strict=True))
                if body_digest(body) != here["digest"]:
                    answers.append(here["attempt"])
                if not fits(fields, checksum, attempt_checksum):
                    records.append(here["attempt"])
            for *fields, checksum, n, attempt, row in journal.execute(_RESULTS):
                lines += 1
                here = dict(zip(RESULT_FIELDS, fields, strict=True))
                # A sound line may still stand for nothing: its attempt or its row was
                # lost.
                orphan = row is None or (here["attempt"] is not None and attempt is None)
                if orphan or not fits(fields, checksum, result_checksum):
                    results.append(n)
                numbered = numbered and type(n) is int
            # One bit in the text of a table's definition makes `n` an ordinary column,
            # and its order is lost; SQLite itself finds nothing wrong with that.
            structure = _structure(journal) if numbered else "the results have lost their numbers"
        # A damaged name of a column is no text either.
        except (sqlite3.Error, ValueError) as error:
            structure = str(error)
    return JournalAudit(
        structure=structure,
        attempts=attempts,
        results=lines,
        bad_answers=tuple(answers),
        bad_records=tuple(records),
        bad_results=tuple(results),
    )


def damaged_attempts(journal: sqlite3.Connection) -> Iterator[int]:
    """The attempts with damaged amounts or other fields; their answers are not read."""
    with any_text(journal):
        for *fields, checksum in journal.execute(
            f"SELECT {', '.join(ATTEMPT_FIELDS)}, seal FROM attempts"
        ):
            if not fits(fields, checksum, attempt_checksum):
                yield dict(zip(ATTEMPT_FIELDS, fields, strict=True))["attempt"]


@contextmanager
def any_text(journal: sqlite3.Connection) -> Iterator[None]:
    """Let *journal* be read although damaged text in it may be no UTF-8 any more."""
    before = journal.text_factory
    # Otherwise the first such text ends the whole look, and the damage behind it stays
    # unseen.
    journal.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        journal.text_factory = before


def _structure(journal: sqlite3.Connection) -> str | None:
    # One fault is enough: SQLite's list of all of them may be as long as the file.
    (verdict,) = journal.execute("PRAGMA integrity_check(1)").fetchone()
    return None if verdict == "ok" else str(verdict)
