"""Lines that cannot be read, clocks that are set, lists that are cut: none of them
makes a batch of ours another's, or lost, and its rows be paid for twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from claudebatch.clients.batch_protocol import BatchClient, all_pages
from claudebatch.clients.batch_records import Batch, BatchPage
from claudebatch.clients.batch_results import BatchResult
from claudebatch.clients.batch_upload import BatchUpload
from claudebatch.core.notice import Notice
from claudebatch.engine.batches.parts import AccountQueue, BatchParts
from claudebatch.engine.batches.queue_room import QueueRoom
from tests.engine.batches.test_kept_deadlines import (
    BATCH,
    DAY,
    HOUR,
    MINUTE,
    Case,
    Lived,
    check,
    live,
)
from tests.engine.batches.test_other_keys import Unanswered, earlier, unanswered
from tests.support.timed_batches import EPOCH, TimedBatch, TimedBatches
from tests.support.virtual import now, run_virtual

UNREADABLE = BatchResult(custom_id="", kind="unknown", type="", line=b"}")


async def garbled(results: AsyncGenerator[BatchResult, None]) -> AsyncGenerator[BatchResult, None]:
    """*results*, with lines between them that cannot be read."""
    async with aclosing(results):
        async for result in results:
            yield UNREADABLE
            yield result


class Garbled(Unanswered):
    """Nobody says that a batch was made, and its first line is broken."""

    async def results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        async for result in garbled(super().results(batch_id)):
            yield result


def test_a_line_that_cannot_be_read_proves_no_batch_another_s(tmp_path: Path) -> None:
    account = Garbled((MINUTE,))
    case, notes = unanswered(tmp_path, account, {}), dict[str, Any]()

    async def sessions() -> Lived:
        await live(case, tmp_path, notes=notes)
        return await live(replace(case, stop_after=None), tmp_path, notes=notes)

    check(case, run_virtual(sessions()))
    assert len(account.batches) == 1, "nothing was sent again"


@dataclass
class Twice(TimedBatches):
    """Every create makes two batches; of the second one's results so many lines are
    told.
    """

    told: int = 10**6
    garbled: bool = False

    async def create(self, upload: BatchUpload, *, betas: Sequence[str] = ()) -> Batch:
        made = await super().create(upload, betas=betas)
        first = self.batches[-1]
        twin = TimedBatch(f"{first.id}_twin", first.custom_ids, first.created + 60, first.ends)
        # Either of the two may be the one that is answered for.
        self.batches.insert(-1, twin)
        return made

    async def results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        results = super().results(batch_id)
        number = 0
        async for result in garbled(results) if self.garbled else results:
            if batch_id.endswith("_twin") and number >= self.told:
                return
            number += 1
            yield result


def booked(path: Path) -> list[tuple[int, int]]:
    """(rows, pico-dollars) that are written down, of first and second batches."""
    with closing(sqlite3.connect(path / "journal.sqlite")) as journal:
        return journal.execute(
            "SELECT count(*), sum(cost) FROM attempts GROUP BY error = 'sent twice'"
            " ORDER BY error = 'sent twice'"
        ).fetchall()


@pytest.mark.parametrize("garbled", [False, True])
def test_of_a_second_batch_every_readable_line_is_booked(tmp_path: Path, garbled: bool) -> None:
    case = Case(90 * HOUR, 1.0, Twice((HOUR,), garbled=garbled), rows=7)
    lived = run_virtual(live(case, tmp_path))
    assert "W121" in lived.said()
    assert booked(tmp_path) == [(7, 7 * BATCH)] * 2


def test_a_second_batch_without_a_line_is_nobody_s_and_one_that_is_cut_is_booked_later(
    tmp_path: Path,
) -> None:
    account = Twice((HOUR,), told=0)
    case, notes = Case(90 * HOUR, 1.0, account, rows=7), dict[str, Any]()

    async def sessions() -> list[int]:
        found = list[int]()
        # Another look is taken where another batch was collected.
        for told, rows in ((0, 7), (5, 8), (10**6, 9)):
            account.told = told
            lived = await live(replace(case, rows=rows), tmp_path, notes=notes)
            said = [event.text for event in lived.events if isinstance(event, Notice)]
            assert not any(" 0 rows again" in text for text in said)
            found += [again for _, again in booked(tmp_path)[1:]]
        return found

    # Of seven rows none, five, all; and of the later batches of one row each.
    assert run_virtual(sessions()) == [6 * BATCH, 9 * BATCH]


@dataclass
class Dated(Unanswered):
    """Its lists tell the server's clock, which nobody sets."""

    made: bool = False

    async def create(self, upload: BatchUpload, *, betas: Sequence[str] = ()) -> Batch:
        return await (TimedBatches.create if self.made else Unanswered.create)(
            self, upload, betas=betas
        )

    async def page(self, *, limit: int = 100, after_id: str | None = None) -> BatchPage:
        page = await super().page(limit=limit, after_id=after_id)
        return replace(page, server_time=EPOCH + timedelta(seconds=now()))


@pytest.mark.parametrize("made", [True, False])
def test_a_clock_that_is_a_month_ahead_makes_no_batch_lost(tmp_path: Path, made: bool) -> None:
    mine = Dated((HOUR,), batches=[earlier("theirs")], made=made)
    other = Dated((HOUR,), batches=[earlier("others")])
    case, notes = unanswered(tmp_path, mine, {}), dict[str, Any]()

    async def sessions() -> tuple[Lived, Lived]:
        await live(case, tmp_path, notes=notes)
        later = replace(case, stop_after=None, asleep=(now(), 40 * DAY))
        other_key = await live(replace(later, account=other), tmp_path, notes=notes)
        return other_key, await live(replace(case, stop_after=None), tmp_path, notes=notes)

    other_key, right_key = run_virtual(sessions())
    assert other_key.stop is not None
    assert other_key.stop.id == ("E783" if made else "E784")
    assert (len(mine.batches), len(other.batches)) == (2, 1), "nothing was sent again"
    check(case, right_key)


async def test_the_skew_of_clocks_is_that_of_the_moment_it_is_asked_for() -> None:
    clocks = {"now": 0.0, "wall": EPOCH - timedelta(hours=8)}

    async def page(**_: Any) -> BatchPage:
        return BatchPage((), has_more=False, last_id=None, server_time=EPOCH)

    async def read(query: Any) -> Any:
        return query(None)

    parts = SimpleNamespace(
        now=lambda: clocks["now"],
        wall=lambda: clocks["wall"],
        wall_ms=lambda: round(clocks["wall"].timestamp() * 1000),
        journal=SimpleNamespace(read=read),
        queue=AccountQueue(most=10, most_own=10, elsewhere=dict),
    )
    room = QueueRoom(cast(BatchParts, parts))
    assert room.skew_ms is None
    await room.look(cast(BatchClient, SimpleNamespace(page=page)), [])
    assert room.skew_ms == 8 * 3_600_000
    # A machine that slept and has just been told what time it is.
    clocks.update(now=20.0, wall=EPOCH + timedelta(seconds=20))
    assert room.skew_ms == 0


async def test_a_list_that_does_not_go_on_has_an_end() -> None:
    asked: list[str | None] = []

    async def page(*, limit: int, after_id: str | None = None) -> BatchPage:
        asked.append(after_id)
        return BatchPage((), has_more=True, last_id="the same", server_time=None)

    client = cast(BatchClient, SimpleNamespace(page=page))
    assert len([found async for found in all_pages(client)]) == 2
    assert asked == [None, "the same"]
