"""GentleStart: ten a second and twice as many every half second; less gently after a
short stop.
"""

from __future__ import annotations

from math import inf

import pytest

from claudebatch.layers.rate_limit.gentle_start import GentleStart


def test_at_the_very_first_ten_a_second() -> None:
    start = GentleStart(5.0)
    assert [start.gap_s(5.0), start.gap_s(5.5)] == pytest.approx([0.1, 0.05])
    assert start.gap_s(10.0) == -inf


@pytest.mark.parametrize(("before", "first"), [(128.0, 64.0), (6.0, 10.0)])
def test_after_a_short_stop_from_half_of_what_left_before(before: float, first: float) -> None:
    start = GentleStart(0.0)
    start.go_on(20.0, before_per_s=before)
    assert start.gap_s(20.0) == pytest.approx(1 / first)
    assert start.gap_s(20.5) == pytest.approx(1 / first / 2)


def test_after_a_long_one_as_at_the_very_first() -> None:
    start = GentleStart(0.0)
    start.go_on(20.0, before_per_s=500.0)
    start.begin(90.0)
    assert start.gap_s(90.0) == pytest.approx(0.1)


def test_the_speed_is_that_of_the_last_second() -> None:
    start = GentleStart(0.0)
    for place in range(300):
        start.left(place / 100)
    assert start.speed(2.99) == pytest.approx(100, abs=1)
    assert start.speed(5.0) == 0
