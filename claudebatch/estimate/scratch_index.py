"""The rows of an input during a dry run, in a temporary database, so that a million
rows take no memory.
"""

from __future__ import annotations

import json
import random
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from claudebatch.core.answer_form import schema_of
from claudebatch.core.domain import Call, Pico, Prompt
from claudebatch.core.errors import BadRow, ClaudebatchError
from claudebatch.core.events import Event
from claudebatch.core.jsonl import read_at
from claudebatch.core.notice import LineLeftOut, Notice
from claudebatch.core.plurals import counted
from claudebatch.estimate.cached_share import KeptBeginning, MarkedWorst, share_in_batch, share_of
from claudebatch.estimate.request_shape import CachedShare, PlannedRow, RequestShape
from claudebatch.estimate.row_costs import marked_worst, planned_row
from claudebatch.inputs import ALL_ROWS, RecordFormat, Selection, format_of, parse_line, under
from claudebatch.layers.prompt_caching.chains import ChainRows, links_of, shared_beginnings
from claudebatch.layers.prompt_caching.mark_plan import all_kept
from claudebatch.layers.response_cache.blocking import LookUp
from claudebatch.setup.input_files import InputFile
from claudebatch.setup.run_setup import RunSetup
from claudebatch.setup.shared_beginnings import beginnings_of, spacing_of
from claudebatch.setup.validate_input import Intake
from claudebatch.storage.journal import RowRecord, index_rows, open_journal

# Rows that are looked up in the response cache at once: single look-ups would take
# longer than the rest of an estimate.
_CHUNK = 500
_LEFT_OUT_SHOWN = 10
_SHAPE = "model, rule, input, output, bound, caches, searches, geo, speed"
_MARKED = "worst_minutes, worst_hour, worst_batch"
_TABLE = f"""
CREATE TEMP TABLE plan (
  position INTEGER PRIMARY KEY, repeated INTEGER, cached INTEGER, worst INTEGER,
  batch_worst INTEGER, waits INTEGER, bytes INTEGER,
  {_SHAPE}, chain BLOB, {_MARKED},
  finished INTEGER NOT NULL DEFAULT 0);
CREATE TEMP TABLE kept (digest BLOB PRIMARY KEY, ttl INTEGER, rows INTEGER) WITHOUT ROWID;
CREATE TEMP TABLE seen (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""
# By id and digest, as the run itself decides: an edited line is asked again.
_FINISHED = """
UPDATE plan SET finished = 1 WHERE position IN (
  SELECT r.position FROM rows r JOIN old.rows q ON q.id = r.id AND q.digest = r.digest
  WHERE EXISTS (SELECT 1 FROM old.results x WHERE x.row = q.row AND (x.ok NOT IN (0, 5) OR NOT ?)))
"""
_OTHERWISE = """
SELECT r.position FROM rows r JOIN old.rows q ON q.id = r.id AND q.digest = r.digest
WHERE q.key <> r.key AND q.key <> x''
  AND EXISTS (SELECT 1 FROM old.results x WHERE x.row = q.row AND x.ok)
"""
_KEEP_CHOSEN = (
    "DELETE FROM plan WHERE position NOT IN (SELECT before FROM temp.drawn)",
    # Upwards, and never above the former number: no two rows meet.
    "UPDATE plan SET position = (SELECT now FROM temp.drawn WHERE before = position)",
    # The first of two equal requests may be one that was not chosen.
    "UPDATE plan SET repeated = again FROM (SELECT position AS place, row_number() OVER"
    " (PARTITION BY key ORDER BY position) > 1 AS again FROM rows) WHERE place = plan.position",
)
_GROUPS = (
    "SELECT chain, count(*), min(position), max(position) FROM plan"
    " WHERE length(chain) > 0 AND {sent} GROUP BY chain ORDER BY chain"
)
# Rows may ask for different times of the same beginning; the longest is kept.
_KEEP = (
    "INSERT INTO kept VALUES (?,?,?) ON CONFLICT (digest) DO UPDATE"
    " SET ttl = max(ttl, excluded.ttl), rows = rows + excluded.rows"
)
# Chains whose share is known: rows of one stand near each other.
_SHARES = 1_000
_SENT = "NOT finished AND NOT cached AND NOT repeated"
_CACHED = "NOT finished AND cached AND NOT repeated"


@dataclass(frozen=True, slots=True)
class EarlierResults:
    """The results of earlier runs, read only."""

    journal: Path | None
    """This run's journal, if an earlier session made one."""
    key: Callable[[Prompt, bytes], str]
    """The response cache's key of a prompt, asked as these bytes."""
    look_up: LookUp
    """The response cache's entries for some keys."""
    retry_failed: bool
    keys_made_by: Sequence[str] = ()
    """Keys of a journal that notes something else are not comparable."""
    redo_changed: bool = False
    """Rows that were answered as another request are not finished."""
    simulated: bool = False
    """Whether the run would be a rehearsal: neither kind of results finishes rows of
    the other kind.
    """


