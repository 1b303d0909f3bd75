"""Bucket: a picture of one of the API's limits, in tables. What it never does:
test_never_ahead.
"""

from __future__ import annotations

import pytest

from claudebatch.layers.rate_limit.bucket_mirror import BucketMirror
from claudebatch.layers.rate_limit.peak_levels import PeakLevels

RATE = 0.985
"""Of the stated rate, while no header has shown anything."""


def waits(bucket: BucketMirror, *units: float) -> list[float]:
    """How long each of *units* waits, asked for one after the other from 0 on."""
    at, found = 0.0, []
    for each in units:
        seconds = bucket.wait_for(each, at)
        at += seconds + 1e-9
        bucket.take(each, at)
        found.append(seconds)
    return found


def seen(bucket: BucketMirror, remaining: float, at: float) -> float:
    """Let an answer say at once what remains; by how much that moved the picture."""
    return bucket.observe(bucket.snapshot(at), remaining, at)


def test_it_starts_empty_so_that_no_minute_of_allowance_goes_out_at_once() -> None:
    assert waits(BucketMirror(60_000, now=0), 1000, 1000) == pytest.approx(
        [0.5, 1 / RATE], abs=0.02
    )


def test_without_headers_it_is_a_little_slower_than_stated_and_saves_up_half_a_second() -> None:
    bucket = BucketMirror(60_000, now=0)
    assert bucket.wait_for(100, 0) == pytest.approx(0.1 / RATE)
    assert bucket.wait_for(500, 1000) == 0
    bucket.take(500, 1000)
    assert bucket.wait_for(1, 1000) > 0


def test_a_request_above_what_it_holds_leaves_a_full_one_and_is_paid_for_in_full() -> None:
    bucket = BucketMirror(60_000, now=0)
    bucket.take(50_000, 1000)
    assert bucket.wait_for(500, 1000) == pytest.approx(50 / RATE)


def test_what_is_given_back_is_as_if_it_had_never_been_taken() -> None:
    bucket = BucketMirror(60_000, now=0)
    before = bucket.wait_for(400, 0.1)
    bucket.take(10_000, 0.1)
    bucket.give_back(10_000, 0.1)
    assert bucket.wait_for(400, 0.1) == pytest.approx(before)


def test_giving_back_saves_up_no_more_than_a_rest_does() -> None:
    bucket = BucketMirror(60_000, now=0)
    bucket.give_back(10**6, 0)
    bucket.take(500, 0)
    assert bucket.wait_for(500, 0) == pytest.approx(0.5 / RATE)


def test_a_negative_return_is_debt_for_the_next() -> None:
    bucket = BucketMirror(60_000, now=0)
    bucket.give_back(-9500, 1000)
    assert bucket.wait_for(500, 1000) == pytest.approx(9.5 / RATE)


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = BucketMirror(60_000, now=100)
    waited = bucket.wait_for(100, 100)
    bucket.snapshot(50)
    assert bucket.wait_for(100, 100) == waited


def test_what_headers_show_is_taken_over_but_for_half_a_second_and_the_rounding() -> None:
    bucket = BucketMirror(60_000, now=0, step=1000)
    assert not bucket.known
    assert seen(bucket, 30_000, 0) > 0
    assert bucket.known
    assert bucket.snapshot(0).level == pytest.approx(30_000 - 500 - 500)
    assert seen(bucket, 29_500, 0) == 0, "as it thought"


def test_a_bucket_that_never_shows_four_steps_tells_nothing() -> None:
    bucket = BucketMirror(60, now=0)
    assert [seen(bucket, remaining, 0) for remaining in (0, 1, 3)] == [0, 0, 0]
    assert not bucket.known


@pytest.mark.parametrize("remaining", [0, 3000, 20_000])
def test_an_empty_bucket_never_raises_the_picture_for_it_may_be_in_debt(remaining: int) -> None:
    bucket = BucketMirror(60_000, now=0, step=1000)
    seen(bucket, 30_000, 0)
    bucket.take(50_000, 0)
    snapshots = [
        bucket.take(1, now) for now in (1, 10)
    ]  # so long ago that no header may be of before it
    raised = bucket.observe(snapshots[-1], remaining, 10)
    assert (raised > 0) is (remaining > 0)


