"""The retry budget of a pool: retries in line, each paid for by answers or by time,
none of them dropped.
"""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.domain import Call
from claudebatch.core.errors import AttemptError, CircuitOpen, Draining
from claudebatch.core.events import Event, Retrying, Waiting
from claudebatch.layers.retry.layer import Retry
from claudebatch.layers.retry.retry_budget import RetryBudget
from claudebatch.layers.retry.settings import RetryBudgetPolicy, RetryPolicy
from tests.support.scripted import (
    HAIKU,
    SONNET,
    ScriptedClient,
    make_call,
    make_reply,
    overloaded,
    rate_limited,
)
from tests.support.virtual import cancelled, now, virtual

POLICY = RetryBudgetPolicy(share=0.2, floor_per_s=1.0, saved=10.0)


def spent(policy: RetryBudgetPolicy = POLICY) -> RetryBudget:
    """A budget whose savings are used up at second 0."""
    budget = RetryBudget(policy, now=0.0)
    for _ in range(int(policy.saved)):
        assert budget.wait(budget.book(0.0), 0.0) == 0
    return budget


def test_what_is_saved_goes_at_once_and_the_next_ones_at_the_lowest_rate():
    budget = spent()
    assert [budget.wait(budget.book(0.0), 0.0) for _ in range(3)] == [1, 2, 3]


def test_five_answers_pay_for_one_retry():
    budget = spent()
    first, second = budget.book(0.0), budget.book(0.0)
    for _ in range(5):
        budget.answered(0.0)
    assert (budget.wait(first, 0.0), budget.wait(second, 0.0)) == (
        pytest.approx(0),
        pytest.approx(1),
    )


def test_an_hour_of_answers_saves_no_more_than_a_few_retries():
    budget = RetryBudget(POLICY, now=0.0)
    for second in range(3600):
        budget.answered(second)
    waits = [budget.wait(budget.book(3599.0), 3599.0) for _ in range(12)]
    assert waits == [0] * 10 + [1, 2]


def test_one_that_leaves_the_line_lets_the_next_move_up():
    budget = spent()
    first, second, third = budget.book(0.0), budget.book(0.0), budget.book(0.0)
    budget.give_back(second)
    assert (budget.wait(first, 0.0), budget.wait(third, 0.0)) == (1, 2)
    assert budget.wait(budget.book(0.0), 0.0) == 3


def test_places_given_back_save_up_no_further_retries():
    budget = RetryBudget(POLICY, now=0.0)
    for _ in range(5):
        budget.give_back(budget.book(0.0))
    assert [budget.wait(budget.book(100.0), 100.0) for _ in range(11)] == [0] * 10 + [1]


def test_the_line_is_as_long_as_the_wait_of_who_joins_it():
    budget = spent()
    for _ in range(4):
        assert budget.line(0.5) == budget.wait(budget.book(0.5), 0.5)