@dataclass(frozen=True, slots=True)
class RouteTotals:
    """The number of rows of one route, and of those without a request."""

    model: str
    rule: str
    rows: int
    cached: int
    duplicates: int


class ScratchIndex:
    """The rows of some files. Made and deleted by `planned`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        run_setup: RunSetup,
        files: Sequence[InputFile],
        earlier: EarlierResults,
    ) -> None:
        self._connection = connection
        self._run_setup = run_setup
        self._files = files
        self._forms: dict[int, RecordFormat] = {}  # by the number of the file
        self._earlier = earlier
        # Mutable: the rows of the current chunk, and the number of all rows.
        self._chunk: list[tuple[int, RowRecord, PlannedRow, MarkedWorst]] = []
        self._kept = lru_cache(_SHARES)(self._look_up_kept)
        self._count = 0
        self._with_schema = False  # whether any row has one
        self.bad_rows = 0
        """Lines left out under `--on-bad-row skip`."""
        self.left_out: list[LineLeftOut] = []
        """The first of them."""
        self.asked_otherwise = 0
        """Finished rows that were answered as another request."""
        self.notices: tuple[Notice, ...] = ()
        """What was changed in the lines."""

    def _note(self, event: Event) -> None:
        if isinstance(event, LineLeftOut) and len(self.left_out) < _LEFT_OUT_SHOWN:
            self.left_out.append(event)

    def fill(self, limit: int | None, selection: Selection) -> None:
        """Read the files. Raises `InvalidInput` like the run itself."""
        intake = Intake(
            self._run_setup,
            [file.path for file in self._files],
            limit=limit,
            selection=selection,
            key=self._earlier.key,
            names=[file.name for file in self._files],
            emit=self._note,
            beginnings=beginnings_of(self._run_setup),
        )
        # One transaction: a commit for each row would take longer than the row itself.
        self._connection.execute("BEGIN")
        report = index_rows(
            self._connection, intake.records(self._add), limit=None, choice=intake.choice
        )
        intake.refuse(report.duplicates)
        intake.check_selection(report.unknown_ids)
        self._flush()
        self.bad_rows = intake.bad.count
        self.notices = (*intake.notices(), *self._of_schemas())
        if selection:
            self._keep_chosen()
        elif report.duplicates:
            self._connection.execute(
                "DELETE FROM plan WHERE position NOT IN (SELECT position FROM rows)"
            )
        self._connection.execute("COMMIT")
        self._mark_finished()
        self._share_out()

    def _share_out(self) -> None:
        """Decide which beginnings of the rows to send are kept, as the run will."""
        groups = (
            ChainRows(*group) for group in self._connection.execute(_GROUPS.format(sent=_SENT))
        )
        spacing = spacing_of(self._run_setup.settings.limits)
        self._connection.executemany(_KEEP, all_kept(shared_beginnings(groups), spacing))

    def kept_beginnings(self) -> int:
        """How many beginnings are written."""
        (count,) = self._connection.execute("SELECT count(*) FROM kept").fetchone()
        return int(count)

    def _look_up_kept(self, chain: bytes) -> list[KeptBeginning]:
        query = "SELECT ttl, rows FROM kept WHERE digest = ?"
        found = []
        for link in links_of(chain):
            row = self._connection.execute(query, (link.digest,)).fetchone()
            if row is not None:
                found.append(KeptBeginning(link.tokens, *row))
        return found

    def _keep_chosen(self) -> None:
        """Leave the chosen rows in the plan, under the numbers that they have now."""
        for statement in _KEEP_CHOSEN:
            self._connection.execute(statement)

    def _of_schemas(self) -> Iterator[Notice]:
        retries = self._run_setup.settings.schema_retries
        if self._with_schema and retries:
            more = counted(retries, "more request")
            yield Notice(
                "N070",
                f"the worst case counts {more} for each row with a schema (--schema-retries)",
            )

    def route_totals(self) -> tuple[int, int, list[RouteTotals]]:
        """The number of all rows, of finished rows, and the totals of the other rows by
        route, in the order of first rows.
        """
        rows, finished = self._connection.execute(
            "SELECT count(*), coalesce(sum(finished), 0) FROM plan"
        ).fetchone()
        routes = self._connection.execute(
            "SELECT model, rule, count(*), sum(cached), sum(repeated AND NOT cached) FROM plan "
            "WHERE NOT finished"
            " GROUP BY model, rule ORDER BY min(position)"
        )
        return rows, finished, [RouteTotals(*route) for route in routes]

    def models(self) -> dict[str, int]:
        """The number of rows to send, by model."""
        query = f"SELECT model, count(*) FROM plan WHERE {_SENT} GROUP BY model"
        return dict(self._connection.execute(query).fetchall())

    def sent(self) -> Iterator[PlannedRow]:
        """The rows to send, in order."""
        fields = f"worst, batch_worst, waits, bytes, chain, {_MARKED}, {_SHAPE}"
        query = f"SELECT {fields} FROM plan WHERE {_SENT} ORDER BY position"
        for worst, batch_worst, waits, length, chain, *more in self._connection.execute(query):
            marked, shape = MarkedWorst(*more[:3]), RequestShape(*more[3:])
            row = PlannedRow(shape, worst, batch_worst, bool(waits), length)
            kept = self._kept(chain) if chain else []
            share = share_of(kept, shape.input_estimate)
            if share is None:
                yield row
            else:
                yield row._replace(
                    share=share,
                    marked_worst=marked.of(kept, worst),
                    batch_share=share_in_batch(kept, shape),
                    batch_marked_worst=marked.batch,
                )

    def cached(self) -> Iterator[RequestShape]:
        """The shapes of rows with a cached answer, each request once."""
        for fields in self._connection.execute(f"SELECT {_SHAPE} FROM plan WHERE {_CACHED}"):
            yield RequestShape(*fields)

    def sample(
        self, most: int, rng: random.Random, *, cached: bool = False
    ) -> dict[str, list[int]]:
        """Sorted positions of at most *most* random rows of each model, of those to
        send or of those *cached*.
        """
        # Reservoir sampling: one pass, and no more than the sample in memory.
        samples: defaultdict[str, list[int]] = defaultdict(list)
        seen: defaultdict[str, int] = defaultdict(int)
        query = f"SELECT position, model FROM plan WHERE {_CACHED if cached else _SENT}"
        for position, model in self._connection.execute(query):
            sample = samples[model]
            seen[model] += 1
            if len(sample) < most:
                sample.append(position)
            elif (place := rng.randrange(seen[model])) < most:
                sample[place] = position
        return {model: sorted(positions) for model, positions in samples.items()}

    def positions(self) -> Iterator[int]:
        """Those of all rows."""
        query = "SELECT position FROM plan ORDER BY position"
        return (position for (position,) in self._connection.execute(query))

    def calls(self, positions: Iterable[int]) -> Iterator[Call]:
        """The calls of some rows, read again from the files; without rows that have
        changed meanwhile.
        """
        query = "SELECT source, line, offset, length, digest, id FROM rows WHERE position = ?"
        for position in positions:
            source, line, offset, length, digest, name = self._connection.execute(
                query, (position,)
            ).fetchone()
            call = self._call(source, line, offset, length, name)
            if call is not None and call.prompt.digest == digest:
                yield call

    def calls_with_shares(
        self, positions: Iterable[int]
    ) -> Iterator[tuple[Call, CachedShare | None]]:
        """The same, with what the prompt cache writes and reads of each."""
        query = "SELECT chain FROM plan WHERE position = ?"
        for position in positions:
            (chain,) = self._connection.execute(query, (position,)).fetchone()
            for call in self.calls((position,)):
                yield call, share_of(self._kept(chain), call.size.input_tokens)

    def _call(self, source: int, line: int, offset: int, length: int, id: str) -> Call | None:
        (path, name), defaults = self._files[source], self._run_setup.defaults
        try:
            form = self._forms.get(source)
            if form is None:
                form = self._forms[source] = format_of(path, defaults, name=name)
            with path.open("rb") as file:
                data = read_at(file.fileno(), offset, length)
            prompt = parse_line(data, defaults, file=name, line=line, form=form)
        # The file may change while it is read a second time: a row less in the sample
        # is better than no estimate.
        except (BadRow, ClaudebatchError, OSError):
            return None
        return self._run_setup.builder.first(0, under(prompt, id))

    def _add(self, record: RowRecord, call: Call) -> None:
        self._with_schema |= schema_of(call.prompt.params) is not None
        # Not the call: five hundred bodies may be gigabytes of images.
        row = planned_row(self._run_setup, call)
        marked = MarkedWorst()
        # Of rows without marks of their own, whose worst case has none.
        if record.chain and not row.shape.caches:
            marked = MarkedWorst(*marked_worst(self._run_setup, call))
        self._chunk.append((self._count, record, row, marked))
        self._count += 1
        if len(self._chunk) >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        chunk, self._chunk = self._chunk, []
        if not chunk:
            return
        entries = self._earlier.look_up([record.key.hex() for _, record, _, _ in chunk])
        for (position, record, row, marked), value in zip(chunk, entries, strict=True):
            key = record.key.hex()
            # A request that was seen before is free: the run shares the first one's
            # answer.
            new = self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount
            fate = (not new, value is not None)
            self._write(position, row, fate, (record.chain, *marked))

    def _write(
        self,
        position: int,
        row: PlannedRow,
        fate: tuple[bool, bool],
        shared: tuple[bytes | Pico | None, ...],
    ) -> None:
        """*fate*: whether it repeats another row, and is cached; *shared*: its chain,
        and its worst cases with marks.
        """
        shape = row.shape
        self._connection.execute(
            "INSERT INTO plan VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,0)",
            (
                position,
                *fate,
                row.worst,
                row.batch_worst,
                row.waits,
                row.request_bytes,
                shape.model,
                shape.rule,
                shape.input_estimate,
                shape.output_estimate,
                shape.output_bound,
                shape.caches,
                shape.searches,
                shape.geo,
                shape.speed,
                *shared,
            ),
        )

    def _mark_finished(self) -> None:
        """Mark the rows with a result of an earlier session."""
        journal = self._earlier.journal
        if journal is None or not journal.exists():
            return
        self._connection.execute("ATTACH ? AS old", (f"{journal.absolute().as_uri()}?mode=ro",))
        noted = self._connection.execute(
            "SELECT value FROM old.meta WHERE key = 'simulated'"
        ).fetchone()
        # Answers of a rehearsal finish no rows of a real run, nor the reverse.
        if noted is not None and (noted[0] == "true") is self._earlier.simulated:
            self._connection.execute(_FINISHED, (self._earlier.retry_failed,))
            self._find_otherwise()

    def _find_otherwise(self) -> None:
        made_by = self._connection.execute(
            "SELECT value FROM old.meta WHERE key = 'keys_made_by'"
        ).fetchone()
        if made_by is None or json.loads(made_by[0]) != list(self._earlier.keys_made_by):
            return
        found = self._connection.execute(_OTHERWISE).fetchall()
        if self._earlier.redo_changed:
            self._connection.executemany("UPDATE plan SET finished = 0 WHERE position = ?", found)
        else:
            self.asked_otherwise = len(found)


@contextmanager
def planned(
    run_setup: RunSetup,
    files: Sequence[InputFile],
    earlier: EarlierResults,
    *,
    limit: int | None,
    selection: Selection = ALL_ROWS,
) -> Iterator[ScratchIndex]:
    """The index of *files*. Raises `InvalidInput` like the run itself."""
    with tempfile.TemporaryDirectory(prefix="claudebatch-") as folder:
        connection = open_journal(Path(folder) / "plan.sqlite")
        try:
            # Thrown away in the end: an fsync would only cost time.
            connection.executescript("PRAGMA synchronous=OFF;" + _TABLE)
            plan = ScratchIndex(connection, run_setup, files, earlier)
            plan.fill(limit, selection)
            yield plan
        finally:
            connection.close()
