"""A spike of spend is told once, and nothing else is."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.alerts.settings import SpikeSettings
from claudebatch.alerts.spend_spikes import Spike, SpikeDetector
from claudebatch.core.domain import PICO_PER_USD

CENT = PICO_PER_USD // 100
NO_FLOOR = SpikeSettings(floor=0)


class Stream:
    """Feeds a detector evenly spaced costs in virtual time."""

    def __init__(self, settings: SpikeSettings | None = None) -> None:
        self.detector = SpikeDetector(settings)
        self.now = 0.0
        self.row = 0
        self.spikes: list[Spike] = []

    def spend(self, times: int, cost: int, every_s: float, *, answered: bool = True) -> list[Spike]:
        """The spikes of *times* costs."""
        before = len(self.spikes)
        for _ in range(times):
            self.now += every_s
            self.row += 1
            spike = self.detector.observe(cost, self.now, row=self.row if answered else None)
            if spike is not None:
                self.spikes.append(spike)
        return self.spikes[before:]


@settings(max_examples=150, deadline=None)
@given(cost=st.integers(1, 10**15), every_s=st.floats(1e-4, 1e5), burst=st.integers(1, 60))
def test_steady_spend_never_alerts_whatever_the_rate(cost: int, every_s: float, burst: int) -> None:
    stream = Stream(NO_FLOOR)
    for _ in range(300):
        stream.spend(1, cost, every_s)
        stream.spend(burst - 1, cost, 0.0)
    assert stream.spikes == []


@settings(max_examples=150, deadline=None)
@given(cost=st.integers(1, 10**13), every_s=st.floats(1e-2, 1e3), dearer=st.booleans())
def test_a_tenfold_jump_always_alerts_within_three_windows(
    cost: int, every_s: float, dearer: bool
) -> None:
    stream = Stream(NO_FLOOR)
    per_window = max(20, int(15.0 / every_s) + 1)
    assert stream.spend(per_window * 8, cost, every_s) == []

    # The jump: ten times the cost at the same pace, or the same cost at ten times the
    # pace.
    jump = (cost * 10, every_s) if dearer else (cost, every_s / 10)
    told = stream.spend(3 * max(20, int(15.0 / jump[1]) + 1), *jump)

    [spike] = told
    assert spike.usd > 3 * spike.usual_usd
    # Where many rows fall into a window of time, their own price is seen earlier.
    if not dearer or every_s > 0.3:
        assert spike.measure == "per minute"


def test_a_run_that_is_over_in_seconds_tells_rows_that_became_dear() -> None:
    stream = Stream()
    assert stream.spend(600, CENT // 50, 0.018) == []
    [spike] = stream.spend(300, CENT * 3 // 2, 0.018)
    assert spike.measure == "per row"
    assert stream.row >= 900 and stream.now < 16.5


def test_a_fast_run_tells_one_spike_once_however_it_is_measured() -> None:
    stream = Stream()
    stream.spend(8000, CENT // 10, 0.02)
    told = stream.spend(20_000, CENT * 2, 0.02)  # until it is usual, and long after
    assert [spike.measure for spike in told] == ["per row"]


def test_a_fast_run_of_next_to_nothing_is_no_spike() -> None:
    stream = Stream()
    stream.spend(600, CENT // 100_000, 0.001)
    assert stream.spend(300, CENT // 2000, 0.001) == []


def test_the_alert_says_what_is_usual_and_what_is_spent() -> None:
    stream = Stream()
    stream.spend(200, CENT, 1.0)  # $0.60 a minute
    [spike] = stream.spend(61, CENT * 10, 1.0)
    assert round(spike.usual_usd, 2) == 0.60
    assert spike.usd > 1.8


def test_one_spike_is_told_once_and_the_next_one_again() -> None:
    stream = Stream()
    stream.spend(400, CENT, 1.0)
    assert len(stream.spend(100, CENT * 10, 1.0)) == 1
    assert stream.spend(400, CENT, 1.0) == []
    assert len(stream.spend(100, CENT * 10, 1.0)) == 1


def test_a_level_that_lasts_becomes_the_usual_one() -> None:
    stream = Stream()
    stream.spend(400, CENT, 1.0)
    assert len(stream.spend(1000, CENT * 10, 1.0)) == 1
    assert len(stream.spend(100, CENT * 100, 1.0)) == 1


def test_small_money_is_never_a_spike() -> None:
    stream = Stream()
    stream.spend(400, CENT // 10_000, 1.0)
    assert stream.spend(400, CENT // 1000, 1.0) == []


def test_without_a_past_nothing_is_unusual() -> None:
    stream = Stream()
    stream.spend(60, CENT, 1.0)
    assert stream.spend(15, CENT * 100, 1.0) == []


def test_an_outage_and_its_end_are_no_spike() -> None:
    stream = Stream()
    stream.spend(400, CENT, 1.0)
    stream.now += 900
    assert stream.spend(400, CENT, 1.0) == []


def test_dearer_answers_are_told_although_the_pace_of_money_is_the_same() -> None:
    stream = Stream()
    stream.spend(1000, CENT, 0.1)
    told = stream.spend(200, CENT * 10, 1.0)
    assert [spike.measure for spike in told] == ["per row"]


def test_a_timeouts_worst_case_is_not_the_price_of_an_answer() -> None:
    stream = Stream()
    stream.spend(400, CENT, 1.0)
    for _ in range(
        10
    ):  # no faster than before, but a quarter of the requests end in a costly timeout
        stream.spend(20, CENT, 10.0)
        stream.spend(5, CENT * 30, 0.0, answered=False)
    assert stream.spikes == []


def test_random_spend_around_one_level_hardly_ever_alerts() -> None:
    """Poisson arrivals and costs that differ by a factor of about three either way: one
    hour, 300 runs.
    """
    alerts = 0
    for seed in range(300):
        rng = random.Random(seed)
        detector, now = SpikeDetector(NO_FLOOR), 0.0
        while now < 3600:
            now += rng.expovariate(1.0)
            alerts += (
                detector.observe(int(CENT * rng.lognormvariate(0, 0.5)), now, row=int(now * 1e6))
                is not None
            )
    assert alerts <= 1


def test_a_single_dear_window_is_chance_and_two_in_a_row_are_not() -> None:
    stream = Stream()
    stream.spend(400, CENT, 1.0)
    assert stream.spend(20, CENT * 30, 1.0) == []
    assert stream.spend(200, CENT, 1.0) == []
    assert len(stream.spend(41, CENT * 30, 1.0)) == 1


def test_a_row_with_two_answers_costs_what_both_cost() -> None:
    """Each row is asked twice from here on: the price of an answer stays, that of a row
    doubles and more.
    """
    detector = SpikeDetector(SpikeSettings(factor=1.5, floor=0))
    told, now = [], 0.0
    for n in range(1200):
        now += 0.5 if n >= 600 else 1.0
        row = n if n < 600 else n // 2
        told.append(detector.observe(CENT * (1 if n < 600 else 2), now, row=row))
    found = [spike for spike in told if spike is not None]
    assert [spike.measure for spike in found] == ["per minute"]
    assert told.index(found[0]) > 600

    slow = SpikeDetector(SpikeSettings(factor=1.5, floor=0))
    told = [slow.observe(CENT, float(n), row=n if n < 600 else n // 2) for n in range(1200)]
    found = [spike for spike in told if spike is not None]
    assert [(spike.measure, round(spike.usd / spike.usual_usd, 1)) for spike in found] == [
        ("per row", 1.8)
    ]


def test_an_interruption_forgets_the_open_window_and_passes_over_the_next() -> None:
    stream = Stream()
    stream.spend(400, CENT, 1.0)
    assert len(stream.spend(61, CENT * 10, 1.0)) == 1
    stream.detector.interrupt()
    stream.now += 300
    assert stream.spend(21, CENT * 100, 0.1) == []  # what was saved up
    assert stream.spend(200, CENT, 1.0) == []


def test_a_spike_that_goes_on_after_an_interruption_is_told_again_at_once() -> None:
    stream = Stream()
    stream.spend(400, CENT, 1.0)
    stream.spend(61, CENT * 10, 1.0)
    stream.detector.interrupt()
    stream.now += 300
    assert len(stream.spend(62, CENT * 10, 1.0)) == 1


def test_a_pace_that_goes_on_after_an_interruption_is_told_again_at_once() -> None:
    stream = Stream()
    stream.spend(400, CENT, 1.0)
    assert len(stream.spend(600, CENT, 0.1)) == 1
    stream.detector.interrupt()
    stream.now += 300
    assert [spike.measure for spike in stream.spend(320, CENT, 0.1)] == ["per minute"]


def test_a_growing_pace_is_no_spike_however_steady_it_was_before() -> None:
    stream = Stream()
    stream.spend(600, CENT, 1.0)
    for step in range(1, 33):  # twice as fast every two minutes
        stream.spend(round(15 * 2 ** (step / 8)), CENT, 2 ** (-step / 8))
    assert stream.spikes == []
