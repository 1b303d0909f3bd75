"""Turns without a clock: what the tokens of one answer say of each beginning."""

from __future__ import annotations

import pytest

from claudebatch.core.domain import PromptTokens
from claudebatch.core.notice import Notice
from claudebatch.layers.prompt_caching import cache_turns
from claudebatch.layers.prompt_caching.answer_times import AnswerTimes
from claudebatch.layers.prompt_caching.asked_turn import Asks, CacheTurn
from claudebatch.layers.prompt_caching.beginning import Beginning
from claudebatch.layers.prompt_caching.cache_turns import Turns
from tests.layers.prompt_caching.rows import DOCUMENT, MARK, Bench, all_of, asks, block
from tests.support.caching_api import CachingApi
from tests.support.virtual import virtual

PIXEL = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
RULES, PAPER = b"rules", b"paper"
WRITTEN, READ = PromptTokens(5, written=1500), PromptTokens(5, read=1500)


def answered(turns: Turns, row: int, tokens: PromptTokens, *digests: bytes) -> CacheTurn:
    turn = turns.turn(Asks(row, "m", digests, 300.0), float(row))
    assert isinstance(turn, CacheTurn)
    assert turns.leaves(turn, float(row))
    turns.told(turn, tokens, estimated=1500, now=float(row))
    return turn


def warm() -> Turns:
    """Turns of rules and a paper that were both written and read."""
    turns = Turns()
    answered(turns, 1, WRITTEN, RULES, PAPER)
    answered(turns, 2, READ, RULES, PAPER)
    assert answered(turns, 3, READ, RULES, PAPER).led == ()
    return turns


def test_where_a_part_is_read_and_the_rest_written_again_the_longest_is_not_there():
    turns = warm()
    answered(turns, 4, PromptTokens(5, written=1000, read=500), RULES, PAPER)
    after = turns.turn(Asks(5, "m", (RULES, PAPER), 300.0), 5.0)
    assert isinstance(after, CacheTurn)
    assert [one in after.led for one in after.chain] == [False, True]


def test_a_read_beside_a_write_proves_nothing_of_what_is_new():
    turns = Turns()
    answered(turns, 1, PromptTokens(5, written=1000, read=500), RULES, PAPER)
    after = turns.turn(Asks(2, "m", (RULES,), 300.0), 2.0)
    assert isinstance(after, CacheTurn)
    assert len(after.led) == 1


def test_where_others_are_read_three_that_are_not_end_nothing():
    turns = warm()
    for number in range(3):
        digest = b"%d" % number
        for row in range(3):
            answered(turns, 10 * number + row + 10, WRITTEN, digest)
    after = turns.turn(Asks(50, "m", (b"another",), 300.0), 50.0)
    assert isinstance(after, CacheTurn)
    assert after.chain


@virtual
async def test_one_that_is_too_short_for_the_api_does_not_end_the_longer_ones():
    api, bench = CachingApi(), Bench()
    rules = {"system": [block("Rules. " * 60, MARK)]}
    stack = bench.around(api)
    await all_of(stack, [asks(row, f"own {row}", None, **rules) for row in range(5)])
    assert {tokens.written for tokens in api.usages} == {0}, "below the minimum"
    await all_of(stack, [asks(row, "A", **rules) for row in range(10, 20)])
    assert [event for event in bench.events if isinstance(event, Notice)] == []
    assert api.writes == 1
    assert sum(tokens.read > 0 for tokens in api.usages) == 9


@virtual
async def test_those_whose_rows_wait_are_not_forgotten(monkeypatch):
    monkeypatch.setattr(cache_turns, "_MOST_KEPT", 2)
    api, bench = CachingApi(), Bench()
    await all_of(bench.around(api), [asks(row, "ABCDE"[row % 5]) for row in range(40)])
    assert api.writes == 5


@virtual
async def test_rows_that_fail_before_they_leave_give_their_places_back():
    api, bench = CachingApi(), Bench()

    async def below(call):
        if 3 <= call.row < 30:
            raise ValueError("no money")
        bench.layer.leaves(call)
        return await api(call)

    async def stack(call):
        return await bench.layer(call, below)

    replies = await all_of(stack, [asks(row) for row in range(60)])
    assert sum(isinstance(reply, ValueError) for reply in replies) == 27
    assert len(api.came) == 33


def test_one_that_took_long_may_do_so_again():
    beginning = Beginning(300.0)
    beginning.late = True
    beginning.began(1.0)
    assert not beginning.late


def test_times_are_means_of_the_last_answers():
    times = AnswerTimes()
    times.ended(10.0)
    times.ended(18.0)
    assert times.most_at_rest(300.0) == pytest.approx(150 / 11)


@virtual
async def test_rows_with_images_of_their_own_and_rows_without_lead_for_themselves():
    def call(row):
        own = [] if row % 2 else [{"type": "image", "source": PIXEL}]
        content = [block("A: " + DOCUMENT, MARK), *own, block(f"question {row}")]
        return asks(row, messages=[{"role": "user", "content": content}])

    api, bench = CachingApi(), Bench()
    await all_of(bench.around(api), [call(row) for row in range(20)])
    assert bench.events == []
    assert api.writes == 2
    assert sum(tokens.read > 3000 for tokens in api.usages) == 18


@pytest.mark.parametrize(("read", "writes"), [(1, [3, 2, 2]), (2, [3, 3, 2])])
@virtual
async def test_more_tries_are_paid_for_by_beginnings_that_are_read(read, writes):
    api, bench = CachingApi(), Bench()
    api.loses = lambda call: call.row >= 100
    stack = bench.around(api)
    for number in range(read):
        await all_of(stack, [asks(row, f"read {number}") for row in range(5)])
    for number, most in enumerate(writes):
        before, first = api.writes, 100 * (number + 1)
        await all_of(stack, [asks(first + row, f"{number}") for row in range(9)])
        assert api.writes - before == most
    assert api.writes == read + sum(writes) == 2 * (read + len(writes))
