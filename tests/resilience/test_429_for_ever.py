"""A row whose requests meet 429s for ever comes to its end, and holds up nobody.

Of 200 rows at 8 in flight, answered in 54 s when none is bad; before this, in virtual
time and with the same seed, no such row ever failed: the run ended with exit 5.

| bad rows | the 429 asks for | good rows done before | now |
|---|---|---|---|
| the first | nothing | 78 s | 54 s |
| the first | 30 s | 4,376 s | 88 s |
| every twentieth | nothing | 171 of 190 after 1,376 s | 53 s |
| every twentieth | 30 s | 152 of 190 after 11,920 s | 155 s |
| the first ten | nothing | none in 900 s | 101 s |
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection

import pytest

from claudebatch.core.domain import Call
from claudebatch.core.events import FellBack
from claudebatch.core.tries import RowLimited, RowTries
from tests.resilience.driver import Fate, Happening, Ran, run, status_error
from tests.support.virtual import virtual

ROWS = 200
HAIKU, SONNET = "claude-haiku-5-5", "claude-sonnet-5-5"
USUAL_S = 54.0
PROBE_S = 5.1
FIRST_TEN = set(range(10))


async def run_with(
    bad: Collection[int], *, rows: int = ROWS, asks_s: float | None = None, **how: object
) -> Ran:
    rng = random.Random(5)

    def fate(call: Call, before: int, at: float) -> Happening:
        if call.row in bad and call.model == HAIKU:
            return 0.1 * rng.uniform(0.9, 1.1), status_error(429, retry_after=asks_s)
        return 2.0 * rng.uniform(0.5, 1.5), None

    return await run(rows, fate, workers=8, **how)


def last_good_s(ran: Ran, bad: Collection[int]) -> float:
    good = [at for at, outcome in ran.outcomes if outcome.call.row not in bad]
    assert len(good) == ROWS - len(bad)
    return max(good) - min(ran.api.times)


@pytest.mark.parametrize(
    ("bad", "asks_s", "lost_s"),
    [
        ({0}, None, 1),
        ({100}, None, 0),
        ({190}, 1.0, 0),
        ({0}, 30.0, 35),
        ({100}, 30.0, 35),
        (set(range(0, 200, 20)), None, 0),
        (set(range(0, 200, 20)), 30.0, 105),
        (FIRST_TEN, None, 10 * PROBE_S),
    ],
    ids=[
        "the first",
        "one",
        "a late one",
        "the first, 30 s",
        "one, 30 s",
        "every twentieth",
        "every twentieth, 30 s",
        "the first ten",
    ],
)
@virtual
async def test_rows_that_always_meet_a_429_fail_and_the_others_keep_their_pace(bad, asks_s, lost_s):
    ran = await run_with(bad, asks_s=asks_s)
    assert ran.ended.stop is None
    assert {outcome.call.row for outcome in ran.failed} == bad
    sent = Counter(call.row for _, call in ran.api.came)
    assert {8 <= sent[row] <= 14 for row in bad} == {True}
    for outcome in ran.failed:
        assert outcome.failure.type == "rate_limit_error"
        assert "times in" in outcome.failure.message
        assert "while other rows were answered" in outcome.failure.message
    assert last_good_s(ran, bad) <= USUAL_S + lost_s
    assert 60 <= ran.wall_s <= USUAL_S + lost_s + 8 * (asks_s or 0) + 180


@virtual
async def test_with_a_chain_the_next_model_answers_them():
    bad = set(range(5, 200, 20))
    ran = await run_with(bad, fallbacks={HAIKU: [SONNET]})
    assert (len(ran.succeeded), ran.failed, ran.ended.stop) == (ROWS, [], None)
    assert {o.reply.model for o in ran.succeeded if o.call.row in bad} == {SONNET}
    fell = ran.bench.told(FellBack)
    assert len(fell) == 10 and {event.reason for event in fell} == {"rate_limit_error"}


@virtual
async def test_the_last_row_of_a_file_waits_for_longer_because_nobody_comes_after_it():
    ran = await run_with({199})
    assert ran.ended.stop is None and [o.call.row for o in ran.failed] == [199]
    assert last_good_s(ran, {199}) <= USUAL_S and 600 <= ran.wall_s <= 750


@pytest.mark.parametrize("asks_s", [90.0, 1e9])
@pytest.mark.parametrize("bad", [0, 3, 100, 199])
@virtual
async def test_a_wait_longer_than_any_bucket_takes_is_its_rows_alone_and_a_minute_for_all(
    bad, asks_s
):
    """With 1e9 the others were done after 706 s, and the row failed after 4,300 s; the
    last row of a file ended the run with 5.
    """
    ran = await run_with({bad}, asks_s=asks_s)
    assert ran.ended.stop is None and [o.call.row for o in ran.failed] == [bad]
    assert last_good_s(ran, {bad}) <= USUAL_S + 66
    assert ran.wall_s <= (600 if bad < 199 else 800)
    # The last one is known to be bad only after ten minutes.
    assert len([1 for _, call in ran.api.came if call.row == bad]) <= (8 if bad < 199 else 14)


@virtual
async def test_where_all_are_asked_to_wait_for_long_they_do():
    def fate(call: Call, before: int, at: float) -> Happening:
        if 5.0 <= at < 320.0:
            return 0.1, status_error(429, retry_after=max(320.0 - at, 1.0))
        return 1.0, None

    ran = await run(200, fate, workers=8)
    assert ran.ended.stop is None and len(ran.succeeded) == 200
    assert len([at for at in ran.api.times if 7 <= at < 320]) <= 1


@virtual
async def test_where_all_rows_meet_429s_the_longest_outage_decides():
    ran = await run_with(set(range(40)), rows=40)
    assert ran.failed == [] and ran.ended.stop is not None
    assert ran.ended.stop.exit_code == 5 and 900 <= ran.wall_s <= 1000


OPUS = "claude-opus-5-5"


def never_fast(asks_s: float | None) -> Fate:
    def fate(call: Call, before: int, at: float) -> Happening:
        if b'"speed":"fast"' in call.body:
            return 0.1, status_error(429, retry_after=asks_s)
        return 1.0, None

    return fate


@pytest.mark.parametrize(("fast", "asks_s"), [(1, None), (10, 1.0), (100, None), (1, 1e9)])
@virtual
async def test_rows_that_fast_mode_never_lets_in_fail_and_the_others_go_on(fast, asks_s):
    ran = await run(300 + fast, never_fast(asks_s), model=OPUS, fast=range(fast))
    assert ran.ended.stop is None
    assert {outcome.call.row for outcome in ran.failed} == set(range(fast))
    assert {outcome.failure.type for outcome in ran.failed} == {"rate_limit_error"}
    assert len(ran.succeeded) == 300 and 900 <= ran.wall_s <= 906


@virtual
async def test_of_many_the_ones_that_nobody_asked_stay_to_be_done_and_the_others_go_on():
    def fate(call: Call, before: int, at: float) -> Happening:
        takes_s, what = never_fast(None)(call, before, at)
        return (60.0, what) if what is None else (takes_s, what)

    ran = await run(5000, fate, model=OPUS, fast=range(1000), workers=64)
    assert ran.ended.stop is not None and ran.ended.stop.id == "E711"
    assert len(ran.succeeded) == 4000, "after an hour"
    asked = {call.row for _, call in ran.api.came if call.row < 1000}
    assert {outcome.call.row for outcome in ran.failed} == asked and len(asked) < 200


@pytest.mark.parametrize("rows", [10, 80, 1000])
@virtual
async def test_five_minutes_of_429s_for_all_lose_no_row_but_the_one_that_is_bad(rows):
    def fate(call: Call, before: int, at: float) -> Happening:
        if call.row == 3 or 3.0 <= at < 303.0:
            return 0.1, status_error(429)
        return 1.0, None

    ran = await run(rows, fate, workers=8)
    assert ran.ended.stop is None and len(ran.succeeded) == rows - 1
    assert [outcome.call.row for outcome in ran.failed] == [3]


@virtual
async def test_a_session_with_only_such_rows_knows_them_from_the_one_before():
    before = RowLimited(0, 3, others_served=True)
    ran = await run_with(
        set(range(5)), rows=5, earlier=lambda row: RowTries(limited={HAIKU: before})
    )
    assert ran.ended.stop is None and len(ran.failed) == 5
    assert 60 <= ran.wall_s <= 200
