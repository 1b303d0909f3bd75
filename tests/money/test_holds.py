"""Every hold is ended exactly once, and nothing is left set aside: whatever happens,
and wherever it is called off.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from claudebatch.core.domain import Call, Hold, Reply
from claudebatch.core.errors import AttemptError, BudgetExhausted, Draining
from claudebatch.layers.budget.layer import Budget
from claudebatch.layers.budget.run_budget import RunBudget
from claudebatch.layers.record.layer import Record
from tests.support.cancellation import cuts
from tests.support.scripted import (
    MemoryLog,
    ScriptedClient,
    WatchedBudget,
    make_call,
    make_reply,
    overloaded,
    timed_out,
)
from tests.support.virtual import VirtualLoop, at_once, settled, virtual

WORST = 100


class Holds(RuleBasedStateMachine):
    """A budget and a plain account of what should be in it.

    Each rule is one thing that somebody does at one moment: ask, end in one of three
    ways, or call off who asked, in the moment before or after the money was granted.
    Between the rules everything runs that can.
    """

    cap, overshoot = 300, 0

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.budget_store = RunBudget(self.cap, spent=0, overshoot=self.overshoot)
        self.asking: list[asyncio.Task[Hold]] = []
        self.granted: list[Hold] = []
        self.bill = 0

    def teardown(self) -> None:
        """Whoever still waits is called off; then nothing is held but what was
        granted.
        """
        for task in self.asking:
            task.cancel()
        self.run()
        assert self.budget_store.held == sum(hold.amount for hold in self.granted)
        for hold in self.granted:
            at_once(self.budget_store.release(hold))
        assert (self.budget_store.held, self.budget_store.spent) == (0, self.bill)
        self.loop.close()

    def run(self, turns: int = 30) -> None:
        """Let everything run that can, then sort out who has got what they asked
        for.
        """
        self.loop.run_until_complete(settled(turns))
        for task in list(self.asking):
            if task.done():
                self.asking.remove(task)
                if not task.cancelled() and task.exception() is None:
                    self.granted.append(task.result())
                elif not task.cancelled():
                    assert isinstance(task.exception(), BudgetExhausted | Draining)

    @rule(worst=st.integers(0, 200), part=st.integers(1, 4))
    def ask(self, worst: int, part: int) -> None:
        """Somebody asks, for all of the worst case or for a part of it."""
        amount = worst // part if self.overshoot else worst
        self.asking.append(self.loop.create_task(self.budget_store.hold(amount, worst)))

    @rule(turns=st.integers(0, 3))
    def go_on(self, turns: int) -> None:
        """A few turns of the loop pass."""
        self.run(turns)

    @precondition(lambda self: self.granted)
    @rule(which=st.integers(0, 50), share=st.floats(0, 1))
    def settle(self, which: int, share: float) -> None:
        """An answer comes."""
        hold = self.granted.pop(which % len(self.granted))
        cost = int(hold.worst * share)
        self.bill += cost
        at_once(self.budget_store.settle(hold, cost))

    @precondition(lambda self: self.granted)
    @rule(which=st.integers(0, 50), unknown=st.booleans())
    def end(self, which: int, unknown: bool) -> None:
        """No answer comes."""
        hold = self.granted.pop(which % len(self.granted))
        self.bill += hold.worst if unknown else 0
        end = self.budget_store.forfeit if unknown else self.budget_store.release
        at_once(end(hold))

    @precondition(lambda self: self.asking)
    @rule(which=st.integers(0, 50))
    def call_off(self, which: int) -> None:
        """Somebody who asked is called off: before the first step, while waiting, or
        just when it was granted.
        """
        self.asking[which % len(self.asking)].cancel()

    @precondition(lambda self: self.asking and self.granted)
    @rule(which=st.integers(0, 50))
    def grant_and_call_off(self, which: int) -> None:
        """The same moment brings the money and the end."""
        hold = self.granted.pop(0)
        at_once(self.budget_store.release(hold))
        self.asking[which % len(self.asking)].cancel()

    @precondition(lambda self: self.granted)
    @rule(which=st.integers(0, 50))
    def end_twice(self, which: int) -> None:
        """A bug that ends a hold twice is found at once and changes nothing."""
        hold = self.granted.pop(which % len(self.granted))
        at_once(self.budget_store.release(hold))
        before = (self.budget_store.held, self.budget_store.spent)
        with pytest.raises(RuntimeError, match="twice"):
            at_once(self.budget_store.settle(hold, 1))
        assert (self.budget_store.held, self.budget_store.spent) == before

    @invariant()
    def never_past_the_cap(self) -> None:
        """Committed and held stay under the cap at every moment, and worst cases under
        cap and overshoot.
        """
        assert self.budget_store.spent == self.bill
        assert self.budget_store.spent + self.budget_store.held <= self.cap + self.overshoot
        done = [
            t.result()
            for t in self.asking
            if t.done() and not t.cancelled() and t.exception() is None
        ]
        assert (
            self.budget_store.spent + sum(hold.worst for hold in self.granted + done)
            <= self.cap + self.overshoot
        )

    @invariant()
    def nobody_waits_who_could_go(self) -> None:
        """Once nothing moves any more, the first in line really does not fit."""
        self.run()
        if self.asking and not self.granted:
            raise AssertionError("somebody waits, and nobody has anything that they could wait for")


class ExpectedHolds(Holds):
    """The same with holds smaller than the worst case."""

    overshoot = 40


_SETTINGS = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHolds, TestExpectedHolds = Holds.TestCase, ExpectedHolds.TestCase
TestHolds.settings = TestExpectedHolds.settings = _SETTINGS


def chain(budget_store: WatchedBudget, log: MemoryLog, inner: Any) -> Any:
    """Budget above Record above *inner*, as in the stack."""
    budget = Budget(budget_store, worst=lambda call: WORST)
    record = Record(
        log,
        worst=lambda call: WORST,
        cost=lambda call, usage: 30,
        pool_of=lambda model: "haiku",
        now=asyncio.get_running_loop().time,
        emit=lambda event: None,
    )

    async def slow(call: Call) -> Reply:
        """What stands between them waits before and after."""
        await asyncio.sleep(1)
        try:
            reply = await record(call, inner)
        except AttemptError:
            await asyncio.sleep(1)
            raise
        await asyncio.sleep(1)
        return reply

    return lambda call: budget(call, slow)


@pytest.mark.parametrize("end", ["answer", "refused", "unknown", "bug"])
@virtual
async def test_called_off_at_any_wait_the_budget_and_the_log_agree_on_what_it_cost(end):
    script = {
        "answer": make_reply(),
        "refused": overloaded(),
        "unknown": timed_out(),
        "bug": ZeroDivisionError("bug"),
    }
    tried = 0
    for cut in cuts():
        budget_store, log = WatchedBudget(150), MemoryLog(takes_s=0.5)
        stack = chain(budget_store, log, ScriptedClient([script[end]], takes_s=1))
        await cut.run(stack(make_call()))
        written = sum(entry.cost + (WORST if entry.unknown else 0) for entry in log.entries)
        assert budget_store.spent == written, (cut, log.entries, budget_store.ended)
        assert (budget_store.held, len(budget_store.ended)) == (0, budget_store.granted), cut
        tried += cut.reached
    assert tried >= 6, "before the request, while it was out, and after its answer came"


@virtual
async def test_a_coroutine_that_is_thrown_away_ends_its_hold_too():
    for steps, spent in ((1, 0), (2, 0), (3, WORST), (4, 30)):
        budget_store, log = WatchedBudget(150), MemoryLog(takes_s=0.5)
        coroutine = chain(budget_store, log, ScriptedClient(takes_s=1))(make_call())
        waited = None
        for _ in range(steps):
            waited = coroutine.send(None) if waited is None else await _next(coroutine, waited)
        coroutine.close()
        assert (budget_store.held, budget_store.spent) == (0, spent), steps


async def _next(coroutine: Any, waited: Any) -> Any:
    waited._asyncio_future_blocking = False
    await asyncio.wait([waited])
    return coroutine.send(None)


@virtual
async def test_the_budget_is_exact_after_a_hundred_thousand_cancelled_attempts():
    budget_store, rng, reply = (
        WatchedBudget(1000, spent=123),
        random.Random(11),
        replace(make_reply(), cost=0),
    )

    async def below(call: Call) -> Reply:
        await asyncio.sleep(rng.random() * 10)
        return reply

    call, loop = make_call(), asyncio.get_running_loop()
    layers = [Budget(budget_store, worst=lambda call, worst=worst: worst) for worst in (1, 2, 3)]
    for _ in range(20):
        tasks = [loop.create_task(rng.choice(layers)(call, below)) for _ in range(5_000)]
        for task in tasks:
            loop.call_later(rng.random() * 3, task.cancel)
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(end, asyncio.CancelledError) for end in ends) > 4_000
    assert (budget_store.spent, budget_store.held, len(budget_store.ended)) == (
        123,
        0,
        budget_store.granted,
    )
    assert budget_store.granted > 20_000
    hold = await budget_store.hold(877, 877)
    with pytest.raises(BudgetExhausted):
        await RunBudget(1000, spent=123).hold(878, 878)
    await budget_store.release(hold)


@virtual
async def test_expected_cost_stays_under_the_cap_even_where_the_worst_fits_under_the_overshoot():
    budget_store = RunBudget(100, spent=0, overshoot=100)
    first = await budget_store.hold(60, 70)
    second = asyncio.ensure_future(budget_store.hold(60, 70))
    await settled()
    assert not second.done(), "120 of 100, though 140 of 200 at worst"
    await budget_store.settle(first, 40)
    await budget_store.release(await second)
    assert (budget_store.spent, budget_store.held) == (40, 0)


def test_an_error_that_says_it_may_be_billed_is_believed_without_a_record_below():
    async def below(call: Call) -> Reply:
        raise AttemptError("lost", type="timeout", may_be_billed=True)

    async def play() -> WatchedBudget:
        budget_store = WatchedBudget(1000)
        with pytest.raises(AttemptError):
            await Budget(budget_store, worst=lambda call: WORST)(make_call(), below)
        return budget_store

    assert asyncio.run(play()).spent == WORST
