"""A run's hand in shared caps: what is taken on disk always covers what is in flight,
and nobody sits on money.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.domain import Hold
from claudebatch.core.errors import BudgetExhausted, Draining, JournalFailed
from claudebatch.core.events import CapUsed
from claudebatch.core.notice import Notice
from claudebatch.core.shared_cap import SharedCap
from tests.support.budget_stores import DAY, NEXT, Run, attempt, cap
from tests.support.cancellation import cuts
from tests.support.virtual import now, settled, virtual

DAY_BEFORE = "2026-11-29"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "spend.sqlite"


@virtual
async def test_a_hold_is_on_disk_before_it_is_granted(ledger):
    run = Run(ledger, "me", cap(1000))
    hold = await run.budget_store.hold(300, 300)
    assert run.in_file() >= 300
    assert (hold.day, hold.amount, hold.worst) == (DAY, 300, 300)
    await run.settle(hold, 100)
    await run.close()
    assert (run.in_file(), run.in_file("spent", "spend")) == (0, 100)


@virtual
async def test_most_holds_are_drawn_without_a_transaction(ledger):
    run, takes = Run(ledger, "me", cap(10_000_000)), 0
    take = run.book.take

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal takes
        takes += 1
        return take(*arguments, **named)

    run.book.take = counted  # type: ignore[method-assign]
    for _ in range(20):
        await asyncio.gather(*(attempt(run, 100, 10) for _ in range(64)))
    assert takes <= 20, "1,280 holds"
    await run.close()


@virtual
async def test_one_that_can_never_fit_is_refused_with_the_cap_that_is_full(ledger):
    tagged = SharedCap("tag x per month", 500, "month", None, "budget.tags.x")
    run = Run(ledger, "me", cap(100_000), tagged)
    await attempt(run, 400, 400)
    with pytest.raises(BudgetExhausted) as refused:
        await run.budget_store.hold(101, 101)
    error = refused.value
    assert (error.cap, error.left, error.limit, error.needed) == ("tag x per month", 100, 500, 501)
    assert "and $0.0000000001 of the cap of the tag x per month is left" in str(error)
    assert error.fix == "raise budget.tags.x in the configuration or run it again next month"
    await attempt(run, 100, 100)
    await run.close()
    assert run.budget_store._own.held == 0


@virtual
async def test_a_cap_that_was_lowered_below_what_is_spent_is_told_as_passed(ledger):
    before = Run(ledger, "before", cap(1000))
    await attempt(before, 900, 900)
    await before.close()
    run = Run(ledger, "me", cap(500))
    with pytest.raises(
        BudgetExhausted, match=r"and the cap of the day is passed already, by \$0\.0000000004$"
    ):
        await run.budget_store.hold(1, 1)
    await run.close()


@virtual
async def test_one_that_others_are_in_the_way_of_waits_until_they_give_back(ledger):
    first, second = Run(ledger, "first", cap(1000)), Run(ledger, "second", cap(1000))
    order: list[str] = []
    taken = asyncio.Event()

    async def hog() -> None:
        hold = await first.budget_store.hold(900, 900)
        taken.set()
        await second.looked.wait()
        await first.settle(hold, 50)
        order.append("first ended")
        await first.close()

    async def waits() -> None:
        await taken.wait()
        hold = await second.budget_store.hold(600, 600)
        order.append("second went")
        await second.settle(hold, 600)
        await second.close()

    await asyncio.gather(hog(), waits())
    assert order == ["first ended", "second went"]
    assert second.dead and second.dead[0] == ["first"], "it looked whether the first one had died"


@virtual
async def test_who_waits_for_what_others_have_reserved_is_told_once_after_five_seconds(ledger):
    first, second = Run(ledger, "first", cap(1000)), Run(ledger, "second", cap(1000))
    hold = await first.budget_store.hold(900, 900)
    waits = asyncio.ensure_future(second.budget_store.hold(600, 600))
    while not notices(second):
        assert len(second.dead) < 9
        second.looked.clear()
        await second.looked.wait()
    assert [notice.id for notice in notices(second)] == ["N063"] and now() >= 5
    assert "other runs have reserved the rest of the cap" in notices(second)[0].text
    await first.settle(hold, 50)
    await first.close()
    await second.settle(await waits, 600)
    await second.close()
    assert len(notices(second)) == 1 and not notices(first)


def notices(run: Run) -> list[Notice]:
    return [event for event in run.events if isinstance(event, Notice)]


@virtual
async def test_two_that_wait_for_each_other_give_back_what_they_do_not_use(ledger):
    # Each keeps 300 of what it took, and both want 700.
    runs = [Run(ledger, name, cap(1000)) for name in ("a", "b")]
    for run in runs:
        hold = await run.budget_store.hold(300, 300)
        await run.settle(hold, 10)
    await asyncio.gather(*(attempt(run, 700, 5) for run in runs))
    for run in runs:
        await run.close()
    assert [run.in_file("spent", "spend") for run in runs] == [15, 15]


@virtual
async def test_a_hold_counts_for_the_day_on_which_it_was_taken_and_so_does_its_cost(ledger):
    run = Run(ledger, "me", cap(1000))
    old = await run.budget_store.hold(800, 800)
    run.day = NEXT
    new = await run.budget_store.hold(900, 900)
    assert (old.day, new.day) == (DAY, NEXT)
    await run.settle(old, 700)
    await run.settle(new, 600)
    with pytest.raises(BudgetExhausted):
        await run.budget_store.hold(401, 401)
    await run.close()
    assert (run.in_file("spent", "spend"), run.in_file("spent", "spend", NEXT)) == (700, 600)


@pytest.mark.parametrize(
    "jumps",
    [[(3, NEXT)], [(3, DAY_BEFORE)], [(3, NEXT), (6, DAY)], [(20, NEXT)]],
    ids=["a day forward", "a day back", "forward and back", "near the end"],
)
@virtual
async def test_after_a_clock_jump_nobody_waits_for_money_that_nothing_in_flight_brings(
    ledger, jumps
):
    rng, run = random.Random(1), Run(ledger, "me", cap(5000), cap(9000, "month"))
    settled_at, refused_at = 0.0, []

    async def work() -> None:
        nonlocal settled_at
        for _ in range(60):
            worst = rng.randrange(50, 200)
            try:
                hold = await run.budget_store.hold(worst, worst)
            except BudgetExhausted:
                refused_at.append(now())
                continue
            await asyncio.sleep(rng.uniform(0.5, 1.5))
            await run.settle(hold, rng.randrange(10, worst))
            settled_at = now()

    async def jump() -> None:
        for at, day in jumps:
            await asyncio.sleep(at - now())
            run.day = day

    await asyncio.gather(jump(), *(work() for _ in range(8)))
    assert refused_at and max(refused_at) <= settled_at + 0.1
    await run.close()


@virtual
async def test_what_is_left_of_a_day_that_is_over_is_given_back(ledger):
    run = Run(ledger, "me", cap(100_000))
    await attempt(run, 100, 10)
    assert run.in_file() > 100
    run.day = NEXT
    await attempt(run, 100, 10)
    await run.flush()
    assert run.in_file() == 0
    await run.close()


@virtual
async def test_a_drain_ends_the_wait_for_money(ledger):
    first, second = Run(ledger, "first", cap(1000)), Run(ledger, "second", cap(1000))
    hold = await first.budget_store.hold(900, 900)
    waiting = asyncio.ensure_future(second.budget_store.hold(600, 600))
    await asyncio.sleep(5)
    second.drain.start("stop")
    with pytest.raises(Draining):
        await waiting
    await first.settle(hold, 0)
    for run in (first, second):
        await run.close()
    assert second.budget_store._own.held == 0


@virtual
async def test_called_off_at_any_wait_nothing_stays_drawn(ledger, tmp_path):
    tried = 0
    for number, cut in enumerate(cuts()):
        run = Run(tmp_path / f"{number}.sqlite", "me", cap(1000))
        other = await run.budget_store.hold(600, 600)

        async def ends(run: Run = run, other: Hold = other) -> None:
            await asyncio.sleep(1)
            await run.settle(other, 100)

        ending = asyncio.ensure_future(ends())
        result = await cut.run(attempt(run, 700, 0))
        if isinstance(result, asyncio.CancelledError):
            tried += 1
        await ending
        # In flight when it was called off: this test's own loss, which a layer would
        # have forfeited.
        await settled()
        free, lost = run.budget_store._allotment.of(DAY)
        assert lost in (0, 700) and run.budget_store._own.held == lost
        assert run.in_file() >= free + lost
        await run.flush()
        await attempt(run, 900 - lost, 0)
        await run.close()
    assert tried >= 2


@virtual
async def test_a_ledger_that_cannot_be_written_stops_the_run_and_nobody_waits_for_ever(ledger):
    run = Run(ledger, "me", cap(1000))
    run.book._connection.close()
    ends = await asyncio.gather(
        *(run.budget_store.hold(10, 10) for _ in range(5)), return_exceptions=True
    )
    assert {type(end) for end in ends} == {JournalFailed}
    with pytest.raises(JournalFailed, match="cannot be kept") as caught:
        await run.budget_store.hold(10, 10)
    assert caught.value.id == "E709"
    assert run.budget_store._own.held == 0


@virtual
async def test_how_a_cap_stands_is_told_with_what_the_ledger_has_yet_to_hear_of(ledger):
    run = Run(ledger, "me", cap(1000))
    await run.budget_store.begin()
    await attempt(run, 100, 40)
    await attempt(run, 900, 30)
    told = [event for event in run.events if isinstance(event, CapUsed)]
    assert told[0] == CapUsed("day", 1000, 0)
    assert told[-1] == CapUsed("day", 1000, 40)
    assert run.in_file("spent", "spend") in (0, 40)
    await run.close()


@pytest.mark.parametrize("seed", range(3))
@virtual
async def test_several_runs_never_pass_the_cap_together_and_use_it_up(ledger, seed):
    rng, limit = random.Random(seed), 20_000
    runs = [Run(ledger, f"run {n}", cap(limit), cap(limit * 2, "month")) for n in range(4)]
    refused = bill = 0
    largest = 0

    def check() -> None:
        connection = sqlite3.connect(ledger)
        spent, held = (connection.execute(q).fetchone()[0] or 0 for q in
                       ("SELECT sum(spent) FROM spend", "SELECT sum(amount) FROM "
                                                        "holds"))  # fmt: skip
        connection.close()
        drawn = sum(run.budget_store._allotment.of(DAY)[1] for run in runs)
        assert bill + drawn <= spent + held <= limit

    async def work(run: Run) -> None:
        nonlocal refused, bill, largest
        for _ in range(60):
            worst = rng.randrange(1, 400)
            try:
                hold = await run.budget_store.hold(worst, worst)
            except BudgetExhausted:
                refused, largest = refused + 1, max(largest, worst)
                continue
            check()
            await asyncio.sleep(rng.random())
            cost = rng.choice([0, worst, rng.randrange(worst + 1)])
            bill += cost
            await run.settle(hold, cost)
            if rng.random() < 0.05:
                await run.flush()

    await asyncio.gather(*(work(run) for run in runs for _ in range(5)))
    for run in runs:
        await run.close()
    assert refused and limit - 400 < bill <= limit
    assert sum(run.in_file("spent", "spend") for run in runs) == bill
