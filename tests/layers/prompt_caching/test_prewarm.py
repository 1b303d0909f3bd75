"""Where answers do not begin in time, requests without output write and try what many
rows share.
"""

from __future__ import annotations

import asyncio

import pytest

from claudebatch.core.domain import PREWARM, Call, Reply
from claudebatch.core.errors import AttemptError
from claudebatch.core.jsonl import decode
from claudebatch.core.notice import Notice
from claudebatch.layers.prompt_caching.answer_times import AnswerTimes
from claudebatch.layers.prompt_caching.prewarm import prewarm
from tests.layers.prompt_caching.rows import DOCUMENT, MARK, Bench, all_of, asks, block, shared_by
from tests.support.caching_api import CachingApi
from tests.support.scripted import bad_request, make_reply, overloaded
from tests.support.virtual import now, virtual

MANY = 200
TOOL = {"name": "t", "input_schema": {}}


def plain_api(**settings) -> CachingApi:
    """An API that begins to answer after a second, which nobody sees."""
    return CachingApi(**{"latency_s": 30, "streams": False, **settings})


@virtual
async def test_a_whole_answer_is_waited_for_once_and_a_request_without_output_shows_the_read():
    api, bench = plain_api(), Bench(shared_by(MANY))
    await all_of(bench.around(api), [asks(row) for row in range(50)])
    assert [at for at, _ in api.came] == [0.0] + [31.0] * 49
    assert api.asked_ahead == [(30.0, 1)]
    assert [tokens.read > 3000 for tokens in api.prewarms] == [True]
    assert api.writes == 1


@virtual
async def test_a_stream_that_is_held_back_tells_no_more_than_a_whole_answer():
    api, bench = CachingApi(latency_s=30, head_s=29), Bench(shared_by(MANY))
    await all_of(bench.around(api), [asks(row) for row in range(5)])
    assert [at for at, _ in api.asked_ahead] == [], "the others follow its head"
    await all_of(bench.around(api), [asks(row, "B") for row in range(10, 15)])
    assert len(api.asked_ahead) == 2


@virtual
async def test_beginnings_after_that_are_written_and_tried_without_output():
    api, bench = plain_api(), Bench(shared_by(MANY))
    stack = bench.around(api)
    await all_of(stack, [asks(row) for row in range(5)])
    began = now()
    await all_of(stack, [asks(row, "B") for row in range(10, 20)])
    assert [at - began for at, _ in api.asked_ahead[1:]] == [0.0, 1.0]
    assert {at - began for at, row in api.came if row >= 10} == {2.0}
    assert [(t.written > 0, t.read > 0) for t in api.prewarms[1:]] == [(True, False), (False, True)]
    assert api.writes == 2


@virtual
async def test_where_the_cache_works_an_answer_that_does_not_begin_is_not_waited_for():
    api, bench = CachingApi(latency_s=30), Bench(shared_by(MANY))
    stack = bench.around(api)
    await all_of(stack, [asks(row) for row in range(5)])
    api.streams, began = False, now()
    await all_of(stack, [asks(row, "B") for row in range(10, 20)])
    # Four times as long as answers took to begin.
    assert [(at - began, row) for at, row in api.asked_ahead] == [(4.0, 11)]
    assert [at - began for at, row in api.came if row >= 10] == [0.0] + [5.0] * 9
    assert api.writes == 2


@virtual
async def test_beginnings_of_few_rows_are_written_by_one_and_only_tried_without_output():
    api, bench = plain_api(), Bench(shared_by(8))
    stack = bench.around(api)
    for first, document in ((0, "A"), (10, "B")):
        began = now()
        await all_of(stack, [asks(first + row, document) for row in range(8)])
        assert [at - began for at, row in api.asked_ahead if row >= first] == [30.0]
        assert [at - began for at, row in api.came if row >= first] == [0.0] + [31.0] * 7
    assert api.writes == 2


@virtual
async def test_whole_answers_that_are_quick_are_waited_for():
    api, bench = plain_api(latency_s=1.5), Bench(shared_by(MANY))
    for start, document in enumerate("ABC"):
        calls = [asks(10 * start + row, document) for row in range(5)]
        await all_of(bench.around(api), calls)
        # Longer than anybody has patience.
        await asyncio.sleep(100)
    assert api.asked_ahead == []


@virtual
async def test_where_streams_begin_in_time_none_is_sent():
    api, bench = CachingApi(latency_s=30), Bench(shared_by(MANY))
    await all_of(bench.around(api), [asks(row, "ABC"[row % 3]) for row in range(60)])
    assert api.asked_ahead == []


@virtual
async def test_a_stream_that_begins_in_time_again_ends_them():
    api, bench = plain_api(), Bench(shared_by(MANY))
    stack = bench.around(api)
    await all_of(stack, [asks(row) for row in range(3)])
    api.streams = True
    await all_of(stack, [asks(row, "B") for row in range(10, 13)])
    before = len(api.asked_ahead)
    await all_of(stack, [asks(row, "C") for row in range(20, 23)])
    assert len(api.asked_ahead) == before


@virtual
@pytest.mark.parametrize("place", [shared_by(0), shared_by(2)])
async def test_few_rows_and_rows_with_marks_of_their_own_wait_for_answers(place):
    # Rows with marks of their own, and `prompt_caching: respect`, have no plan.
    api, bench = plain_api(), Bench(place)
    await all_of(bench.around(api), [asks(row) for row in range(5)])
    assert api.asked_ahead == []
    assert [at for at, _ in api.came] == [0.0, 30.0, 60.0, 60.0, 60.0]