_STEPS = st.lists(
    st.one_of(
        st.sampled_from(["book", "answer", "look", "leave"]),
        st.floats(0.0, 20.0),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(_STEPS, st.floats(0.0, 1.0), st.floats(0.1, 5.0), st.integers(0, 10))
def test_whatever_happens_no_more_go_than_were_earned_and_the_first_goes_first(
    steps, share, floor, saved
):
    budget = RetryBudget(RetryBudgetPolicy(share, floor, saved), now=0.0)
    line: list[int] = []
    at, gone, answers = 0.0, 0, 0
    for step in steps:
        if isinstance(step, float):
            at += step
        elif step == "book":
            line.append(budget.book(at))
        elif step == "answer":
            budget.answered(at)
            answers += 1
        elif step == "leave" and line:
            budget.give_back(line.pop(len(line) // 2))
        waits = [budget.wait(turn, at) for turn in line]
        assert waits == sorted(waits)
        while line and budget.wait(line[0], at) == 0:
            line.pop(0)
            gone += 1
        assert gone <= saved + share * answers + floor * at + 1e-6
    # Nobody is dropped: without any answer, the last one goes when time has paid for
    # it.
    wait_s = budget.wait(line[-1], at) if line else 0.0
    assert wait_s <= (len(line) + 1e-6) / floor
    assert all(budget.wait(turn, at + wait_s + 1e-6) == 0 for turn in line)


def layer(
    policy: RetryBudgetPolicy = POLICY, events: list[Event] | None = None, **how: int
) -> Retry:
    return Retry(
        RetryPolicy(base_s=0.01, cap_s=0.01, **how),
        policy,
        pool_of=lambda model: model,
        sleep=asyncio.sleep,
        now=now,
        rng=random.Random(0),
        emit=(events if events is not None else []).append,
    )


@virtual
async def test_a_storm_of_failures_is_retried_one_by_one_and_none_is_dropped():
    events: list[Event] = []
    client = ScriptedClient(lambda call, before: overloaded() if before < 64 else None)
    retry = layer(events=events)
    replies = await asyncio.gather(*(retry(make_call(row=row), client) for row in range(64)))
    assert {reply.attempts for reply in replies} == {2}
    retries = client.times[64:]
    assert len([at for at in retries if at < 0.5]) == 10, "what was saved"
    assert all(later >= earlier for earlier, later in itertools.pairwise(retries))
    assert 30 < now() < 54, "the others at one a second, and one more for five answers"
    waits = [event for event in events if isinstance(event, Waiting)]
    assert {(wait.pool, wait.reason) for wait in waits} == {(HAIKU, "retry budget")}
    assert len(waits) == len({wait.id for wait in waits}) == 54, "each is told once"
    assert all(0 < wait.seconds <= 54 for wait in waits)


@virtual
async def test_pools_have_budgets_of_their_own():
    retry = layer()
    failing = ScriptedClient(lambda call, before: overloaded())
    await asyncio.gather(
        *(retry(make_call(row=row), failing) for row in range(3)), return_exceptions=True
    )
    began = now()
    await retry(make_call(model=SONNET), ScriptedClient([overloaded(), None]))
    assert now() - began < 0.1


@virtual
async def test_a_429_takes_nothing_out_of_the_budget():
    client = ScriptedClient([rate_limited(0.1)] * 50 + [overloaded(), None])
    await layer(RetryBudgetPolicy(saved=1.0, floor_per_s=0.001))(make_call(), client)
    assert now() < 10, "50 of them, and the 529 still found what was saved"


@virtual
async def test_a_retry_that_met_an_open_circuit_was_none():
    events: list[Event] = []
    retry = layer(RetryBudgetPolicy(saved=1.0, floor_per_s=0.001), events)
    for _ in range(5):
        with pytest.raises(CircuitOpen):
            await retry(
                make_call(),
                ScriptedClient([overloaded(), CircuitOpen(HAIKU, probe_in_s=1, open_for_s=1)]),
            )
    assert not [event for event in events if isinstance(event, Waiting)]


@virtual
async def test_who_is_called_off_in_the_line_gives_its_place_back():
    retry = layer(RetryBudgetPolicy(saved=0.0, floor_per_s=0.1))
    lines = [
        asyncio.ensure_future(retry(make_call(row=row), ScriptedClient([overloaded(), None])))
        for row in range(3)
    ]
    await asyncio.sleep(5)
    assert await cancelled(lines[0]) and await cancelled(lines[1])
    await lines[2]
    assert now() <= 11.0


@virtual
async def test_a_drain_ends_the_wait_in_the_line():
    async def sleep(seconds: float) -> None:
        if seconds >= 0.5:
            raise Draining("interrupted")
        await asyncio.sleep(seconds)

    retry = layer(RetryBudgetPolicy(saved=0.0, floor_per_s=0.1))
    retry._sleep = sleep
    with pytest.raises(Draining):
        await retry(make_call(), ScriptedClient([overloaded(), None]))


CHAINED = (SONNET, "claude-opus-5-5")


@virtual
async def test_a_long_line_sends_a_row_with_a_chain_to_the_next_model():
    retry = layer(RetryBudgetPolicy(saved=0.0, floor_per_s=0.05))
    client = ScriptedClient(lambda call, before: overloaded() if call.model == HAIKU else None)
    events: list[Event] = []
    retry._emit = events.append
    with pytest.raises(AttemptError) as caught:
        await retry(make_call(fallbacks=CHAINED), client)
    assert caught.value.handed_over and caught.value.attempts == 1
    assert now() == 0 and not [event for event in events if isinstance(event, Retrying)]


@pytest.mark.parametrize(
    ("call", "policy"),
    [
        (make_call(), RetryBudgetPolicy(saved=0.0, floor_per_s=0.05)),
        (make_call(fallbacks=(HAIKU,)), RetryBudgetPolicy(saved=0.0, floor_per_s=0.05)),
        (make_call(fallbacks=CHAINED), RetryBudgetPolicy(saved=0.0, floor_per_s=0.2)),
    ],
    ids=["no chain", "end of its chain", "short line"],
)
@virtual
async def test_else_it_waits_for_its_turn(call: Call, policy: RetryBudgetPolicy):
    reply = await layer(policy)(call, ScriptedClient([overloaded(), make_reply()]))
    assert reply.attempts == 2
    assert now() >= 5


@virtual
async def test_a_row_that_has_used_its_attempts_is_given_up_and_not_handed_over():
    with pytest.raises(AttemptError) as caught:
        await layer(max_attempts=2)(
            make_call(fallbacks=CHAINED), ScriptedClient([overloaded(), overloaded()])
        )
    assert not caught.value.handed_over
