"""Budget: each attempt's worst case is set aside before anything else, and becomes
exactly what it cost.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AccountRefused, BudgetExhausted, Draining
from claudebatch.core.events import Event, Waiting
from claudebatch.layers.budget.layer import Budget
from tests.support.cancellation import cuts
from tests.support.scripted import (
    HAIKU,
    ScriptedClient,
    WatchedBudget,
    bad_request,
    make_call,
    make_reply,
    overloaded,
    rate_limited,
    timed_out,
)
from tests.support.virtual import cancelled, now, settled, virtual

WORST = 100


def layer(budget_store: WatchedBudget, worst: int = WORST) -> Budget:
    return Budget(budget_store, worst=lambda call: worst)


@virtual
async def test_an_answer_settles_its_hold_to_what_it_cost():
    budget_store = WatchedBudget(1000)
    await layer(budget_store)(make_call(), ScriptedClient([make_reply(cost=30)]))
    assert (budget_store.asked, budget_store.ended, budget_store.spent, budget_store.held) == (
        [WORST],
        ["settle"],
        30,
        0,
    )


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (overloaded(), "release"),
        (bad_request(), "release"),
        (rate_limited(), "release"),
        (Draining("stop"), "release"),
        (AccountRefused("E000", "401"), "release"),
        (BudgetExhausted("a layer below"), "release"),
        (timed_out(), "forfeit"),
    ],
    ids=lambda value: getattr(value, "type", None) or str(value),
)
@virtual
async def test_every_failure_ends_its_hold_once_and_only_the_unknown_is_charged(error, end):
    budget_store = WatchedBudget(1000)
    with pytest.raises(type(error)):
        await layer(budget_store)(make_call(), ScriptedClient([error]))
    assert (budget_store.ended, budget_store.held, budget_store.spent) == (
        [end],
        0,
        WORST if end == "forfeit" else 0,
    )


@virtual
async def test_the_hold_is_taken_before_anything_below_begins():
    budget_store = WatchedBudget(1000)

    async def below(call: Call) -> Reply:
        assert budget_store.held == WORST
        return make_reply(cost=1)

    await layer(budget_store)(make_call(), below)


@virtual
async def test_what_can_never_fit_is_refused_and_not_sent():
    budget_store, client = WatchedBudget(1000, spent=950), ScriptedClient()
    with pytest.raises(BudgetExhausted, match="of the cap is left"):
        await layer(budget_store)(make_call(), client)
    assert (client.sent, budget_store.granted, budget_store.ended) == ([], 0, [])


@pytest.mark.parametrize(
    ("spent", "words"),
    [
        (950, "and $0.00000000005 of the cap is left"),
        (1000, "and $0 of the cap is left"),
        (1250, "and the cap is passed already, by $0.00000000025"),
    ],
)
@virtual
async def test_a_refusal_says_how_the_cap_stands_also_where_it_was_lowered_below_what_was_spent(
    spent, words
):
    with pytest.raises(BudgetExhausted) as refused:
        await layer(WatchedBudget(1000, spent=spent))(make_call(), ScriptedClient())
    assert str(refused.value) == f"the next request may cost up to $0.0000000001, {words}"


@virtual
async def test_what_fits_exactly_is_sent():
    client = ScriptedClient()
    await layer(WatchedBudget(1000, spent=900))(make_call(), client)
    assert len(client.sent) == 1


@virtual
async def test_without_a_cap_nothing_waits_and_everything_is_counted():
    budget_store, client = (
        WatchedBudget(None),
        ScriptedClient(lambda call, before: make_reply(cost=60), takes_s=1),
    )
    await asyncio.gather(*(layer(budget_store)(make_call(row=row), client) for row in range(50)))
    assert (now(), budget_store.spent, budget_store.held) == (1.0, 3000, 0)


@virtual
async def test_what_may_fit_later_waits_for_the_others_to_be_settled():
    budget_store, client = (
        WatchedBudget(200),
        ScriptedClient(lambda call, before: make_reply(cost=10), takes_s=1),
    )
    await asyncio.gather(*(layer(budget_store)(make_call(row=row), client) for row in range(8)))
    assert client.most_in_flight == 2
    assert (len(client.sent), budget_store.spent, budget_store.highest <= 200) == (8, 80, True)


def waits(events: list[Event]) -> list[float]:
    told = [event for event in events if isinstance(event, Waiting)]
    assert {(event.pool, event.reason) for event in told} <= {("pool of " + HAIKU, "money")}
    return [event.seconds for event in told]


def telling(events: list[Event], budget_store: WatchedBudget) -> Budget:
    return Budget(
        budget_store,
        worst=lambda call: WORST,
        emit=events.append,
        pool_of=lambda model: "pool of " + model,
    )


@virtual
async def test_who_waits_for_money_is_told_of_once_that_lasts_one_row_at_a_time_until_nobody_does():
    events: list[Event] = []
    budget = telling(events, WatchedBudget(100))
    client = ScriptedClient(lambda call, before: make_reply(cost=0), takes_s=5)
    rows = []
    for row in range(4):
        rows.append(asyncio.ensure_future(budget(make_call(row=row), client)))
        await asyncio.sleep(0.1)
    for moment, told in ((1.0, 0), (1.2, 1), (4.9, 1), (5.1, 2), (10.1, 3), (15.1, 4), (20.1, 4)):
        await asyncio.sleep(moment - now())
        assert len(events) == told, moment
    await asyncio.gather(*rows)
    assert waits(events) == [inf, inf, inf, 0]


@virtual
async def test_what_waits_for_less_than_a_second_is_not_told_of():
    events: list[Event] = []
    budget = telling(events, WatchedBudget(100))
    client = ScriptedClient(lambda call, before: make_reply(cost=0), takes_s=0.4)
    await asyncio.gather(*(budget(make_call(row=row), client) for row in range(3)))
    assert events == []


@pytest.mark.parametrize("end", ["called off", "refused"])
@virtual
async def test_a_wait_for_money_that_is_told_of_ends_however_it_ends(end):
    events: list[Event] = []
    budget = telling(events, WatchedBudget(150))
    first = asyncio.ensure_future(
        budget(make_call(row=0), ScriptedClient([timed_out()], takes_s=5))
    )
    second = asyncio.ensure_future(budget(make_call(row=1), ScriptedClient()))
    await asyncio.sleep(2)
    assert waits(events) == [inf]
    if end == "called off":
        assert await cancelled(second)
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert type(results[1]) is (asyncio.CancelledError if end == "called off" else BudgetExhausted)
    assert waits(events) == [inf, 0]


@virtual
async def test_waiting_is_first_come_first_served_so_that_no_large_one_starves():
    budget_store = WatchedBudget(100)
    order: list[int] = []

    async def one(row: int, worst: int, takes_s: float) -> None:
        async def below(call: Call) -> Reply:
            order.append(row)
            await asyncio.sleep(takes_s)
            return make_reply(cost=1)

        await layer(budget_store, worst)(make_call(row=row), below)

    await asyncio.gather(one(0, 60, 5), one(1, 90, 1), one(2, 5, 1), one(3, 5, 1))
    assert order == [0, 1, 2, 3], "there was room for the small ones, but the large one came first"


@virtual
async def test_when_one_that_waits_is_called_off_those_behind_it_do_not_wait_for_it():
    budget_store, client = WatchedBudget(100), ScriptedClient(takes_s=10)
    tasks = [
        asyncio.ensure_future(layer(budget_store, worst)(make_call(), client))
        for worst in (60, 90, 30)
    ]
    await asyncio.sleep(1)
    assert len(client.sent) == 1
    assert await cancelled(tasks[1])
    await asyncio.gather(tasks[0], tasks[2])
    assert client.times == [0, 1]


@virtual
async def test_those_who_wait_are_refused_as_soon_as_they_can_never_fit():
    budget_store = WatchedBudget(100)
    first = asyncio.ensure_future(
        layer(budget_store, 80)(make_call(), ScriptedClient([timed_out()], takes_s=5))
    )
    await settled()
    others = [
        asyncio.ensure_future(layer(budget_store, worst)(make_call(), ScriptedClient()))
        for worst in (50, 20, 21)
    ]
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(result).__name__ for result in results] == [
        "AttemptError",
        "BudgetExhausted",
        "Reply",
        "BudgetExhausted",
    ]
    assert now() == 5


@virtual
async def test_cancelled_at_any_moment_a_hold_is_ended_exactly_once():
    tried = 0
    for cut in cuts():
        budget_store = WatchedBudget(150)
        client = ScriptedClient(lambda call, before: make_reply(cost=10), takes_s=1)
        other = asyncio.ensure_future(layer(budget_store)(make_call(row=1), client))
        await settled()
        result = await cut.run(layer(budget_store)(make_call(row=2), client))
        assert isinstance(result, asyncio.CancelledError) is cut.reached, cut
        await other
        assert (budget_store.held, len(budget_store.ended)) == (0, budget_store.granted), cut
        # The cap is as free as before: what waits after it is let through.
        await asyncio.wait_for(layer(budget_store, 100)(make_call(row=3), client), 10)
        tried += cut.reached
    assert tried >= 4, (
        "it must have been cut while waiting for money and while waiting for the answer"
    )


@virtual
async def test_the_budget_is_exact_after_ten_thousand_cancelled_attempts():
    budget_store, rng = WatchedBudget(1000, spent=123), random.Random(7)

    async def one(row: int) -> None:
        client = ScriptedClient([make_reply(cost=0)], takes_s=rng.random() * 10)
        task = asyncio.ensure_future(
            layer(budget_store, rng.randrange(1, 500))(make_call(row=row), client)
        )
        await asyncio.sleep(rng.random() * 3)
        await cancelled(task)

    await asyncio.gather(*(one(row) for row in range(10_000)))
    assert (budget_store.spent, budget_store.held, len(budget_store.ended)) == (
        123,
        0,
        budget_store.granted,
    )
    await layer(budget_store, 877)(make_call(), ScriptedClient([make_reply(cost=877)]))
    assert budget_store.spent == 1000


_ATTEMPT = st.tuples(
    st.integers(1, 100),  # worst case
    st.floats(0, 1),  # share of it that it costs
    st.sampled_from(["answer", "answer", "answer", "refused", "unknown", "cancelled", "bug"]),
    st.integers(0, 5),  # how long it takes
    st.integers(0, 9),  # when it comes
)


@settings(max_examples=150, deadline=None)
@given(cap=st.integers(0, 300), spent=st.integers(0, 50), attempts=st.lists(_ATTEMPT, max_size=40))
@virtual
async def test_the_cap_is_never_passed_whatever_happens_in_whatever_order(cap, spent, attempts):
    budget_store = WatchedBudget(cap, spent=spent)
    bill = 0

    async def one(worst: int, share: float, end: str, takes_s: int, comes_s: int) -> None:
        async def below(call: Call) -> Reply:
            nonlocal bill
            cost = round(worst * share)
            bill += cost if end in ("answer", "unknown") else 0
            assert spent + bill <= max(cap, spent), "the true bill"
            await asyncio.sleep(takes_s)
            if end in ("answer", "cancelled"):
                return replace(make_reply(), cost=cost)
            raise {"refused": overloaded, "unknown": timed_out, "bug": lambda: ValueError("bug")}[
                end
            ]()

        await asyncio.sleep(comes_s)
        task = asyncio.ensure_future(layer(budget_store, worst)(make_call(), below))
        if end == "cancelled":
            await asyncio.sleep(takes_s / 2)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    await asyncio.gather(*(one(*attempt) for attempt in attempts))
    assert budget_store.highest <= max(cap, spent)
    assert (budget_store.held, len(budget_store.ended)) == (0, budget_store.granted)
    assert budget_store.spent >= spent + bill
