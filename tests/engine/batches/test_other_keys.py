"""A batch that the API does not know: of another key's workspace its answers are waited
for, and one that was deleted is lost.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from claudebatch.clients.batch_results import BatchResult
from claudebatch.core.errors import AttemptError
from claudebatch.storage.journal import AttemptState
from tests.engine.batches.test_kept_deadlines import DAY, HOUR, MINUTE, Case, Lived, check, live
from tests.support.timed_batches import TimedBatch, TimedBatches
from tests.support.virtual import now, run_virtual


def test_with_another_key_nothing_is_given_up_and_the_right_one_collects(tmp_path: Path) -> None:
    account = TimedBatches((HOUR,))
    case = Case(90 * HOUR, 1.0, account, stop_after=MINUTE)
    notes: dict[str, Any] = {}

    async def sessions() -> tuple[float, Lived, Lived]:
        await live(case, tmp_path, notes=notes)
        account.hidden = {"msgbatch_0"}
        began = now()
        # Long after it expired: its results are kept for 29 days.
        later = replace(case, stop_after=None, asleep=(began, 2 * DAY))
        other_key = await live(later, tmp_path, notes=notes)
        account.hidden = set()
        return now() - began, other_key, await live(later, tmp_path, notes=notes)

    took_s, other_key, right_key = run_virtual(sessions())
    assert other_key.stop is not None
    assert (other_key.stop.id, other_key.live, took_s < HOUR) == ("E783", 0, True)
    assert len(account.batches) == 1, "nothing was sent again"
    check(case, right_key)


def test_with_another_key_and_past_the_deadline_it_has_an_end_as_well(tmp_path: Path) -> None:
    """A cancel that fails, again and again, is no news of a batch."""
    account = TimedBatches((2 * DAY,))
    case, notes = Case(2 * HOUR, 1.0, account, stop_after=MINUTE), dict[str, Any]()

    async def sessions() -> tuple[Lived, float]:
        await live(case, tmp_path, notes=notes)
        account.hidden, began = {"msgbatch_0"}, now()
        later = replace(case, stop_after=None, asleep=(began, 3 * HOUR))
        return await live(later, tmp_path, notes=notes), now() - began

    lived, took_s = run_virtual(sessions())
    assert lived.stop is not None
    assert (lived.stop.id, lived.live, took_s < HOUR) == ("E783", 0, True)


def test_one_that_was_deleted_among_others_is_lost(tmp_path: Path) -> None:
    account = TimedBatches((MINUTE, 2 * DAY))
    case = Case(90 * HOUR, 1.0, account, max_requests=15, stop_after=HOUR)
    notes: dict[str, Any] = {}

    async def sessions() -> Lived:
        await live(case, tmp_path, notes=notes)
        account.hidden = {"msgbatch_1"}
        later = replace(case, stop_after=None, asleep=(now(), 2 * DAY))
        return await live(later, tmp_path, notes=notes)

    lived = run_virtual(sessions())
    assert (lived.stop, "W083" in lived.said()) == (None, True)


class Unanswered(TimedBatches):
    """Its creates are made, and nobody says so; each key has an account of its own."""

    async def create(self, upload: Any, *, betas: Any = ()) -> Any:
        await super().create(upload, betas=betas)
        raise AttemptError("no answer", type="timeout", may_be_billed=True, retryable=True)


def unanswered(tmp_path: Path, mine: TimedBatches, notes: dict[str, Any], **more: Any) -> Case:
    """A run whose one create is made by *mine* and not answered; Ctrl-C ends it."""
    return Case(90 * HOUR, 1.0, mine, stop_after=1.0, **more)


def earlier(name: str, at: float = -HOUR) -> TimedBatch:
    """A batch of somebody else, from before."""
    return TimedBatch(name, ["x"], at, at + MINUTE)


@pytest.mark.parametrize("before", [True, False])
def test_with_another_key_a_create_without_an_answer_is_not_sent_again(
    tmp_path: Path, before: bool
) -> None:
    """The other workspace has batches of its own, ours had one then, or none."""
    mine = Unanswered((HOUR,), batches=[earlier("theirs")] if before else [])
    other = TimedBatches((HOUR,), batches=[earlier("others")])
    case, notes = unanswered(tmp_path, mine, {}), dict[str, Any]()

    async def sessions() -> tuple[Lived, float, Lived]:
        await live(case, tmp_path, notes=notes)
        began = now()
        other_key = await live(replace(case, stop_after=None, account=other), tmp_path, notes=notes)
        took_s = now() - began
        return other_key, took_s, await live(replace(case, stop_after=None), tmp_path, notes=notes)

    other_key, took_s, right_key = run_virtual(sessions())
    assert other_key.stop is not None
    assert (other_key.stop.id, other_key.live, len(other.batches)) == ("E784", 0, 1)
    assert took_s < HOUR
    assert len(mine.batches) == 1 + before, "nothing was sent again"
    check(case, right_key)


@pytest.mark.parametrize("before", [True, False])
def test_with_the_same_key_what_was_never_made_is_sent(tmp_path: Path, before: bool) -> None:
    account = TimedBatches((HOUR,), batches=[earlier("theirs")] if before else [])
    case = Case(90 * HOUR, 1.0, account, stop_after=1.0)
    notes: dict[str, Any] = {}

    async def lost(*_: Any, **__: Any) -> Any:
        raise AttemptError("no answer", type="timeout", may_be_billed=True, retryable=True)

    async def sessions() -> Lived:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(account, "create", lost)
            await live(case, tmp_path, notes=notes)
        account.batches.append(earlier("new", now()))
        return await live(replace(case, stop_after=None), tmp_path, notes=notes)

    lived = run_virtual(sessions())
    assert lived.stop is None
    check(case, lived)


def test_where_no_list_was_seen_a_batch_of_ours_has_to_be_in_it(tmp_path: Path) -> None:
    mine = Unanswered((HOUR,), batches=[earlier("theirs")])
    case, notes = unanswered(tmp_path, mine, {}), dict[str, Any]()

    async def no_list(*_: Any, **__: Any) -> Any:
        raise AttemptError("no answer", type="connection_error", retryable=True)

    async def sessions() -> tuple[Lived, Lived]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mine, "page", no_list)
            await live(case, tmp_path, notes=notes)
        hidden = {batch.id for batch in mine.batches}
        mine.hidden = hidden
        empty = await live(replace(case, stop_after=None), tmp_path, notes=notes)
        mine.hidden = set()
        return empty, await live(replace(case, stop_after=None), tmp_path, notes=notes)

    empty, right = run_virtual(sessions())
    assert empty.stop is not None
    assert (empty.stop.id, len(mine.batches)) == ("E784", 2)
    check(case, right)


@pytest.mark.parametrize("how", ["asked for", "29 days later"])
def test_given_up_it_counts_as_maybe_billed_and_is_sent_again(tmp_path: Path, how: str) -> None:
    mine = Unanswered((HOUR,), batches=[earlier("theirs")])
    other = TimedBatches((MINUTE,), batches=[earlier("others")])
    case, notes = unanswered(tmp_path, mine, {}), dict[str, Any]()

    async def sessions() -> Lived:
        await live(case, tmp_path, notes=notes)
        later = replace(case, stop_after=None, account=other)
        if how == "asked for":
            return await live(replace(later, retry_batches=True), tmp_path, notes=notes)
        asleep = replace(later, asleep=(now(), 30 * DAY))
        return await live(asleep, tmp_path, notes=notes)

    lived = run_virtual(sessions())
    assert (lived.stop, "W083" in lived.said()) == (None, True)
    (lost,) = unknown_of(tmp_path)
    assert lost == case.rows
    assert lived.live + other.rows_answered == case.rows, "each is sent again, once"


def unknown_of(path: Path) -> tuple[int, ...]:
    with closing(sqlite3.connect(path / "journal.sqlite")) as journal:
        return tuple(
            journal.execute(
                "SELECT count(*) FROM attempts WHERE state = ?", (AttemptState.UNKNOWN,)
            ).fetchone()
        )


class Mute(Unanswered):
    """And its results have no line."""

    mute = True

    async def results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        if self.mute:
            return
        async for result in super().results(batch_id):
            yield result


def test_a_candidate_that_has_no_results_is_neither_ours_nor_another_s(tmp_path: Path) -> None:
    account = Mute((MINUTE,))
    case, notes = unanswered(tmp_path, account, {}), dict[str, Any]()

    async def sessions() -> tuple[Lived, Lived]:
        await live(case, tmp_path, notes=notes)
        mute = await live(replace(case, stop_after=None), tmp_path, notes=notes)
        account.mute = False
        return mute, await live(replace(case, stop_after=None), tmp_path, notes=notes)

    mute, right = run_virtual(sessions())
    assert mute.stop is not None
    assert (mute.stop.id, mute.live, len(account.batches)) == ("E785", 0, 1)
    check(case, right)
