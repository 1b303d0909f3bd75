"""The API's count of a sample, and how far the sum may be off."""

from __future__ import annotations

import random

import pytest

from claudebatch.estimate.counted_sample import counted


def rows(rng: random.Random, count: int) -> list[tuple[int, int]]:
    """Estimates, and counts that are 0.9 of them on average."""
    estimates = [rng.randint(20, 4000) for _ in range(count)]
    return [(estimate, round(estimate * rng.gauss(0.9, 0.15))) for estimate in estimates]


def test_the_error_that_is_told_is_the_error_that_is_made():
    """Over many samples of one file the sums differ by as much as each of them says
    that they do.
    """
    rng = random.Random(7)
    population = rows(rng, 1000)
    truth = sum(count for _, count in population) / sum(estimate for estimate, _ in population)
    samples = [counted(rng.sample(population, 40), 1000) for _ in range(400)]
    told = sum(sample.error for sample in samples) / 400
    made = (sum((sample.factor / truth - 1) ** 2 for sample in samples) / 400) ** 0.5
    assert told == pytest.approx(made, rel=0.15)
    assert (
        sum(abs(sample.factor / truth - 1) <= 2 * sample.error for sample in samples) >= 0.9 * 400
    )


def test_a_count_of_every_row_is_exact():
    population = rows(random.Random(1), 30)
    found = counted(population, 30)
    assert found is not None
    assert found.error == 0.0
    assert found.factor * sum(estimate for estimate, _ in population) == pytest.approx(
        sum(c for _, c in population)
    )


def test_one_row_of_many_says_nothing_about_the_spread():
    found = counted([(100, 90)], 50)
    assert found is not None
    assert (found.factor, found.error, found.rows) == (0.9, 1.0, 1)


def test_nothing_counted_says_nothing():
    assert counted([], 50) is None