def test_a_header_that_may_be_of_before_a_large_request_raises_nothing() -> None:
    bucket = BucketMirror(60_000, now=0, step=1000)
    seen(bucket, 30_000, 0)
    bucket.take(20_000, 1)
    snapshot = bucket.take(1, 2)
    assert bucket.observe(snapshot, 30_000, 2) == 0, "as if the twenty thousand were still there"


def test_less_than_was_thought_lowers_it_for_somebody_else_takes_too() -> None:
    bucket = BucketMirror(60_000, now=0, step=1000)
    seen(bucket, 30_000, 0)
    assert seen(bucket, 10_000, 0) == pytest.approx(10_000 - 29_000 + 500 - 500)


@pytest.mark.parametrize("remaining", [29_000, 19_000], ids=["before", "after"])
def test_what_left_between_admission_and_answer_may_be_counted_or_not(remaining: int) -> None:
    bucket = BucketMirror(60_000, now=0, step=1000)
    seen(bucket, 30_000, 0)
    snapshot = bucket.take(1000, 0)
    for _ in range(10):
        bucket.take(1000, 0)
    assert bucket.observe(snapshot, remaining, 0) == 0


def test_with_something_ahead_it_is_only_raised() -> None:
    bucket = BucketMirror(60_000, now=0, step=1000)
    seen(bucket, 30_000, 0)
    assert bucket.observe(bucket.take(0, 0), 1000, 0, uncounted=(0.0, 0.0)) == 0
    low = BucketMirror(60_000, now=0, step=1000)
    assert low.observe(low.take(0, 0), 30_000, 0, uncounted=(20_000.0, 5000.0)) == pytest.approx(
        30_000 - 20_000 - 1000
    )


def test_what_was_saved_up_is_spent_at_one_speed_over_some_seconds() -> None:
    bucket = BucketMirror(6000, now=0, level=1, spaced=True)
    seen(bucket, 6000, 0)
    assert bucket.top_per_s == pytest.approx(104 + 6000 / 6)
    at, times = 0.0, []
    for _ in range(7000):
        at += bucket.wait_for(1, at) + 1e-9
        bucket.take(1, at)
        times.append(at)
    assert times[2999] == pytest.approx(3000 / 1104, rel=0.05)
    assert times[5999] == pytest.approx(6000 / 1104, rel=0.05), "its end does not trickle"
    assert times[6999] - times[6899] == pytest.approx(1, rel=0.05)


def test_requests_for_which_seconds_are_saved_up_are_no_further_apart_than_some_milliseconds():
    few = BucketMirror(600, now=0, level=1, spaced=True)
    seen(few, 20, 0)
    assert waits(few, *[1] * 10)[1:] == pytest.approx([0.005] * 9, rel=0.01)
    assert few.top_per_s == 200
    smallest = BucketMirror(600, now=0, level=1, spaced=True)
    seen(smallest, 10, 0)
    assert waits(smallest, *[1] * 5)[1:] == pytest.approx([1 / 10.4] * 4)
    assert smallest.top_per_s == pytest.approx(12.07, rel=0.01)


def test_of_what_may_take_more_than_expected_only_some_seconds_are_spent_by_the_hundreds() -> None:
    answers = BucketMirror(60_000, now=0, level=1, spaced=True, soon_s=10)
    seen(answers, 60_000, 0)
    found = waits(answers, *[500] * 100)[1:]
    assert found[:18] == pytest.approx([0.005] * 18, rel=0.01), "ten seconds less the margin"
    assert found[25:] == pytest.approx([500 / 11_040] * 74, rel=0.05)


def test_tokens_that_were_saved_up_are_spread_too_and_others_are_not() -> None:
    bucket = BucketMirror(60_000, now=0, step=1000)
    seen(bucket, 60_000, 0)
    bucket.take(50, 0)
    assert bucket.wait_for(1, 0) == pytest.approx(50 / 11_040)
    bare = BucketMirror(60_000, now=0)
    bare.take(400, 1000)
    assert bare.wait_for(100, 1000) == 0


def test_departures_never_bunch_where_that_is_asked_for() -> None:
    bucket = BucketMirror(600, now=0, level=1, spaced=True)
    assert waits(bucket, *[1] * 5)[1:] == pytest.approx([0.1 / RATE] * 4, rel=0.2)
    bucket.take(1, 1000)
    bucket.take(1, 1000)
    assert bucket.wait_for(1, 1000) > 0.05, "a rest is no reason either"


