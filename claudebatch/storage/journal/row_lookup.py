"""One row of a run by its id, with what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from claudebatch.core.domain import Pico
from claudebatch.storage.journal.newest_results import snapshot
from claudebatch.storage.journal.records import AnswerSource

# An id may stand for several contents, one after the other: the last one that is still
# in the input comes first.
_ROW = (
    "SELECT r.key, r.model, r.line, x.source, x.saved, x.ok, a.cost, a.sent_ms"
    " FROM rows r LEFT JOIN results x ON x.row = r.row LEFT JOIN attempts a ON a.attempt ="
    " x.attempt WHERE r.id = ? ORDER BY r.live DESC, r.row DESC, x.n DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row as its run's journal has it."""

    key: str
    """Under which its answer is cached; empty: it was never looked for."""
    model: str
    line: int
    source: AnswerSource | None
    """None: it has no result yet."""
    saved: Pico
    ok: int
    """0: it failed."""
    cost: Pico | None
    sent_ms: int | None
    """When the request left that was answered."""


def find_row(journal: Path, id: str) -> FoundRow | None:
    """The newest row *id* of the run whose journal is *journal*; None where it has
    none, or there is no journal. Raises `StorageError`.
    """
    if not journal.is_file():
        return None
    # Read only, and no lock: the run may be going on.
    with snapshot(journal) as connection:
        found = connection.execute(_ROW, (id,)).fetchone()
    if found is None:
        return None
    key, model, line, source, saved, ok, cost, sent_ms = found
    return FoundRow(
        key=bytes(key).hex(),
        model=model,
        line=line,
        source=None if source is None else AnswerSource(source),
        saved=saved or 0,
        ok=ok or 0,
        cost=cost,
        sent_ms=sent_ms,
    )
