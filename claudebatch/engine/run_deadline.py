"""The deadline of a run: its moment, which lasts as long as the run, and the plan of a
session for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from claudebatch.core.asked_time import AskedTime
from claudebatch.core.clock_text import clock_text
from claudebatch.core.domain import Call, Pico, RowKind
from claudebatch.core.errors import CommandRefused
from claudebatch.core.notice import Notice
from claudebatch.core.reports import DeadlinePlan
from claudebatch.engine.batches.deadline_keeper import DeadlineKeeper
from claudebatch.layers.prompt_caching.chains import ChainRows, links_of, shared_beginnings
from claudebatch.layers.prompt_caching.mark_plan import Spacing, all_kept
from claudebatch.setup.row_sizes import size_of, sized_call
from claudebatch.storage.journal.beginnings import row_groups
from claudebatch.storage.journal.planned_rows import (
    RowToPlan,
    begin_plan,
    look_up_kept,
    note_kept,
    note_planned,
    note_sizes,
    rows_to_plan,
    send_all_now,
    send_now,
)
from claudebatch.storage.journal.queries import totals

if TYPE_CHECKING:
    from claudebatch.engine.batches.parts import BatchParts
    from claudebatch.storage.run_folder import RunFolder

DEADLINE_NOTE = "deadline"
"""In a run's folder: the moment, as its first session has found it."""
_CHUNK = 500
_BEFORE_ALL = -1


class RowPlanner(Protocol):
    """Plans rows that it is shown one by one."""

    def add(
        self, call: Call, *, in_batch: bool, kept: Sequence[tuple[int, int, int]]
    ) -> tuple[int, float, RowKind]:
        """Take in the next row; returns the number of its part of the plan, its weight
        in it, and its kind. *kept*: tokens, seconds and rows of each of its beginnings
        that the API is to keep, the shortest first.
        """
        ...

    def plan(self, deadline_s: float, *, left: Pico | None) -> DeadlinePlan | None:
        """The plan; *left*: dollars that may still be spent. None: a price is not
        known.
        """
        ...


@dataclass(frozen=True, slots=True)
class AskedDeadline:
    """A deadline as the command asks for it."""

    time: AskedTime
    began_ms: int
    """When the command began, which they count from."""
    planner: Callable[[], RowPlanner]
    anyhow: bool
    """Begin also where it cannot be met."""
    spacing: Spacing | None = None
    """How rows of one beginning follow each other, where the API is to keep those."""


async def keep_deadline(
    asked: AskedDeadline, parts: BatchParts, folder: RunFolder, *, cap: Pico | None
) -> DeadlineKeeper:
    """Plan the rows that are left, and choose their roads. Raises `CommandRefused`
    where nothing can meet the deadline; then nothing was sent.
    """
    moment_ms, kept = await parts.journal.read(lambda _: _moment(asked, folder))
    if asked.time.at_ms is not None and not kept and moment_ms <= parts.wall_ms():
        raise CommandRefused("E845", f"{asked.time.words} has passed", fix="choose a later moment")
    planner = asked.planner()
    await _show_rows(planner, parts, asked.spacing)
    spent = await parts.journal.read(totals)
    used = spent.spent + spent.unknown + spent.in_batches
    left = None if cap is None else max(0, cap - used)
    # The first session plans by what was asked for, as a dry run does.
    seconds = (moment_ms - parts.wall_ms()) / 1000 if kept else asked.time.seconds
    plan = planner.plan(max(0.0, seconds), left=left)
    if plan is None:
        raise CommandRefused(
            "E841",
            "the deadline cannot be planned for: no price is known for a model of these rows",
            fix="add it under prices: in the configuration, or choose --batch or --via live",
        )
    if plan.late and not kept and not asked.anyhow:
        raise CommandRefused(
            "E842",
            f"the deadline cannot be met: not even all rows at once make it, they take about "
            f"{_duration(plan.live_s)}",
            fix="choose a later one, or add --yes: then all rows are sent at once, and some are "
            "late",
        )
    # Not before: a deadline that was refused must not count from then.
    await parts.journal.read(lambda _: _note(asked, folder, moment_ms))
    if kept:
        _tell_kept(parts, plan, moment_ms)
    await _choose_roads(plan, parts)
    keeper = DeadlineKeeper(parts, plan, deadline_ms=moment_ms)
    await keeper.begin()
    return keeper


def forget_deadline(folder: RunFolder) -> None:
    """Nothing is left to be done: the next deadline of this run is another one."""
    if folder.meta(DEADLINE_NOTE) is not None:
        folder.note(**{DEADLINE_NOTE: None})


def kept_moment(noted: Any, asked: AskedTime) -> int | None:
    """The moment, in Unix milliseconds, that an earlier session has *noted* for the
    deadline *asked* for; None where it is a new one.
    """
    # The same words again are the same command, taken up: hours that have passed since
    # its first start are gone.
    if not isinstance(noted, dict) or noted.get("words", "") != asked.words:
        return None
    known = asked.words or noted.get("seconds") == asked.seconds
    return noted.get("at_ms") if known else None