def test_a_refusal_empties_it_and_what_was_believed_is_forgotten() -> None:
    bucket = BucketMirror(60_000, now=0, step=1000)
    seen(bucket, 30_000, 0)
    bucket.refused(0)
    assert (bucket.known, bucket.snapshot(0).level) == (False, 0)
    bucket.take(700, 0)
    bucket.refused(0)
    assert bucket.snapshot(0).level == -700, "debt stays debt"


def test_after_a_refusal_no_more_than_half_a_second_is_saved_up() -> None:
    bucket = BucketMirror(60_000, now=0, blind_burst_s=5.0)
    assert bucket.wait_for(5000, 100) == 0
    bucket.refused(100)
    bucket.take(500, 200)
    assert bucket.wait_for(500, 200) == pytest.approx(0.5 / RATE)


def test_every_refusal_doubles_the_distance_that_is_kept_up_to_eight_seconds() -> None:
    bucket, kept = BucketMirror(60_000, now=0, step=1000), []
    for _ in range(7):
        seen(bucket, 60_000, 0)
        kept.append(60_000 - 500 - bucket.snapshot(0).level)
        bucket.refused(0)
    assert kept == pytest.approx([500, 1000, 2000, 4000, 8000, 8000, 8000])


def test_what_comes_back_after_the_api_was_full_is_lost_there_too() -> None:
    late, soon = BucketMirror(60_000, now=0), BucketMirror(60_000, now=0)
    for bucket, answer_s in ((late, 30), (soon, 0.1)):
        snapshot = bucket.take(400, 100)
        bucket.give_back(300, 100 + answer_s, snapshot)
    assert late.snapshot(130).level == pytest.approx(500), "it was full long before"
    assert soon.snapshot(100.1).level == pytest.approx(500 - 100 + 100 * RATE, abs=1)


def test_after_an_absence_what_is_saved_up_stays_where_it_is_for_a_minute() -> None:
    bucket = BucketMirror(6000, now=0, level=1, spaced=True)
    seen(bucket, 6000, 0)
    bucket.hold_burst(0)
    assert waits(bucket, *[1] * 20)[10:] == pytest.approx([1 / 104] * 10, rel=0.05)
    bucket.take(1, 61)
    assert bucket.wait_for(1, 61) < 0.5 / 104


def test_a_new_rate_counts_from_now_on() -> None:
    bucket = BucketMirror(60_000, now=0)
    bucket.take(1000, 1000)
    bucket.set_rate(600_000, 1000)
    assert bucket.per_minute == pytest.approx(600_000)
    assert bucket.wait_for(0, 1000) == pytest.approx(0.05 / RATE)


def test_with_a_new_rate_the_api_holds_as_many_seconds_as_before() -> None:
    bucket = BucketMirror(60_000, now=0, step=1000)
    seen(bucket, 60_000, 0)
    bucket.set_rate(6000, 0)
    assert bucket.snapshot(1000).level == pytest.approx(6000, rel=0.2)


@pytest.mark.parametrize(("since", "highest"), [(0, 9), (1, 7), (2, 7), (3, 7), (4, 2), (5, 2)])
def test_the_highest_since_any_moment_is_known(since: int, highest: float) -> None:
    peaks = PeakLevels()
    for level in (9, 3, 5, 7, 1, 2):
        peaks.note(level, 0.0)
    assert peaks.since(since) == highest


def test_peaks_that_hardly_differ_are_kept_as_one_that_is_never_too_low() -> None:
    peaks = PeakLevels()
    for number in range(10_000):
        peaks.note(-number / 1000, 0.5)
    assert all(-n / 1000 <= peaks.since(n) < -n / 1000 + 0.5 for n in range(0, 10_000, 97))
    assert len(peaks._kept) <= 21


def test_after_a_lower_rate_what_has_just_left_is_paid_at_that_rate() -> None:
    bucket = BucketMirror(60_000, now=0)
    bucket.take(500, 1000)
    bucket.set_rate(6000, 1000.1)
    assert bucket.wait_for(50, 1000.1) == pytest.approx(4.9 / RATE, rel=0.01)