@virtual
async def test_where_the_api_refuses_them_rows_go_ahead_themselves():
    def befalls(call: Call, number: int) -> AttemptError | None:
        return bad_request() if call.prewarms else None

    api, bench = plain_api(befalls=befalls), Bench(shared_by(MANY))
    stack = bench.around(api)
    replies = await all_of(stack, [asks(row) for row in range(5)])
    replies += await all_of(stack, [asks(row, "B") for row in range(10, 15)])
    assert all(isinstance(reply, Reply) for reply in replies)
    assert len(api.asked_ahead) == 1, "one refusal is enough"


@virtual
async def test_two_that_fail_for_the_moment_are_the_last():
    def befalls(call: Call, number: int) -> AttemptError | None:
        return overloaded() if call.prewarms else None

    api, bench = plain_api(befalls=befalls), Bench(shared_by(MANY))
    for document in "ABCD":
        calls = [asks(row, document) for row in range(4)]
        replies = await all_of(bench.around(api), calls)
        assert all(isinstance(reply, Reply) for reply in replies)
    assert len(api.asked_ahead) == 2


@virtual
async def test_a_gateway_that_writes_an_answer_all_the_same_is_asked_once():
    api, bench = plain_api(), Bench(shared_by(MANY))

    async def answers(call: Call) -> Reply:
        reply = await api(call)
        usage = {"input_tokens": 9, "output_tokens": 5, "cache_read_input_tokens": 3000}
        return make_reply(usage=usage) if call.prewarms else reply

    stack = bench.around(answers)
    for document in "AB":
        await all_of(stack, [asks(row, document) for row in range(4)])
    assert len(api.asked_ahead) == 1


@virtual
async def test_a_cache_that_does_not_work_costs_two_writes_and_is_named():
    api, bench = plain_api(works="never read"), Bench(shared_by(MANY))
    replies = await all_of(bench.around(api), [asks(row) for row in range(40)])
    assert all(isinstance(reply, Reply) for reply in replies)
    assert api.writes == 2
    assert [event.id for event in bench.events if isinstance(event, Notice)] == ["W110"]


def test_its_request_is_the_rows_own_but_for_the_output():
    call = asks(1, max_tokens=500)
    ahead = prewarm(call, MANY, requests=2)
    assert decode(ahead.body) == {**decode(call.body), "max_tokens": 0}
    assert (ahead.route.rule, ahead.size.output_bound, ahead.size.output_tokens) == (PREWARM, 0, 0)
    assert ahead.size.input_bound == call.size.input_bound, "money is held for all of it"
    assert ahead.prewarms
    assert not call.prewarms
    assert (ahead.row, ahead.model, ahead.prompt) == (call.row, call.model, call.prompt)
    assert ahead.tries is None, "its failures are not the row's"


@pytest.mark.parametrize(
    "refused",
    [
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"tool_choice": {"type": "any"}, "tools": [TOOL]},
        {
            "tool_choice": {"type": "tool", "name": "t"},
            "tools": [TOOL],
        },
    ],
)
def test_what_the_api_refuses_is_not_sent(refused):
    assert prewarm(asks(1, **refused), MANY, requests=1) is None


@pytest.mark.parametrize(
    "taken",
    [
        {"output_config": {"effort": "low"}},
        {"thinking": {"type": "adaptive"}},
        {"tool_choice": {"type": "auto"}, "tools": [TOOL]},
    ],
)
def test_what_it_takes_is(taken):
    assert prewarm(asks(1, **taken), MANY, requests=2) is not None


def test_it_has_to_be_worth_its_price():
    call = asks(1)
    # 4,000 tokens that are read twice more than without it, for answers of 100.
    paid = [rows for rows in range(2, 60) if prewarm(call, rows, requests=2)]
    assert paid == list(range(14, 60))
    # What an answer has written is only tried.
    paid = [rows for rows in range(2, 60) if prewarm(call, rows, requests=1)]
    assert paid == list(range(5, 60))
    own = asks(1, messages=[_mostly_own()])
    assert prewarm(own, 10, requests=2) is None
    assert prewarm(own, 255, requests=2) is not None


def _mostly_own() -> dict:
    return {"role": "user", "content": [block(DOCUMENT, MARK), block(DOCUMENT)]}


def test_streams_have_more_time_to_begin_after_long_prompts():
    times = AnswerTimes()
    assert times.begins_within_s(1_000) == pytest.approx(2.2)
    assert times.begins_within_s(100_000) == pytest.approx(22)
    times.began(8.0)
    assert times.begins_within_s(1_000) == 32.0, "four times what it took"


@pytest.mark.parametrize(
    ("took_s", "head_s", "late"),
    [
        (30.0, None, True),
        (30.0, 29.0, True),
        (30.0, 2.1, False),
        (2.1, None, False),
        # It may have been slow for once.
        (30.0, 5.0, None),
    ],
)
def test_what_an_answer_tells_of_the_next_ones(took_s, head_s, late):
    for before in (True, False):
        times = AnswerTimes()
        times.late = before
        times.watched(took_s, head_s, tokens=1_000)
        assert times.late is (before if late is None else late)
