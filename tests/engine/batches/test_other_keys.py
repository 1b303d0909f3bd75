"""A batch that the API does not know: of another key's workspace its answers are waited
for, and one that was deleted is lost.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.engine.batches.test_kept_deadlines import DAY, HOUR, MINUTE, Case, Lived, check, live
from tests.support.timed_batches import TimedBatches
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