def _moment(asked: AskedDeadline, folder: RunFolder) -> tuple[int, bool]:
    """The moment of the deadline, and whether it is that of an earlier session."""
    kept = kept_moment(folder.meta(DEADLINE_NOTE), asked.time)
    if kept is not None:
        return kept, True
    if asked.time.at_ms is not None:
        return asked.time.at_ms, False
    return asked.began_ms + round(asked.time.seconds * 1000), False


def _note(asked: AskedDeadline, folder: RunFolder, moment_ms: int) -> None:
    time = asked.time
    noted = {"seconds": time.seconds, "words": time.words, "at_ms": moment_ms}
    folder.note(**{DEADLINE_NOTE: noted})


async def _show_rows(planner: RowPlanner, parts: BatchParts, spacing: Spacing | None) -> None:
    await parts.journal.read(begin_plan)
    if spacing is not None:
        await parts.journal.read(partial(_note_kept, spacing=spacing))
    for lane in parts.lanes:
        after: int | None = _BEFORE_ALL
        while after is not None:
            parts.drain.check()
            some, after = await parts.journal.read(
                partial(rows_to_plan, wanted=parts.wanted, lane=lane, after=after, count=_CHUNK)
            )
            await _show_some(planner, parts, some)


def _note_kept(journal: sqlite3.Connection, *, spacing: Spacing) -> None:
    """Which beginnings are kept, as the marks of this session are decided."""
    groups = (ChainRows(*group) for group in row_groups(journal))
    note_kept(journal, all_kept(shared_beginnings(groups), spacing))


async def _show_some(planner: RowPlanner, parts: BatchParts, some: list[RowToPlan]) -> None:
    noted: list[tuple[int, int, float]] = []
    live: list[int] = []
    links = {row.ref.row: links_of(row.chain) for row in some if row.chain}
    digests = {link.digest for found in links.values() for link in found}
    known = await parts.journal.read(partial(look_up_kept, digests=digests)) if digests else {}
    calls = await _calls(parts, some)
    for row in some:
        call = calls[row.ref.row]
        if call is None:
            # Edited since the check: whoever sends it finds that out, too.
            continue
        kept = [
            (link.tokens, *known[link.digest])
            for link in links.get(row.ref.row, ())
            if link.digest in known
        ]
        part, weight, kind = planner.add(call, in_batch=row.in_batch, kept=kept)
        noted.append((row.ref.row, part, weight))
        if kind == "at once":
            live.append(row.ref.row)
    await parts.journal.read(partial(note_planned, rows=noted, live=live))


async def _calls(parts: BatchParts, some: list[RowToPlan]) -> dict[int, Call | None]:
    """The calls of *some*, by row: of the index, where it has their sizes."""
    found: dict[int, Call | None] = {
        row.ref.row: sized_call(row.size, row.ref.row, row.model, row.rule)
        for row in some
        if row.size
    }
    # Checked by a session without a deadline: read once more, and never again.
    unsized = [row for row in some if not row.size]
    lines = parts.rows.lines([row.ref for row in unsized])
    sizes: list[tuple[bytes, int]] = []
    for row, line in zip(unsized, lines, strict=True):
        data = line if line is not None else parts.rows.line(row.ref)
        call = found[row.ref.row] = parts.rows.call(row.ref, data)
        if call is not None:
            sizes.append((size_of(call), row.ref.row))
    if sizes:
        await parts.journal.read(partial(note_sizes, sizes=sizes))
    return found


async def _choose_roads(plan: DeadlinePlan, parts: BatchParts) -> None:
    free = [(n, part) for n, part in enumerate(plan.parts) if part.kind == "waits"]
    if not any(part.batch_rows for _, part in free):
        # Rows that turn up later go with the others.
        await parts.journal.read(send_all_now)
    for number, part in free:
        if part.live_rows:
            await parts.journal.read(
                partial(send_now, part=number, rows=part.live_rows, of=part.rows)
            )


def _tell_kept(parts: BatchParts, plan: DeadlinePlan, moment_ms: int) -> None:
    moment = clock_text(moment_ms)
    passed = parts.wall_ms() >= moment_ms
    if passed:
        text = f"the deadline of this run was {moment}, and has passed"
    else:
        text = f"the deadline of this run is {moment}, counted from its first start"
    # The user may have meant six hours from now.
    parts.emit(Notice("N116", f"{text}; another --deadline counts from now"))
    if plan.late and plan.parts and not passed:
        parts.emit(
            Notice(
                "W117",
                f"not even all at once makes the deadline: what is left takes about "
                f"{_duration(plan.live_s)}, and is sent at once",
            )
        )


def _duration(seconds: float) -> str:
    """Rounded up to minutes, or seconds where it is short."""
    # Up: a deadline that is taken from this text must be enough.
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    minutes = -(-int(seconds) // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
