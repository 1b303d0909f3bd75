"""Refusals: which 429 stops the pool, for how long, and what ends it."""

from __future__ import annotations

import pytest

from claudebatch.layers.rate_limit.stray_429s import Refusals


def served(now: float = 0.0) -> Refusals:
    """Of a pool that has just been answered."""
    refusals = Refusals()
    refusals.answered(now, now)
    return refusals


def stopped(wait_s: float = 1.0) -> Refusals:
    """A pool that a 429 stopped at 0."""
    refusals = served()
    refusals.stop(0.0, wait_s, 0.0)
    return refusals


def test_one_among_answers_is_its_rows_alone_however_many_come_far_apart() -> None:
    refusals = served()
    assert all(refusals.passes(number, 1.0, 0.1) for number in range(30, 3000, 30))


def test_one_in_six_without_an_end_is_a_limit_that_is_passed_by_little() -> None:
    refusals = served()
    passed = [refusals.passes(number, 1.0, 0.1) for number in range(6, 60, 6)]
    assert passed == [True] * 4 + [False] * 5


@pytest.mark.parametrize("apart", [-2, -1, 1, 2])
def test_neighbours_in_the_order_of_departure_stop_the_pool(apart: int) -> None:
    refusals = served()
    assert refusals.passes(10, 1.0, 0.1)
    assert not refusals.passes(10 + apart, 1.0, 0.2)


def test_answers_that_come_between_prove_nothing_because_they_take_longer_than_a_429() -> None:
    refusals = served()
    assert refusals.passes(10, 1.0, 0.1)
    refusals.answered(0.0, 0.15)
    assert not refusals.passes(11, 1.0, 0.2)


def test_without_an_answer_in_ten_seconds_the_first_stops_the_pool() -> None:
    assert not Refusals().passes(1, 1.0, 0.0)
    assert not served().passes(10, 1.0, 10.1)


def test_a_long_wait_is_nobodys_chance() -> None:
    assert served().passes(10, 5.0, 0.1)
    assert not served().passes(10, 5.5, 0.1)


def test_probes_that_are_refused_wait_twice_as_long_up_to_five_seconds() -> None:
    refusals, at, times = stopped(), 0.0, []
    for _ in range(6):
        at += refusals.wait(at)
        times.append(at)
        refusals.left(at)
        assert not refusals.stop(at, 1.0, at), "it was stopped already"
    assert times == pytest.approx([1, 3, 7, 12, 17, 22])


def test_a_longer_wait_that_is_asked_for_counts() -> None:
    refusals = stopped()
    refusals.left(1.0)
    refusals.stop(1.0, 30.0, 1.1)
    assert refusals.wait(1.1) == pytest.approx(30)


def test_an_answer_meanwhile_makes_a_minute_of_a_longer_wait_that_one_alone_is_asked_for():
    refusals = stopped(600.0)
    assert refusals.wait(2.0) == pytest.approx(598)
    assert not refusals.answered(-3.0, 2.0)
    assert refusals.wait(2.0) == pytest.approx(58)


@pytest.mark.parametrize("about", [{"ramp": True}, {}], ids=["too steep", "two are"])
def test_a_longer_wait_is_believed_of_two_and_of_a_growth_too_steep(about: dict):
    refusals = served()
    refusals.stop(0.0, 600.0, 0.0, **about)
    if not about:
        refusals.stop(-0.1, 600.0, 0.1)
    refusals.answered(-3.0, 2.0)
    assert refusals.wait(2.0) >= 598


def test_refusals_of_what_left_before_the_stop_do_not_double_it() -> None:
    refusals = stopped()
    for _ in range(50):
        refusals.stop(-0.1, 1.0, 0.05)
    assert refusals.wait(0.05) == pytest.approx(1)


def test_while_a_probe_is_out_the_next_leaves_after_five_seconds() -> None:
    refusals = stopped()
    refusals.left(1.0)
    assert refusals.wait(2.0) == pytest.approx(4)


def test_an_answer_to_what_left_after_the_429_ends_it_and_to_what_left_before_does_not() -> None:
    refusals = stopped()
    assert not refusals.answered(-1.0, 1.5)
    refusals.left(2.0)
    assert refusals.answered(2.0, 2.5)


def test_where_answers_take_long_a_probe_that_is_not_refused_in_time_is_let_in() -> None:
    refusals = served()
    refusals.stop(0.0, 1.0, 0.3)
    refusals.left(1.3)
    assert not refusals.answered(-20.0, 1.8), "a refusal takes 0.3 s, and some longer"
    assert refusals.answered(-20.0, 2.0), "then the next answer to anything ends the stop"


@pytest.mark.parametrize(("seconds", "long"), [(59.0, False), (61.0, True)])
def test_after_a_minute_it_was_a_long_stop(seconds: float, long: bool) -> None:
    refusals = stopped()
    assert refusals.end(seconds) is long
    assert (refusals.stopped, refusals.stopped_for(seconds)) == (False, 0.0)
