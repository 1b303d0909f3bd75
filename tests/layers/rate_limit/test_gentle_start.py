"""GentleStart: ten a second and twice as many every half second; less gently after a
short stop, and some at once when the first answer has shown what is left.
"""

from __future__ import annotations

from math import inf

import pytest

from claudebatch.layers.rate_limit.gentle_start import GentleStart


def leaves(start: GentleStart, since: float, until: float) -> list[float]:
    """When requests leave, one right after the other."""
    at, found = since, []
    while (at := at + max(0.0, start.wait(at))) < until:
        start.left(at)
        found.append(at)
        at += 1e-6
    return found


def test_at_the_very_first_ten_a_second_and_twice_as_many_in_half_a_second() -> None:
    times = leaves(GentleStart(5.0), 5.0, 6.5)
    assert times[:2] == pytest.approx([5.0, 5.1], abs=1e-4)
    halves = [sum(5 + k / 2 <= at < 5.5 + k / 2 for at in times) for k in range(3)]
    assert halves == [7, 14, 27]


def test_growth_comes_to_an_end_where_it_matters_no_longer() -> None:
    start = GentleStart(5.0)
    assert [start.wait(at) for at in (8.0, 10.0)] == [pytest.approx(0, abs=3), -inf]


def test_what_was_not_used_does_not_add_up() -> None:
    start = GentleStart(0.0)
    assert len(leaves(start, 1.0, 1.01)) == 1


@pytest.mark.parametrize(("before", "first"), [(128.0, 64.0), (6.0, 10.0)])
def test_after_a_short_stop_from_half_of_what_left_before(before: float, first: float) -> None:
    start = GentleStart(0.0)
    start.go_on(20.0, before_per_s=before)
    times = leaves(start, 20.0, 21.0)
    assert times[1] - times[0] == pytest.approx(1 / first, abs=1e-4)
    later = [at for at in times if at >= 20.5]
    assert later[1] - later[0] == pytest.approx(1 / first / 2, rel=0.1)


def test_after_a_long_one_as_at_the_very_first() -> None:
    start = GentleStart(0.0)
    start.go_on(20.0, before_per_s=500.0)
    start.begin(90.0)
    times = leaves(start, 90.0, 91.0)
    assert times[:2] == pytest.approx([90.0, 90.1], abs=1e-4)


def test_when_an_answer_has_shown_what_is_left_sixteen_leave_at_once_and_others_follow() -> None:
    start = GentleStart(0.0)
    start.left(0.0)
    start.open(0.5)
    times = leaves(start, 0.5, 1.5)
    assert sum(at < 0.51 for at in times) == 16
    assert sum(at < 0.8 for at in times) >= 24
    assert len(times) <= 4 * 24, "and it grows on as steeply as before"


def test_growth_goes_on_from_what_has_really_left_however_long_the_first_answer_took() -> None:
    start = GentleStart(0.0)
    for place in range(1000):
        start.left(place / 20)
    start.open(50.0)
    times = leaves(start, 50.0, 50.5)
    assert 16 + 20 <= len(times) <= 16 + 45, "twice the twenty a second of before"


def test_after_a_stop_nothing_leaves_at_once() -> None:
    start = GentleStart(0.0)
    start.open(0.5)
    start.go_on(20.0, before_per_s=6.0)
    assert len(leaves(start, 20.5, 20.52)) == 1


def test_the_speed_is_that_of_the_last_second() -> None:
    start = GentleStart(0.0)
    for place in range(300):
        start.left(place / 100)
    assert start.speed(2.99) == pytest.approx(100, abs=1)
    assert start.speed(5.0) == 0
