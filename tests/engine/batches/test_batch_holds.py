"""The money of a batch: by the day on which it was set aside."""

from __future__ import annotations

from pathlib import Path

import pytest

from claudebatch.engine.batches.holds import BatchHolds
from tests.support.budget_stores import DAY, NEXT, Run, cap
from tests.support.virtual import virtual


@virtual
async def test_a_batch_built_over_midnight_is_settled_day_by_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one day has left over must not pay for another one: their caps differ."""
    # Virtual time does not wait for the thread of the store.
    monkeypatch.setattr("claudebatch.engine.batches.holds._PATIENCE_S", None)
    run = Run(tmp_path / "spend.sqlite", "me", cap(1000))
    holds = BatchHolds(run)
    first = await holds.take(1, 600, rows=2)
    run.day = NEXT
    second = await holds.take(1, 600, rows=2)
    assert first is not None
    assert second is not None
    for hold, cost in ((first, 500), (second, 100)):
        run._unwritten.append((hold.day, cost))
        holds.spent(1, cost, hold.day)
    assert holds.held(1) == 600
    await run.flush()
    for hold in list(holds._holds[1]):
        assert hold.day in (DAY, NEXT)
    # Straight to the store: the run's own writer has written the costs.
    straight = BatchHolds(run.budget_store)
    straight._holds, straight._gone = holds._holds, holds._gone
    await straight.end(1)
    for day in (DAY, NEXT):
        assert run.budget_store._allotment.of(day)[0] >= 0, f"{day} owes another one"
    assert run.budget_store._allotment.of(NEXT)[0] == 500
    await run.close()
    assert run.in_file("spent", "spend") == 500
    assert run.in_file("spent", "spend", NEXT) == 100
    assert run.in_file() == run.in_file(day=NEXT) == 0
