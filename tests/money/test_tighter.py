"""Near the cap the input is counted, where only its bound keeps a row from fitting; and
nothing is counted in vain.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from claudebatch.core.domain import Call, Reply, Size
from claudebatch.core.errors import AccountRefused, AttemptError, BudgetExhausted, Draining
from claudebatch.core.events import CapUsed, Event
from claudebatch.core.notice import Notice
from claudebatch.layers.budget.input_count import InputCounter
from claudebatch.layers.budget.layer import Budget
from claudebatch.layers.budget.usual_cost import UsualCost
from claudebatch.models.tokens.counted import MARGIN, MARGIN_TOKENS, CountedBounds, countable
from tests.support.cancellation import cuts
from tests.support.parts import make_bench
from tests.support.scripted import ScriptedClient, WatchedBudget, make_call, make_reply
from tests.support.virtual import now, virtual

LONG = Size(input_tokens=4000, input_bound=10_000, output_tokens=20, output_bound=100)


class Counter:
    """Counts 3,500 tokens, whatever it is asked; or fails."""

    def __init__(self, tokens: Any = 3500, *, takes_s: float = 0.1) -> None:
        self.asked: list[float] = []
        self._tokens = tokens
        self._takes_s = takes_s

    async def __call__(self, call: Call) -> int | None:
        self.asked.append(now())
        await asyncio.sleep(self._takes_s)
        if isinstance(self._tokens, BaseException):
            raise self._tokens
        return self._tokens


def worst(call: Call) -> int:
    return call.size.input_bound + 5 * call.size.output_bound


def layer(
    budget_store: WatchedBudget,
    counter: Counter,
    events: list[Event] | None = None,
    drain: Any = None,
) -> Budget:
    emit = (events if events is not None else []).append
    tighter = InputCounter(counter, CountedBounds(), waits=drain or make_bench().drain, emit=emit)
    return Budget(budget_store, worst=worst, emit=emit, tighter=tighter)


@virtual
async def test_a_row_that_fits_is_not_counted():
    counter = Counter()
    await layer(WatchedBudget(10_500), counter)(make_call(size=LONG), ScriptedClient())
    assert counter.asked == []


@virtual
async def test_a_row_that_only_its_bound_makes_too_large_is_counted_and_sent_with_its_new_size():
    counter, client, budget_store = Counter(), ScriptedClient(), WatchedBudget(9000)
    await layer(budget_store, counter)(make_call(size=LONG), client)
    bound = 3500 + int(3500 * MARGIN) + MARGIN_TOKENS
    assert budget_store.asked == [10_500, bound + 500]
    assert client.sent[0].call.size == replace(LONG, input_bound=bound)


@virtual
async def test_a_bill_that_uses_the_whole_margin_stays_under_the_cap():
    bound = 3500 + int(3500 * MARGIN) + MARGIN_TOKENS
    budget_store = WatchedBudget(bound + 500)
    reply = make_reply(cost=bound + 500, usage={"input_tokens": bound})
    await layer(budget_store, Counter())(make_call(size=LONG), ScriptedClient([reply]))
    assert budget_store.spent == budget_store.highest == bound + 500


@pytest.mark.parametrize(
    ("cap", "counter", "counts"),
    [
        (2000, Counter(), 0),  # the output alone leaves too little
        (3000, Counter(), 1),  # it was worth a try
        (9000, Counter(None), 1),  # the API does not count such requests
        (9000, Counter(AttemptError("429", type="rate_limit_error")), 1),
        (9000, Counter(20_000), 1),  # the count is no smaller
    ],
)
@virtual
async def test_a_row_that_a_count_does_not_help_is_refused_as_without_one(cap, counter, counts):
    counter.asked.clear()
    client, events = ScriptedClient(), []
    with pytest.raises(BudgetExhausted):
        await layer(WatchedBudget(cap), counter, events)(make_call(size=LONG), client)
    assert (len(counter.asked), client.sent) == (counts, [])
    assert [event for event in events if isinstance(event, CapUsed)] == [
        CapUsed("run", cap, 0, full=True)
    ]


@virtual
async def test_an_account_that_is_refused_while_counting_stops_the_run():
    with pytest.raises(AccountRefused):
        await layer(WatchedBudget(9000), Counter(AccountRefused("E000", "401")))(
            make_call(size=LONG), ScriptedClient()
        )


@virtual
async def test_of_a_hundred_thousand_equal_rows_that_are_left_only_a_few_are_counted():
    counter, budget_store = Counter(takes_s=0.01), WatchedBudget(4000)
    budget = layer(budget_store, counter)
    refused = 0
    for _ in range(1000):
        with pytest.raises(BudgetExhausted):
            await budget(make_call(size=LONG), ScriptedClient())
        refused += 1
    assert (refused, len(counter.asked)) == (1000, 5)


@virtual
async def test_counts_go_one_after_the_other():
    counter = Counter(takes_s=1)
    budget_store = WatchedBudget(100_000, spent=92_000)
    client = ScriptedClient(lambda call, before: make_reply(cost=10))
    budget = layer(budget_store, counter)
    await asyncio.gather(*(budget(make_call(size=LONG, row=n), client) for n in range(4)))
    assert counter.asked == [0, 1, 2, 3]
    assert len(client.sent) == 4


@virtual
async def test_a_bill_above_a_counted_bound_is_told_and_ends_the_counting():
    counter, events = Counter(), []
    budget_store = WatchedBudget(20_000, spent=11_000)
    budget = layer(budget_store, counter, events)
    over = make_reply(cost=4600, usage={"input_tokens": 4100})
    await budget(make_call(size=LONG), ScriptedClient([over]))
    told = [event.text for event in events if isinstance(event, Notice)]
    assert any("counts are no longer used" in text for text in told)
    assert any("more than its worst case" in text for text in told)
    with pytest.raises(BudgetExhausted):
        await budget(make_call(size=LONG), ScriptedClient())
    assert len(counter.asked) == 1


@virtual
async def test_called_off_while_it_is_counted_nothing_is_held_and_the_next_is_counted():
    tried = 0
    for cut in cuts():
        budget_store, counter = WatchedBudget(9000), Counter()
        budget = layer(budget_store, counter)
        await cut.run(budget(make_call(size=LONG), ScriptedClient([make_reply(cost=0)])))
        assert (budget_store.held, len(budget_store.ended)) == (0, budget_store.granted), cut
        await budget(make_call(size=LONG), ScriptedClient())
        tried += cut.reached
    assert tried >= 2


@virtual
async def test_a_drain_ends_the_wait_for_the_turn_to_count():
    bench, counter = make_bench(), Counter(takes_s=100)
    budget = layer(WatchedBudget(9000), counter, drain=bench.drain)
    waiting = [
        asyncio.ensure_future(budget(make_call(size=LONG, row=n), ScriptedClient()))
        for n in range(2)
    ]
    await asyncio.sleep(1)
    bench.drain.start("stop")
    with pytest.raises(Draining):
        await waiting[1]
    assert isinstance(await waiting[0], Reply)


def test_server_tools_and_sources_that_the_api_fetches_cannot_be_counted():
    bench_call = make_call
    url = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    file = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    assert countable(bench_call('the words "type":"url" in a text'))
    assert countable(bench_call(tools=[{"name": "mine", "input_schema": {"type": "object"}}]))
    assert not countable(
        bench_call(tools=[{"type": "web_search_20260209", "name": "web_search", "max_uses": 1}])
    )
    for block in (url, file):
        assert not countable(bench_call(messages=[{"role": "user", "content": [block]}]))


def test_the_usual_cost_is_the_worst_case_until_twenty_answers_and_then_the_95th_percentile():
    usual, call = UsualCost(), make_call()
    for cost in range(1, 20):
        usual.learn(call, 1000, cost)
        assert usual.amount(call, 1000) == 1000
    usual.learn(call, 1000, 500)
    assert usual.amount(call, 1000) == int(500 * 1.1) + 1
    for _ in range(200):
        usual.learn(call, 1000, 100)
    assert usual.amount(call, 10_000) == 1101
    assert usual.amount(make_call(model="claude-opus-5-5"), 1000) == 1000, (
        "another model is another matter"
    )
    for _ in range(200):
        usual.learn(call, 1000, 1500)
    assert usual.amount(call, 1000) == 1000, "never more than the worst"
