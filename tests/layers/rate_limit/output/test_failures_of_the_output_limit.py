"""One failure for each number of the limit of output tokens: each test here fails when
its number is 0.6 or 1.6 times what it is (`python -m tests.mutants rate_limit`).
"""

from __future__ import annotations

import pytest

from claudebatch.layers.rate_limit.output.accounting import CompetingLevels, OutputAccounting
from claudebatch.layers.rate_limit.output.live_output import smallest_bucket_mirror
from claudebatch.layers.rate_limit.output.output_limit import OutputLimit
from tests.layers.rate_limit.output.test_live_output import known
from tests.layers.rate_limit.output.test_output_limit import RATE, bound

HOLDS = 6000
"""Tokens that the API's bucket holds."""


def weigh(accounting: OutputAccounting, *, off: float, times: int = 1) -> OutputAccounting:
    """Headers that output which counts at its end explains, and output that counts
    while it is produced misses by *off* tokens, beyond the rounding.
    """
    for _ in range(times):
        accounting.weigh(
            3000,
            produced=CompetingLevels(3500 + off, 0.0),
            arrived=CompetingLevels(3000, 0.0),
            step=1000,
            holds=HOLDS,
        )
    return accounting


def test_one_odd_header_does_not_turn_the_rule_over_and_many_do() -> None:
    once = weigh(weigh(OutputAccounting(), off=HOLDS), off=0, times=20)
    assert not once.doubted, "it fades"
    often = OutputAccounting()
    for _ in range(30):
        weigh(weigh(often, off=HOLDS), off=0, times=9)
    assert weigh(often, off=HOLDS).at_end


@pytest.mark.parametrize(("share", "doubted"), [(0.09, False), (0.15, True)])
def test_a_mirror_that_is_a_little_off_contradicts_nothing(share: float, doubted: bool) -> None:
    assert weigh(OutputAccounting(), off=share * HOLDS, times=100).doubted is doubted


def test_a_full_bucket_is_not_counted_on_to_its_last_token() -> None:
    assert 800 <= smallest_bucket_mirror(RATE, now=0.0, share=1.0).snapshot(0.0).level <= 950


@pytest.mark.parametrize(("level", "goes"), [(170, True), (100, False)])
def test_a_bucket_that_is_almost_empty_is_left_alone(level: float, goes: bool) -> None:
    live = known()
    live.bucket.adjust(level - live.bucket.snapshot(100.0).level)
    assert (live.wait_watched(100.0, hold_burst=False) == 0) is goes


def test_requests_that_may_all_leave_do_not_leave_at_once() -> None:
    live = known()
    live.depart(1000, 100.0, watched=True)
    assert live.wait_watched(100.0, hold_burst=False) == pytest.approx(0.05, abs=0.01)


def of_a_large_bucket(latency_s: float) -> OutputLimit:
    """Answers take so long; headers have shown a minute's allowance."""
    output = OutputLimit(RATE, now=0.0, share=1.0)
    booking = output.take(100, 0.0)
    output.settle(booking, 100, latency_s, answered=True)
    output.observe(booking, 60_000, latency_s)
    return output


def test_the_later_a_mistake_shows_the_more_is_kept_back() -> None:
    more = of_a_large_bucket(15.0)._margin(1) - of_a_large_bucket(1.0)._margin(1)
    assert 14 * 65 <= more <= 14 * 90, "for each second"


def test_an_answer_faster_than_the_mean_does_not_overdraw_a_small_bucket_unseen() -> None:
    output = OutputLimit(RATE, now=0.0, share=1.0)
    assert 0.2 <= output._margin(1) / output._live.bucket.guaranteed_capacity <= 0.3


def test_a_bucket_of_some_answers_makes_up_for_mistakes_by_a_lower_rate() -> None:
    output = OutputLimit(RATE, now=0.0, share=1.0)
    output.settle(output.take(100, 0.0), 100, 2.0, answered=True)
    assert output._booked.gains_per_s == pytest.approx(1000 * (1 - 0.08), abs=15)


def test_one_long_answer_does_not_empty_a_small_bucket() -> None:
    output = OutputLimit(400_000, now=0.0, share=1.0)
    first = output.take(100, 0.0)
    output.observe(first, 6000, 1.0)
    output.settle(first, 100, 1.0, answered=True)
    output.settle(output.take(600, 1.0), 600, 2.0, answered=True)
    share = 600 / output._live.bucket.guaranteed_capacity
    below = 1 - output._booked.gains_per_s / (400_000 / 60)
    assert below == pytest.approx(0.4 * share * 0.875, rel=0.2)


def test_no_stream_is_paid_for_where_it_shows_nothing() -> None:
    assert not bound(0.1).take(100, 100.0).watched
    assert bound(0.15).take(100, 100.0).watched
