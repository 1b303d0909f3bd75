"""Trust: each refusal takes some, and time gives it back, the slower the more often
that was needed.
"""

from __future__ import annotations

import pytest

from claudebatch.layers.rate_limit.bucket_mirror import BucketMirror
from claudebatch.layers.rate_limit.safety_margin import SafetyMargin


def trust(margin_s: float = 0.5) -> SafetyMargin:
    return SafetyMargin(margin_s=margin_s, blind_burst_s=5.0, least_blind_burst_s=0.5)


def test_a_refusal_is_forgotten_after_five_minutes_and_not_before() -> None:
    doubted = trust()
    doubted.refused(100.0)
    assert (doubted.margin_s, doubted.blind_burst_s) == (1.0, 0.5)
    doubted.pass_time(399.9)
    assert (doubted.margin_s, doubted.blind_burst_s) == (1.0, 0.5)
    doubted.pass_time(400.0)
    assert (doubted.margin_s, doubted.blind_burst_s) == (0.5, 5.0)


def test_whatever_is_wrong_for_good_is_tried_less_and_less_often() -> None:
    doubted, now, waits = trust(), 0.0, []
    for _ in range(4):
        doubted.refused(now)
        since = now
        while doubted.margin_s > 0.5:
            now += 1.0
            doubted.pass_time(now)
        waits.append(now - since)
    assert waits == [300, 600, 1200, 2400]


def test_several_refusals_are_forgotten_one_by_one() -> None:
    doubted, kept = trust(), []
    for at in (0.0, 1.0, 2.0):
        doubted.refused(at)
    for now in (0.0, 1202.0, 2402.0, 3602.0):
        doubted.pass_time(now)
        kept.append(doubted.margin_s)
    assert kept == [4.0, 2.0, 1.0, 0.5]


def test_after_a_long_sleep_all_of_them_are() -> None:
    doubted = trust()
    for _ in range(100):
        doubted.refused(0.0)
    assert doubted.margin_s == 8.0
    doubted.pass_time(1e9)
    assert doubted.margin_s == 0.5


@pytest.mark.parametrize(("first", "later", "refused"), [(0.5, 1.25, 2.5), (9.0, 9.0, 9.0)])
def test_a_larger_distance_that_was_asked_for_counts(
    first: float, later: float, refused: float
) -> None:
    doubted = trust(first)
    doubted.keep_margin(1.25)
    doubted.keep_margin(1.0)
    assert doubted.margin_s == later
    doubted.refused(0.0)
    assert doubted.margin_s == refused


def test_room_is_never_more_than_at_first() -> None:
    calm = trust()
    calm.limit_blind_burst(30.0)
    assert calm.blind_burst_s == 5.0
    calm.limit_blind_burst(0.2)
    calm.refused(0.0)
    assert calm.blind_burst_s == 0.2


def test_a_bucket_forgets_a_refusal() -> None:
    bucket = BucketMirror(60_000, now=0, step=1000, blind_burst_s=5.0)
    bucket.refused(0)
    assert bucket.wait_for(5000, 290) == 0, "alone, when it is full"
    bucket.take(500, 290)
    assert bucket.snapshot(299).level == 500
    assert bucket.snapshot(306).level == 5000
