"""Speeds: how long answers take by what was expected of them, and how even they are."""

from __future__ import annotations

import random
import statistics

import pytest

from claudebatch.layers.rate_limit.output.in_flight import InFlightOutput
from claudebatch.layers.rate_limit.output.speeds import OutputSpeeds


def test_before_any_answer_everything_is_possible() -> None:
    assert (OutputSpeeds().latency_s, OutputSpeeds().spread) == (None, 1.0)


def test_the_spread_is_that_of_tokens_a_second_each_second_counted_once() -> None:
    rng, speeds, seconds_of_speed = random.Random(3), OutputSpeeds(), []
    for _ in range(200):
        tokens, seconds = rng.lognormvariate(6, 0.3), rng.randint(5, 9)
        speeds.add(400, tokens, seconds)
        seconds_of_speed += [tokens / seconds] * seconds
    relative = statistics.pstdev(seconds_of_speed) / statistics.fmean(seconds_of_speed)
    assert relative < 1
    assert speeds.spread == pytest.approx(((relative**2 * 200 + 5) / 205) ** 0.5)


def test_answers_of_one_speed_take_away_the_doubt_and_a_few_are_not_enough() -> None:
    speeds = OutputSpeeds()
    spreads = []
    for length in range(200):
        speeds.add(400, 100 + length, (100 + length) / 50)
        spreads.append(speeds.spread)
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[4] > 0.7 and spreads[-1] < 0.16


def test_it_is_never_worse_than_knowing_nothing() -> None:
    speeds = OutputSpeeds()
    for tokens in (1, 1, 10_000) * 20:
        speeds.add(400, tokens, 1.0)
    assert speeds.spread == 1.0


@pytest.mark.parametrize(("tokens", "seconds"), [(0, 0.0), (0, 3.0), (5, 0.0)])
def test_empty_answers_and_clocks_that_stand_still_break_nothing(
    tokens: float, seconds: float
) -> None:
    speeds = OutputSpeeds()
    speeds.add(0, tokens, seconds)
    assert 0 <= speeds.spread <= 1
    assert speeds.latency_s is not None and speeds.latency_s > 0


def test_only_the_last_two_hundred_count() -> None:
    speeds = OutputSpeeds()
    for answer in range(400):
        speeds.add(100, 100, 1000.0 if answer < 200 else 2.0)
    assert speeds.latency_s == pytest.approx(2.0)
    assert speeds.spread == pytest.approx((5 / 205) ** 0.5)


def test_output_in_flight_at_one_speed_is_known_though_long_answers_are_out_longer() -> None:
    flight, rng, now = InFlightOutput(0.0), random.Random(1), 0.0
    for _ in range(200):
        tokens = rng.lognormvariate(6, 0.7)
        answer = flight.depart(500.0, now)
        now += tokens / 50
        flight.produce(now)
        flight.end(answer)
        flight.learn(answer, tokens, now)
    expected = [flight.depart(500.0, now) for _ in range(10)]
    assert flight.per_s == pytest.approx(10 * 50, rel=0.15), "whatever was expected of each"
    flight.produce(now + 4)
    assert flight.uncertainty < 0.2 * flight.produced, (
        "before answers have told, as much as all of it"
    )
    assert len(expected) == flight.answers
