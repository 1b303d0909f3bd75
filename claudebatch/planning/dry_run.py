"""`run --dry-run`: the same checks, routes and keys as a real run, and nothing sent, written or imported for sending.

Works in a database of its own that is thrown away, so a million rows take no memory and the run's own records are
only read.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from claudebatch.domain import Call, Pico, Prompt, Route, Size, from_usd
from claudebatch.planning.duration import ApiModel, Durations
from claudebatch.planning.estimate import cost_of
from claudebatch.planning.intake import Intake
from claudebatch.planning.workshop import Workshop
from claudebatch.reports import Estimate, EstimateLine
from claudebatch.stores.journal import RowRecord, index_rows, open_journal

_CHUNK = 500
_NO_PROMPT = Prompt("", {})
_TABLE = """
CREATE TEMP TABLE plan (position INTEGER PRIMARY KEY, key TEXT, repeated INTEGER, cached INTEGER, model TEXT, rule TEXT,
  input INTEGER, output INTEGER, low INTEGER, expected INTEGER, worst INTEGER, known INTEGER);
CREATE TEMP TABLE seen (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What earlier runs left behind, for looking up only."""

    journal: Path | None
    """This run's journal, if an earlier session made one."""
    key: Callable[[Call], str]
    look_up: Callable[[Sequence[str]], Sequence[bytes | None]]
    """The response cache's entries under some keys."""
    retry_failed: bool
    simulated: bool = False
    """Whether the run would be a rehearsal: real results do not finish its rows, nor its results a real run's."""


def estimate(
    workshop: Workshop,
    files: Sequence[Path],
    kept: Kept,
    *,
    limit: int | None,
    output: str,
    api: ApiModel,
) -> Estimate:
    """What a run over *files* would do and cost. Raises `InvalidInput` as the run itself would."""
    with tempfile.TemporaryDirectory(prefix="claudebatch-") as folder:
        connection = open_journal(Path(folder) / "plan.sqlite")
        try:
            connection.executescript("PRAGMA synchronous=OFF;" + _TABLE)
            plan = _Plan(connection, workshop, kept)
            intake = Intake(workshop, files, limit=limit)
            connection.execute("BEGIN")  # one for all: a commit for each row would take longer than the row
            report = index_rows(connection, intake.records(plan.add), limit=None)
            intake.refuse(report.twins)
            plan.flush()
            connection.execute("COMMIT")
            return _sum_up(connection, plan.finished(), workshop, output, api)
        finally:
            connection.close()


class _Plan:
    """One line per row of the input, filled in chunks."""

    def __init__(self, connection: sqlite3.Connection, workshop: Workshop, kept: Kept) -> None:
        self._connection = connection
        self._workshop = workshop
        self._kept = kept
        # Mutable: the rows of the chunk that gathers, and how many rows there were.
        self._chunk: list[tuple[int, str, Call]] = []
        self._count = 0

    def add(self, _: RowRecord, call: Call) -> None:
        """Take in the next row."""
        self._chunk.append((self._count, self._kept.key(call), call))
        self._count += 1
        if len(self._chunk) >= _CHUNK:
            self.flush()

    def flush(self) -> None:
        """Write the chunk that gathered."""
        chunk, self._chunk = self._chunk, []
        if not chunk:
            return
        found = self._kept.look_up([key for _, key, _ in chunk])
        for (position, key, call), value in zip(chunk, found, strict=True):
            new = self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount
            self._write(position, key, call, repeated=not new, cached=value is not None)

    def finished(self) -> set[int]:
        """Positions of rows whose result an earlier session holds."""
        journal = self._kept.journal
        if journal is None or not journal.exists():
            return set()
        self._connection.execute("ATTACH ? AS old", (f"{journal.absolute().as_uri()}?mode=ro",))
        noted = self._connection.execute("SELECT value FROM old.meta WHERE key = 'simulated'").fetchone()
        if noted is None or (noted[0] == "true") is not self._kept.simulated:
            return set()
        found = self._connection.execute(
            "SELECT r.position FROM rows r JOIN old.rows q ON q.id = r.id AND q.digest = r.digest"
            " WHERE EXISTS (SELECT 1 FROM old.results x WHERE x.row = q.row AND (x.ok OR NOT ?))",
            (self._kept.retry_failed,),
        )
        return {position for (position,) in found}

    def _write(self, position: int, key: str, call: Call, *, repeated: bool, cached: bool) -> None:
        cost = cost_of(call, self._workshop.prices)
        self._connection.execute(
            "INSERT INTO plan VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                position, key, repeated, cached, call.model, call.route.rule, call.size.input_tokens,
                call.size.output_tokens, cost.low, cost.expected, cost.worst, cost.known,
            ),
        )  # fmt: skip


@dataclass(slots=True)
class _Sum:
    rows: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    low: Pico = 0
    expected: Pico = 0
    worst: Pico = 0
    known: bool = True


def _sum_up(
    connection: sqlite3.Connection, finished: set[int], workshop: Workshop, output: str, api: ApiModel
) -> Estimate:
    sums: defaultdict[tuple[str, str], _Sum] = defaultdict(_Sum)
    rows = duplicates = 0
    durations = Durations(workshop.config, workshop.catalog, api)
    query = (
        "SELECT p.position, p.model, p.rule, repeated, cached, input, output, low, expected, worst, known"
        " FROM plan p JOIN rows r ON r.position = p.position ORDER BY p.position"
    )
    # Summed here and not by SQLite: its sums of 64-bit integers fail at nine million dollars.
    for position, model, rule, repeated, cached, *numbers in connection.execute(query):
        rows += 1
        if position in finished:
            continue
        line = sums[model, rule]
        line.rows += 1
        if cached:
            line.cached += 1
        elif repeated:
            duplicates += 1
        else:
            _add(line, *numbers)
            durations.add(_call(model, rule, numbers[0], numbers[1]))
    lines = tuple(
        EstimateLine(
            model, rule, s.rows, s.cached, s.input_tokens, s.output_tokens, s.low, s.expected, s.worst, s.known
        )
        for (model, rule), s in sums.items()
    )
    cap = workshop.config.budget
    longest = durations.longest()
    return Estimate(
        rows,
        len(finished),
        duplicates,
        lines,
        from_usd(cap) if cap is not None else None,
        output,
        seconds=longest.seconds if longest else 0.0,
        bound_by=longest.reason if longest else None,
        bound_pool=longest.pool if longest else None,
    )


def _call(model: str, rule: str, input_tokens: int, output_tokens: int) -> Call:
    """A row of the plan, as the pace sees it."""
    size = Size(input_tokens, input_tokens, output_tokens, output_tokens)
    return Call(0, _NO_PROMPT, Route(model, rule), model, b"", size)


def _add(line: _Sum, inputs: int, outputs: int, low: Pico, expected: Pico, worst: Pico, known: bool) -> None:
    line.input_tokens += inputs
    line.output_tokens += outputs
    line.low += low
    line.expected += expected
    line.worst += worst
    line.known = line.known and bool(known)
