"""The price of rows nobody asked, from a sample: the interval holds the truth as often
as it says.
"""

from __future__ import annotations

import random

import pytest

from claudebatch.engine.ratio_estimate import RatioEstimate, RatioSums, student_t

TRIALS = 400


def population(rng: random.Random, *, tilt: float) -> list[tuple[int, int]]:
    """Rows as (weight, cost): lengths are skewed, as real prompts and answers are."""
    rows = []
    for _ in range(600):
        length = rng.lognormvariate(6, 0.7)
        answer = rng.lognormvariate(4, 0.5) * (length / 400) ** tilt
        rows.append((round(length * 1000 + 400_000), round(length * 1000 + answer * 5000)))
    return rows


@pytest.mark.parametrize("size", [5, 20, 100])
@pytest.mark.parametrize("tilt", [0.0, 0.5])
def test_nine_in_ten_intervals_and_more_hold_the_cost_of_the_rest(size, tilt):
    rng, held = random.Random(f"{size}{tilt}"), 0
    for _ in range(TRIALS):
        rows = population(rng, tilt=tilt)
        rng.shuffle(rows)
        sums = RatioSums()
        for weight, cost in rows[:size]:
            sums.add(weight, cost)
        rest = rows[size:]
        _, low, high = sums.estimate().of_rest(len(rest), sum(weight for weight, _ in rest))
        held += low <= sum(cost for _, cost in rest) <= high
    assert 0.90 <= held / TRIALS <= 0.99


def test_a_sample_of_all_rows_leaves_nothing_open():
    sums = RatioSums()
    for weight, cost in [(10, 7), (20, 11), (5, 9)]:
        sums.add(weight, cost)
    assert sums.estimate().of_rest(0, 0) == (0, 0, 0)


def test_one_row_or_none_of_a_known_price_says_nothing():
    sums = RatioSums()
    assert sums.estimate() is None
    sums.add(10, 10)
    assert sums.estimate() is None
    free = RatioSums()
    for _ in range(5):
        free.add(0, 10)
    assert free.estimate() is None


def test_costs_in_proportion_to_their_weights_have_no_spread():
    sums = RatioSums()
    for weight in (10**9, 3 * 10**9, 7 * 10**9):
        sums.add(weight, weight * 2)
    found = sums.estimate()
    assert (found.ratio, found.spread) == (2.0, 0.0)
    assert found.of_rest(10, 10**10) == (2 * 10**10,) * 3


@pytest.mark.parametrize(
    ("degrees", "published"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (19, 2.093), (99, 1.984)],
)
def test_the_quantiles_are_those_of_the_tables(degrees, published):
    assert student_t(degrees) == pytest.approx(published, rel=0.005)


def test_more_rows_of_another_kind_are_told_from_chance():
    sample = RatioEstimate(rows=20, weight=20_000, ratio=1.0, spread=300.0)
    assert sample.holds(20, 20_000, 21_000)
    assert not sample.holds(20, 20_000, 26_000)
    # The same mean of ever more rows is ever less of a chance.
    assert sample.holds(20, 20_000, 23_500)
    assert not sample.holds(20_000, 20_000_000, 23_500_000)
    # Costs that are all alike would make a drift of a thousandth.
    alike = RatioEstimate(rows=20, weight=20_000, ratio=1.0, spread=0.0)
    assert alike.holds(1000, 1_000_000, 1_040_000)
    assert not alike.holds(1000, 1_000_000, 1_060_000)
