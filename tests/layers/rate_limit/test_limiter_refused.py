"""Pace after a 429: nothing leaves in the pause, then one at a time until one is
answered.
"""

from __future__ import annotations

import pytest

from claudebatch.core.domain import Usage
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.limiter import PoolLimiter
from tests.layers.rate_limit.test_limiter import (
    NEED,
    USED,
    departures,
    leave,
    pace,
    stated,
    why,
)

AT = 100.0
"""When the 429 comes, long after the gentle start."""


@pytest.mark.parametrize(("wait_s", "first"), [(0.5, 0.5), (5, 5), (20, 20), (300, 300)])
def test_nothing_leaves_before_the_pause_is_over_then_one_in_five_seconds(
    wait_s: float, first: float
) -> None:
    refused = pace(requests_per_minute=6000)
    refused.refused(leave(refused, AT)[0], wait_s, AT)
    assert why(refused, AT) == "rate limited"
    assert departures(refused, AT + first + 9, at=AT) == pytest.approx(
        [AT + first, AT + first + 5, AT + first + 10]
    )


def test_a_longer_pause_counts_and_a_shorter_one_does_not() -> None:
    refused = pace()
    for wait_s in (60.0, 5.0):
        refused.refused(refused.take(NEED, AT), wait_s, AT)
    assert leave(refused, AT)[1] == pytest.approx(AT + 60)


def test_five_minutes_of_refusals_are_sixty_probes() -> None:
    refused, at, probes = pace(requests_per_minute=6000), AT, 0
    refused.refused(leave(refused, at)[0], 1.0, at)
    while at < AT + 300 and probes < 1000:
        booking, at = leave(refused, at)
        refused.refused(booking, 1.0, at)
        probes += 1
    assert probes == pytest.approx(62, abs=1), "after 1, 2 and 4 s"
    assert refused.limited_for(at) == pytest.approx(at - AT)


def test_an_answer_to_what_was_sent_before_the_429_does_not_end_it() -> None:
    refused = pace(requests_per_minute=6000)
    before, _ = leave(refused, AT)
    refused.refused(leave(refused, AT)[0], 5.0, AT + 1)
    refused.settle(before, USED, None, AT + 2)
    assert refused.limited_for(AT + 2) == 1
    assert why(refused, AT + 6.1) is None, "the first probe"
    probe = refused.take(NEED, AT + 6.1)
    assert why(refused, AT + 7) == "rate limited"
    refused.settle(probe, USED, None, AT + 7)
    assert refused.limited_for(AT + 7) == 0


def test_after_it_the_pool_starts_gently_again() -> None:
    refused = pace(requests_per_minute=60_000)
    refused.refused(leave(refused, AT)[0], 5.0, AT)
    probe, at = leave(refused, AT)
    refused.settle(probe, USED, None, at + 1)
    times = departures(refused, at + 3, at=at + 1)
    assert len([moment for moment in times if moment < at + 1.5]) <= 8
    assert len(times) > 50


def test_its_tokens_come_back_and_the_buckets_are_empty() -> None:
    refused = pace(input_tokens_per_minute=60_000)
    booking = refused.take(NEED, AT)
    refused.refused(booking, 5.0, AT)
    probe, at = leave(refused, AT)
    refused.settle(probe, Usage(), None, at)
    assert why(refused, at, NEED) is None, "five seconds have filled them"
    again = pace(input_tokens_per_minute=60_000)
    again.refused(again.take(NEED, AT), 0.01, AT)
    again.settle(again.take(NEED, AT + 0.1), Usage(), None, AT + 0.1)
    assert why(again, AT + 0.3, NEED) == "input tokens per minute"


def test_what_it_had_booked_is_no_debt_after_the_pause() -> None:
    refused = pace(input_tokens_per_minute=60_000, output_tokens_per_minute=60_000)
    large = ExpectedUsage(300_000, 300_000)
    refused.refused(refused.take(large, AT), 5.0, AT)
    probe, at = leave(refused, AT)
    refused.settle(probe, Usage(), None, at)
    assert leave(refused, at + 1)[1] < at + 2


def test_a_storm_of_429s_empties_the_buckets_once() -> None:
    refused = pace(requests_per_minute=600)
    for _ in range(50):
        refused.refused(refused.take(NEED, AT), 5.0, AT)
    probe, at = leave(refused, AT)
    assert at == pytest.approx(AT + 5)
    refused.settle(probe, USED, None, at)
    assert len(departures(refused, at + 20, at=at)) > 100, "debt of fifty requests is five seconds"


def test_without_limits_a_429_pauses_all_the_same() -> None:
    free = pace()
    free.refused(free.take(NEED, 0), 7.0, 0)
    assert departures(free, 8, at=0) == pytest.approx([7, 12])


# One 429 among answers


def served(**settings: float) -> PoolLimiter:
    """A pool that answered a moment ago."""
    pool = pace(**settings)
    for _ in range(5):
        pool.settle(pool.take(NEED, AT), USED, None, AT)
    return pool


def test_a_bare_429_among_answers_is_its_rows_alone_and_costs_the_others_nothing() -> None:
    pool = served()
    assert not pool.refused(pool.take(NEED, AT), 1.0, AT)
    assert (why(pool, AT), pool.limited_for(AT + 1)) == (None, 0.0)


def test_the_next_one_beside_it_stops_the_pool() -> None:
    pool = served()
    pool.refused(pool.take(NEED, AT), 1.0, AT)
    assert pool.refused(pool.take(NEED, AT), 1.0, AT)
    assert why(pool, AT) == "rate limited"


@pytest.mark.parametrize("about", [{"bare": False}, {"ramp": True}], ids=str)
def test_one_that_names_a_limit_or_a_growth_too_steep_stops_the_pool(about: dict) -> None:
    pool = served()
    assert pool.refused(pool.take(NEED, AT), 1.0, AT, **about)


@pytest.mark.parametrize(
    ("left", "seconds", "stops"), [(5000, 0.5, False), (499, 0.5, True), (5000, 1.5, True)]
)
def test_headers_of_the_last_second_must_show_room_where_there_are_headers(
    left: int, seconds: float, stops: bool
) -> None:
    pool = served(requests_per_minute=6000)
    seen = stated(requests=6000, left=left)
    pool.settle(pool.take(NEED, AT), USED, seen, AT)
    assert pool.refused(pool.take(NEED, AT), 1.0, AT + seconds) is stops


@pytest.mark.parametrize(("ramp", "most"), [(False, 40), (True, 8)])
def test_after_a_short_stop_it_goes_on_at_half_the_rate_but_for_a_growth_too_steep(
    ramp: bool, most: int
) -> None:
    pool, at = pace(), AT
    for place in range(100):
        at = AT + place / 100
        pool.settle(pool.take(NEED, at), USED, None, at)
    pool.refused(pool.take(NEED, at), 1.0, at, bare=False, ramp=ramp)
    probe, at = leave(pool, at)
    pool.settle(probe, USED, None, at + 0.1)
    after = departures(pool, at + 0.6, at=at + 0.1)
    assert most * 0.7 <= len(after) <= most
