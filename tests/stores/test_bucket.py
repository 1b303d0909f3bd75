"""Bucket: tokens are lent first come first served, never faster than the rate, and what was not used comes back."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.stores.bucket import Bucket


def test_it_starts_empty_so_that_no_minute_of_allowance_goes_out_at_once():
    bucket = Bucket(60, burst_s=1, now=100)
    assert bucket.book(1, 100) == pytest.approx(1)
    assert bucket.book(1, 100) == pytest.approx(2)


def test_it_saves_up_no_more_than_its_burst():
    bucket = Bucket(60, burst_s=2, now=0)
    assert [bucket.book(1, 1000) for _ in range(4)] == pytest.approx([0, 0, 1, 2])


def test_a_request_above_the_burst_goes_alone_and_is_paid_for_in_full():
    bucket = Bucket(60, burst_s=1, now=0)
    assert bucket.book(50, 1000) == pytest.approx(49)
    assert bucket.book(1, 1000) == pytest.approx(50)


def test_waits_are_first_come_first_served_so_that_no_large_request_starves():
    bucket = Bucket(60, burst_s=1, now=0)
    waits = [bucket.book(units, 0) for units in (1, 30, 1, 1)]
    assert waits == pytest.approx([1, 31, 32, 33])


def test_what_is_given_back_is_as_if_it_had_never_been_booked():
    bucket = Bucket(60, burst_s=1, now=0)
    bucket.book(10, 0)
    bucket.give_back(10, 0)
    assert bucket.book(1, 0) == pytest.approx(1)


def test_giving_back_saves_up_no_more_than_the_burst_either():
    bucket = Bucket(60, burst_s=1, now=0)
    bucket.book(10, 0)
    bucket.give_back(10, 500)
    assert [bucket.book(1, 500) for _ in range(2)] == pytest.approx([0, 1])


def test_a_negative_return_is_debt_for_the_next():
    bucket = Bucket(60, burst_s=1, now=0)
    bucket.book(1, 0)
    bucket.give_back(-9, 1)
    assert bucket.book(1, 1) == pytest.approx(10)


def test_a_new_rate_counts_from_now_on():
    bucket = Bucket(60, burst_s=1, now=0)
    bucket.book(10, 0)
    bucket.set_rate(600, 5)
    assert bucket.per_minute == pytest.approx(600)
    assert bucket.book(0, 5) == pytest.approx(0.5), "five of debt at ten a second"


def test_a_clock_that_steps_back_gives_nothing():
    bucket = Bucket(60, burst_s=1, now=100)
    bucket.book(1, 100)
    assert bucket.book(1, 50) == pytest.approx(2)
    assert bucket.book(1, 101) == pytest.approx(2)


_BOOKINGS = st.lists(st.tuples(st.integers(0, 50), st.floats(0, 20)), min_size=1, max_size=40)


def _uses(rate_s: float, burst_s: float, bookings: list[tuple[int, float]]) -> list[tuple[float, int]]:
    """(when it may be used, units) of bookings given as (units, seconds since the one before)."""
    bucket, at, uses = Bucket(rate_s * 60, burst_s=burst_s, now=0.0), 0.0, []
    for units, later in bookings:
        at += later
        uses.append((at + bucket.book(units, at), units))
    return uses


@settings(max_examples=300, deadline=None)
@given(rate_s=st.floats(0.1, 50), burst_s=st.floats(0, 5), bookings=_BOOKINGS)
def test_over_any_window_no_more_is_used_than_the_burst_and_the_rate_allow(rate_s, burst_s, bookings):
    uses = _uses(rate_s, burst_s, bookings)
    for first, (begin, largest) in enumerate(uses):
        total = 0
        for end, units in uses[first:]:
            total += units
            # A single request above the burst has saved up for itself before the window.
            allowed = max(rate_s * burst_s, largest) + rate_s * (end - begin)
            assert total <= allowed + 1e-6 * (1 + allowed)


@settings(max_examples=200, deadline=None)
@given(rate_s=st.floats(0.1, 50), burst_s=st.floats(0, 5), bookings=_BOOKINGS)
def test_nobody_overtakes_and_nobody_waits_for_nothing(rate_s, burst_s, bookings):
    uses = _uses(rate_s, burst_s, bookings)
    assert all(a[0] <= b[0] + 1e-9 for a, b in itertools.pairwise(uses))
    at, total = 0.0, 0
    for (units, later), (used_at, _) in zip(bookings, uses, strict=True):
        at += later
        total += units
        assert used_at - at <= total / rate_s + 1e-6, "no wait is longer than all that was ever booked"


@settings(max_examples=200, deadline=None)
@given(rate_s=st.floats(0.1, 50), burst_s=st.floats(0, 5), units=st.integers(0, 50), kept=_BOOKINGS)
def test_returned_at_once_a_booking_leaves_no_trace(rate_s, burst_s, units, kept):
    one, other = (Bucket(rate_s * 60, burst_s=burst_s, now=0.0) for _ in range(2))
    at = 0.0
    for booked, later in kept:
        at += later
        one.book(units, at)
        one.give_back(units, at)
        assert one.book(booked, at) == pytest.approx(other.book(booked, at), abs=1e-6)
