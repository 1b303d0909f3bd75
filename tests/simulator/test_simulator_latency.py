"""Latency is drawn from a distribution that is written as text."""

from __future__ import annotations

import random
import statistics

import pytest

from claudebatch.core.errors import ConfigError
from claudebatch.simulator import SIMULATE_LATENCY, SimulatorSettings, parse_latency


def test_a_fixed_latency_is_always_the_same():
    latency = parse_latency("fixed:0.1")
    assert {latency.draw(random.Random(n)) for n in range(10)} == {0.1}


def test_a_uniform_latency_stays_between_its_ends():
    rng = random.Random(1)
    drawn = [parse_latency("uniform:0.1,0.5").draw(rng) for _ in range(500)]
    assert 0.1 <= min(drawn) < 0.15 < 0.45 < max(drawn) <= 0.5


def test_a_lognormal_latency_has_its_median():
    rng = random.Random(1)
    drawn = [parse_latency(SIMULATE_LATENCY).draw(rng) for _ in range(2000)]
    assert 0.23 < statistics.median(drawn) < 0.27
    assert max(drawn) > 0.6


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", 'unknown distribution ""'),
        ("0.5", 'unknown distribution "0.5"'),
        ("normal:1,2", 'unknown distribution "normal"'),
        ("fixed:", '"" is not a number'),
        ("fixed:soon", '"soon" is not a number'),
        ("fixed:-1", "must be 0 or more"),
        ("fixed:nan", "must be 0 or more"),
        ("fixed:1,2", "needed for fixed: 1, got 2"),
        ("uniform:1", "needed for uniform: 2, got 1"),
        ("uniform:2,1", "low end is above"),
        ("lognormal:0,1", "median"),
    ],
)
def test_a_text_that_is_no_latency_is_refused_with_the_reason_and_the_fix(text, reason):
    with pytest.raises(ConfigError, match=reason) as caught:
        SimulatorSettings(latency=text)
    assert "lognormal:0.25,0.4" in caught.value.fix
