"""LearnedRate: a limit that nobody states, told by its refusals."""

from __future__ import annotations

from math import inf

import pytest

from claudebatch.layers.rate_limit.learned_rate import LearnedRate


def send(learned: LearnedRate, count: int, since: float, until: float) -> None:
    """Requests leave evenly, and are let through."""
    for place in range(count):
        learned.left(since + (until - since) * (place + 1) / count)


def taught(count: int = 50, until: float = 10.0) -> LearnedRate:
    """Refusals in a row at 0 and at *until*, and *count* let through between them."""
    learned = LearnedRate()
    learned.refused(-0.1, 0.0, alone=False)
    send(learned, count, 0.0, until)
    learned.left(until)
    learned.refused(until, until, alone=False)
    return learned


def test_nothing_is_limited_before_refusals_in_a_row() -> None:
    learned = LearnedRate()
    for moment in range(1, 100):
        learned.left(float(moment))
        learned.refused(float(moment), float(moment), alone=True)
    assert (learned.per_s(100.0), learned.wait(100.0)) == (inf, -inf)


def test_what_was_let_through_between_two_of_them_is_what_is_refilled() -> None:
    assert taught().per_s(10.0) == pytest.approx(4.8)


def test_it_spaces_departures_so() -> None:
    learned = taught()
    learned.left(10.0)
    assert learned.wait(10.0) == pytest.approx(1 / 4.8, abs=0.06)


@pytest.mark.parametrize(("count", "until"), [(50, 1.9), (3, 10.0)])
def test_a_short_time_and_a_few_requests_show_nothing(count: int, until: float) -> None:
    assert taught(count, until).per_s(until) == inf


def test_every_minute_a_little_more_is_tried_and_the_next_refusal_takes_it_back() -> None:
    learned = taught()
    assert learned.per_s(130.0) == pytest.approx(4.8 * 1.08)
    send(learned, 600, 10.0, 130.0)
    learned.left(130.0)
    learned.refused(130.0, 130.0, alone=True)
    assert learned.per_s(130.0) == pytest.approx(4.8, rel=0.01)


def test_refused_all_the_same_below_that_rate_it_was_another_reason() -> None:
    learned, at = taught(), 10.0
    for _ in range(3):
        send(learned, 40, at, at + 10)
        at += 10
        learned.left(at)
        learned.refused(at, at, alone=True)
    assert learned.per_s(at) == inf


def test_after_five_minutes_without_a_refusal_it_is_forgotten() -> None:
    learned = taught()
    assert learned.per_s(309.0) < inf
    assert learned.per_s(311.0) == inf


def test_a_time_in_which_nothing_was_let_through_shows_no_rate() -> None:
    learned = LearnedRate()
    for moment in (0.0, 3.0, 7.0, 300.0):
        learned.left(moment)
        learned.refused(moment, moment, alone=False)
    send(learned, 50, 300.0, 310.0)
    learned.left(310.0)
    learned.refused(310.0, 310.0, alone=False)
    assert learned.per_s(310.0) == pytest.approx(4.8)


@pytest.mark.parametrize(("earlier", "learned"), [(400, True), (1000, False)])
@pytest.mark.parametrize("ago_s", [10.0, 100.0])
def test_a_rate_that_no_bucket_fits_to_what_was_let_through_before_is_chance(
    earlier: int, learned: bool, ago_s: float
) -> None:
    rate = LearnedRate()
    send(rate, earlier, -ago_s, 0.0)
    rate.refused(-0.1, 0.0, alone=False)
    send(rate, 30, 0.0, 5.0)
    rate.left(5.0)
    rate.refused(5.0, 5.0, alone=False)
    assert (rate.per_s(5.0) < inf) is learned


def test_refusals_far_apart_show_no_rate_between_them() -> None:
    assert taught(600, 301.0).per_s(301.0) == inf


def test_refusals_of_what_left_before_count_for_nothing() -> None:
    learned = LearnedRate()
    for _ in range(60):
        learned.refused(-0.1, 0.0, alone=False)
    send(learned, 50, 0.0, 10.0)
    learned.left(10.0)
    learned.refused(10.0, 10.0, alone=False)
    assert learned.per_s(10.0) == pytest.approx(4.8)
