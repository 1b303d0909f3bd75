"""The copies of a journal's parts: in its results file, the response cache and the
spend ledger.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from claudebatch.core.jsonl import decode, raw_members
from claudebatch.core.result_lines import parts
from claudebatch.storage.journal.audit import JournalAudit
from claudebatch.storage.journal.checksums import ATTEMPT_FIELDS

# The fields that the ledger has, too: it keeps no answers, and no rehearsals beside
# real attempts.
_LEDGER = tuple(name for name in ATTEMPT_FIELDS if name not in ("simulated", "digest"))
_ROWS = (
    "SELECT r.row, r.id, r.key FROM rows r WHERE r.row IN"
    " (SELECT row FROM attempts WHERE attempt = :number"
    " UNION SELECT row FROM results WHERE attempt = :number)"
)
_ROW_OF_RESULT = (
    "SELECT r.row, r.id, r.key FROM rows r JOIN results x ON x.row = r.row WHERE x.n = :number"
)

LookUp = Callable[[Sequence[str]], Sequence[bytes | None]]
"""Answers of the response cache, by key."""


class FoundCopies:
    """The copies of all that a `JournalAudit` calls damaged, looked up once."""

    def __init__(
        self,
        journal: sqlite3.Connection,
        damage: JournalAudit,
        *,
        output: Path | None,
        look_up: LookUp,
        ledger: sqlite3.Connection | None,
        run: str,
    ) -> None:
        """*output* is the run's results file, *ledger* where the run may be known as
        *run*.
        """
        rows = [
            found
            for query, numbers in (
                (_ROWS, (*damage.bad_answers, *damage.bad_records)),
                (_ROW_OF_RESULT, damage.bad_results),
            )
            for number in numbers
            for found in journal.execute(query, {"number": number})
        ]
        # An edited line leaves two rows of one id: its result line may belong to
        # either, and only the checksum can say to which.
        rows_of: defaultdict[str, set[int]] = defaultdict(set)
        for row, name, _ in rows:
            rows_of[str(name)].add(row)
        self._lines: defaultdict[int, list[bytes]] = defaultdict(list)
        for name, line in _lines_of(output, rows_of):
            for row in rows_of[name]:
                self._lines[row].append(line)
        # The index has no checksums: a damaged key may be a number by now.
        keys = {row: key.hex() for row, _, key in rows if key and isinstance(key, bytes)}
        self._cached = dict(zip(keys, look_up(list(keys.values())), strict=True))
        self._ledger, self._run = ledger, run

    def lines(self, row: int) -> Iterable[bytes]:
        """Result lines of *row*."""
        return self._lines.get(row, ())

    def messages(self, row: int) -> Iterator[bytes]:
        """Answers to *row*."""
        for line in self.lines(row):
            message = parts(line).message
            if message is not None:
                yield message
        cached = self._cached.get(row)
        if cached is not None:
            yield cached

    def record(self, attempt: int) -> Mapping[str, object] | None:
        """The ledger's fields of *attempt*."""
        if self._ledger is None:
            return None
        found = self._ledger.execute(
            f"SELECT {', '.join(_LEDGER)} FROM attempts WHERE run = ? AND attempt = ?",
            (self._run, attempt),
        ).fetchone()
        return None if found is None else dict(zip(_LEDGER, found, strict=True))

    def records(self) -> Iterator[Mapping[str, object]]:
        """The ledger's fields of all attempts."""
        if self._ledger is not None:
            query = f"SELECT {', '.join(_LEDGER)} FROM attempts WHERE run = ?"
            for found in self._ledger.execute(query, (self._run,)):
                yield dict(zip(_LEDGER, found, strict=True))


def _lines_of(output: Path | None, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(id, line) of the lines of *output* that have one of the *wanted* ids."""
    if output is None or not wanted:
        return
    # The file may be edited, torn or gone: it is one copy of several, and a line that
    # cannot be read is no copy.
    with suppress(OSError), output.open("rb") as file:
        for line in file:
            with suppress(ValueError, KeyError):  # damaged as well
                raw = raw_members(line)["id"]
                # The id of a number is its text.
                name = decode(raw) if raw.startswith(b'"') else raw.decode()
                if name in wanted:
                    parts(line)
                    yield name, line
