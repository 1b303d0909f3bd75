"""Flight: what answers on their way have produced by now."""

from __future__ import annotations

from math import inf

import pytest

from claudebatch.layers.rate_limit.output.in_flight import InFlightOutput


def known(latency_s: float = 10.0, *, tokens: float = 100.0) -> InFlightOutput:
    """One answer has told how long answers take; none is on its way."""
    flight = InFlightOutput(0.0)
    answer = flight.depart(tokens, 0.0)
    flight.produce(latency_s)
    flight.end(answer)
    flight.learn(answer, tokens, latency_s)
    return flight


def test_before_the_first_answer_nothing_is_known_of_what_is_produced() -> None:
    flight = InFlightOutput(0.0)
    answer = flight.depart(100.0, 0.0)
    assert (flight.latency_s, flight.per_s, flight.produce(5.0), flight.drops_oldest_in_s) == (
        None,
        0.0,
        0.0,
        inf,
    )
    assert flight.end(answer) is None


def test_what_is_on_its_way_is_produced_evenly_over_the_mean_latency() -> None:
    flight = known(10.0)
    first = flight.depart(1000.0, 10.0)
    assert flight.per_s == 100.0
    assert flight.produce(12.0) == pytest.approx(200)
    second = flight.depart(500.0, 12.0)
    assert flight.per_s == 150.0
    assert flight.produce(16.0) == pytest.approx(600)
    assert (flight.end(first), flight.end(second)) == (pytest.approx(600), pytest.approx(200))
    assert (flight.tokens, flight.per_s) == (0.0, 0.0)


def test_at_the_first_answer_the_others_count_as_produced_for_as_long_as_they_are_out() -> None:
    flight = InFlightOutput(0.0)
    first = flight.depart(100.0, 0.0)
    flight.produce(5.0)
    second = flight.depart(100.0, 5.0)
    flight.produce(20.0)
    assert flight.end(first) is None
    flight.learn(first, 100.0, 20.0)
    assert flight.latency_s == 20.0
    assert flight.end(second) == pytest.approx(75), "three quarters of its time are over"


def test_long_answers_weigh_more() -> None:
    flight = InFlightOutput(0.0)
    long, short = flight.depart(900.0, 0.0), flight.depart(100.0, 0.0)
    for answer, tokens, at in ((short, 100.0, 1.0), (long, 900.0, 11.0)):
        flight.produce(at)
        flight.end(answer)
        flight.learn(answer, tokens, at)
    assert flight.latency_s == pytest.approx(10)


def test_an_overdue_answer_is_dropped_after_three_times_the_mean_however_late_that_is_noticed() -> (
    None
):
    flight = known(10.0)
    hanging = flight.depart(100.0, 10.0)
    assert flight.drops_oldest_in_s == pytest.approx(30)
    assert flight.produce(1000.0) == pytest.approx(300), "and not a hundred times as much"
    assert (flight.tokens, flight.drops_oldest_in_s) == (0.0, inf)
    assert flight.end(hanging) == pytest.approx(300)


def test_only_the_last_two_hundred_latencies_count() -> None:
    flight, at = known(10.0), 10.0
    for _ in range(200):
        answer = flight.depart(100.0, at)
        at += 1.0
        flight.produce(at)
        flight.end(answer)
        flight.learn(answer, 100.0, at)
    assert flight.latency_s == pytest.approx(1.0)


def test_a_clock_that_steps_back_produces_nothing() -> None:
    flight = known(10.0)
    flight.depart(100.0, 10.0)
    assert flight.produce(5.0) == 0.0
    assert flight.produce(11.0) == pytest.approx(10)


def test_at_the_very_moment_that_was_told_the_oldest_one_is_forgotten() -> None:
    """Else that moment would be no wait at all, and a request would leave whatever is
    being produced.
    """
    flight = known(10.0)
    flight.depart(100.0, 10.0)
    flight.produce(10.0 + flight.drops_oldest_in_s)
    assert flight.drops_oldest_in_s == inf


def test_a_guess_serves_until_the_first_answer_tells() -> None:
    flight = InFlightOutput(0.0)
    first, second = flight.depart(100.0, 0.0), flight.depart(100.0, 0.0)
    flight.produce(2.0)
    flight.guess(10.0)
    assert (flight.latency_s, flight.guessed, flight.produced) == (10.0, True, pytest.approx(40))
    flight.guess(20.0)
    assert flight.produce(4.0) == pytest.approx(20)
    flight.end(first)
    flight.learn(first, 100.0, 4.0)
    assert (flight.latency_s, flight.guessed) == (4.0, False)
    flight.guess(50.0)
    assert flight.latency_s == 4.0
    assert flight.end(second) == pytest.approx(30), "and what was thought so far stays thought"


def test_what_those_on_their_way_have_by_now_is_kept_in_one_sum() -> None:
    flight = known(10.0)
    answers = []
    for second in range(10, 20):
        flight.produce(float(second))
        answers.append(flight.depart(100.0, float(second)))
    flight.produce(20.0)
    assert flight.produced == pytest.approx(sum(10 * (20 - second) for second in range(10, 20)))
    flight.end(answers[0])
    assert flight.produced == pytest.approx(450) and flight.answers == 9
    assert 400 < flight.uncertainty < 3 * 450, "chance evens out"
    for answer in answers[1:]:
        flight.end(answer)
    assert (flight.produced, flight.uncertainty) == (0.0, 0.0)
