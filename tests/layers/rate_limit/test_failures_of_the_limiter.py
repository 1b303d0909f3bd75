"""One failure for each number of the limiter: each test here fails when its number is
0.6 or 1.6 times what it is (`python -m tests.mutants rate_limit`).

`docs/rate-limits.md` says which test holds which number; some numbers are held by the
tests of their part.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from claudebatch.core.errors import RateLimited
from claudebatch.layers.rate_limit.bucket_mirror import BucketMirror
from claudebatch.layers.rate_limit.concurrency import ConcurrencyLimit
from claudebatch.layers.rate_limit.input_limit import InputLimit
from claudebatch.layers.rate_limit.other_consumers import OtherConsumers
from claudebatch.layers.rate_limit.usage_estimates import UsageEstimates
from tests.layers.rate_limit.test_concurrency import fill, filled, refused, swap
from tests.layers.rate_limit.test_limiter import (
    NOW_RAMPED,
    USED,
    departures,
    leave,
    pace,
    stated,
)
from tests.layers.rate_limit.test_usage_estimates import Before, after, call, used
from tests.support.limiting import Limiter

RATE = 60_000
"""A thousand units a second."""


def shown(bucket: BucketMirror, remaining: float, at: float = 0.0) -> BucketMirror:
    """An answer has said at once that so much was left."""
    bucket.observe(bucket.snapshot(at), remaining, at)
    return bucket


def spaced(per_minute: float = 6000) -> BucketMirror:
    """Requests one by one; a minute's allowance is saved up, and none of it is
    spent.
    """
    bucket = shown(BucketMirror(per_minute, now=0, level=1, spaced=True), per_minute)
    bucket.hold_burst(0)
    return bucket


def gaps(bucket: BucketMirror, *, at: float, count: int = 20) -> list[float]:
    """How long each of *count* requests waits for the one before it."""
    found: list[float] = []
    for _ in range(count):
        bucket.take(1, at + sum(found))
        found.append(bucket.wait_for(1, at + sum(found)))
    return found


# What the API's buckets hold


def test_after_a_rest_no_more_leaves_at_once_than_half_of_the_smallest_bucket() -> None:
    rested = BucketMirror(RATE, now=0)
    assert 450 <= rested.snapshot(1000).level <= 550


def test_rows_of_another_kind_do_not_overdraw_a_bucket_of_five_seconds() -> None:
    limit, worst = InputLimit(RATE, now=0.0, share=1.0), 0.0
    while limit.wait_for(0.01, 100.0, worst_case=50.0) == 0:
        limit.take(0.01, 100.0, worst_case=50.0)
        worst += 50.0
    assert 4000 <= worst <= 5000, "and what they may count uses most of it"


def test_a_pool_that_comes_back_spends_nothing_that_was_saved_up_for_a_minute() -> None:
    bucket = spaced()
    assert gaps(bucket, at=50)[10:] == pytest.approx([1 / 104] * 10, rel=0.01)
    assert max(gaps(bucket, at=70)[10:]) < 0.5 / 104


# How far the mirror stays behind


def test_without_headers_jitter_never_adds_up_to_more_than_the_rate() -> None:
    blind, left, at = BucketMirror(RATE, now=0), 0, 0.0
    while at < 100:
        at += blind.wait_for(100, at) + 1e-9
        blind.take(100, at)
        left += 100
    assert 0.982 <= left / 100_000 <= 0.988, "a little less, and no more than a little"


def test_what_is_late_after_a_pause_is_no_stampede() -> None:
    assert gaps(spaced(), at=10)[10:] == pytest.approx([1 / 104] * 10, rel=0.01)


def test_a_busy_loop_loses_no_pace_and_lets_no_clump_go() -> None:
    bucket = spaced(600)
    bucket.take(1, 10)
    made_up = 1 / 10.4 - bucket.wait_for(1, 10)
    assert made_up == pytest.approx(0.05, abs=0.01), "of all the seconds that it is late"


@pytest.mark.parametrize(("seconds", "raises"), [(5.0, False), (8.0, True)])
def test_a_header_that_is_five_seconds_old_raises_nothing(seconds: float, raises: bool) -> None:
    bucket = shown(BucketMirror(RATE, now=0, step=1000), 30_000)
    bucket.take(20_000, 1)
    bucket.take(1, 1.1)
    moved = bucket.observe(bucket.take(1, 1 + seconds), 30_000, 1 + seconds)
    assert (moved > 0) is raises, "it may be of before the twenty thousand"


def test_what_is_saved_up_for_a_few_rows_takes_no_longer_than_their_answers() -> None:
    saved = shown(BucketMirror(600, now=0, level=1, spaced=True), 30)
    assert gaps(saved, at=10)[11:] == pytest.approx([0.005] * 9, rel=0.1)


def test_a_bucket_that_is_smaller_than_the_rounding_is_not_followed() -> None:
    assert not shown(BucketMirror(60, now=0), 3).known
    assert shown(BucketMirror(60, now=0), 4).known


def test_a_header_that_was_rounded_up_does_not_overdraw_the_bucket() -> None:
    limit = InputLimit(RATE, now=0.0, share=1.0)
    limit.observe(limit.take(0.0, 0.0), 30_000, 0.0)
    assert limit.wait_for(28_950, 0.0) == 0
    assert limit.wait_for(29_100, 0.0) > 0, "29,500 may be there, and half a second stays"


def test_one_late_header_is_no_other_consumer() -> None:
    others = OtherConsumers(0.0)
    others.moved(-100, 1.5, rate=100)
    assert others.per_s == 0
    others.moved(0, 2.5, rate=100)
    assert others.per_s > 0


# The start, and after a 429


def test_a_pool_does_not_start_with_a_burst() -> None:
    first, second = departures(pace(requests_per_minute=RATE), 0.05)[:2]
    assert 0.08 <= second - first <= 0.1 + 1e-9


def test_usage_does_not_grow_so_steeply_that_it_is_refused() -> None:
    times = departures(pace(requests_per_minute=6 * RATE), 1.6)
    assert 12 <= sum(1.4 <= at < 1.6 for at in times) <= 22, "80 a second, and twice in half of one"


def test_a_batch_of_some_rows_does_not_leave_one_by_one_once_an_answer_shows_what_is_left() -> None:
    start = pace(requests_per_minute=RATE)
    start.settle(leave(start, 0)[0], USED, stated(left=RATE), 0.5)
    assert 14 <= sum(at < 0.5 + 0.18 for at in departures(start, 1.0, at=0.5)) <= 22


def test_while_limits_are_unknown_no_tier_that_ever_was_is_overrun() -> None:
    guess = pace(requests_per_minute=RATE, cautious=True)
    assert 45 <= len(departures(guess, 59.0)) <= 50


def test_a_wait_that_rounds_to_zero_does_not_spin_the_loop() -> None:
    limits = pace(requests_per_minute=6000)
    for _ in range(20):
        _, at = leave(limits, NOW_RAMPED)
    due = at + limits.wait(ANY, at).seconds  # type: ignore[union-attr]
    wait = limits.wait(ANY, due - 1e-5)
    assert wait is not None and 0.0008 <= wait.seconds <= 0.0012


ANY = SimpleNamespace(input_tokens=0.0, output_tokens=0.0, input_worst_case=0.0, proven=True)


async def test_processes_that_met_the_same_429_do_not_come_back_as_one() -> None:
    layer = Limiter(rpm=60).layer
    error = RateLimited("429", type="rate_limit_error", retry_after=10.0)
    waits = [layer._pause_s(error) for _ in range(200)]
    assert min(waits) >= 10, "never before their time"
    assert 10.8 <= max(waits) <= 11.1


# Requests in flight


def test_a_pool_whose_answers_take_half_a_minute_does_not_stand_still_at_its_first_few() -> None:
    slots = filled(310, 10_000)
    assert slots.wait(0) == 0
    fill(slots)
    assert (slots.limit, slots.wait(1)) == (620, float("inf")), "and proves no more than that"


def test_answers_of_before_a_refusal_do_not_undo_it() -> None:
    slots = refused(100)
    while slots.in_flight < 80:
        slots.take()
    assert after_answers(slots, 8.0) == 80
    assert after_answers(slots, 12.0) > 80


def after_answers(slots: ConcurrencyLimit, at: float) -> int:
    for _ in range(100):
        swap(slots, at)
    return slots.limit


# What a request will take


def test_estimates_that_are_a_fifth_too_low_do_not_overdraw_before_the_first_answer() -> None:
    expected = after().expect(call(estimate=1000)).input_tokens
    assert 1000 * 1.2 <= expected <= 1000 * 1.35


def test_earlier_runs_of_other_rows_are_not_believed_in_full() -> None:
    need = UsageEstimates(Before()).expect(call(estimate=1000))
    assert 800 * 1.3 <= need.input_worst_case <= 800 * 1.8


def test_one_odd_answer_does_not_turn_the_estimate_over() -> None:
    once = after(used(input_tokens=0)).expect(call(estimate=1000)).input_tokens
    assert 850 <= once <= 970, "of 1,250"
    nine = after(*[used(input_tokens=0)] * 9).expect(call(estimate=1000)).input_tokens
    assert nine == 0, "nine are not odd"


def test_text_that_is_seen_is_not_counted_as_fewer_tokens_than_it_has() -> None:
    per_byte = after().expect(call()).tokens_per_byte
    german, english = 0.43, 0.32
    assert german * 0.9 <= per_byte <= english * 1.5
