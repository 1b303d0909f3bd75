"""The cost monitor tells a spike once, and nothing else."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.domain import PICO_PER_USD, Usage
from claudebatch.events import AttemptFinished, AttemptStarted, Event, Notice, SpendSpike
from claudebatch.monitor import CostMonitor, Spike, SpikeDetector, SpikeSettings

CENT = PICO_PER_USD // 100
NO_FLOOR = SpikeSettings(floor=0)


class Stream:
    """Feeds a detector evenly spaced costs in virtual time."""

    def __init__(self, settings: SpikeSettings | None = None) -> None:
        self.detector = SpikeDetector(settings)
        self.now = 0.0
        self.spikes: list[Spike] = []

    def spend(self, times: int, cost: int, every_s: float, *, answered: bool = True) -> list[Spike]:
        """The spikes of *times* costs."""
        before = len(self.spikes)
        for _ in range(times):
            self.now += every_s
            spike = self.detector.observe(cost, self.now, answered=answered)
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
def test_a_tenfold_jump_always_alerts_within_two_windows(cost: int, every_s: float, dearer: bool) -> None:
    stream = Stream(NO_FLOOR)
    per_window = max(20, int(15.0 / every_s) + 1)
    assert stream.spend(per_window * 8, cost, every_s) == []

    # The jump: ten times the cost at the same pace, or the same cost at ten times the pace.
    jump = (cost * 10, every_s) if dearer else (cost, every_s / 10)
    told = stream.spend(2 * max(20, int(15.0 / jump[1]) + 1), *jump)

    assert [spike.kind for spike in told] == ["per minute"]
    assert told[0].level > 3 * told[0].usual


def test_the_alert_says_what_is_usual_and_what_is_spent() -> None:
    stream = Stream()
    stream.spend(200, CENT, 1.0)  # $0.60 a minute
    [spike] = stream.spend(41, CENT * 10, 1.0)[:1]
    assert round(spike.usual, 2) == 0.60
    assert spike.level > 1.8


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
    assert [spike.kind for spike in told] == ["per answer"]


def test_a_timeouts_worst_case_is_not_the_price_of_an_answer() -> None:
    stream = Stream()
    stream.spend(400, CENT, 1.0)
    for _ in range(10):  # no faster than before, but a quarter of the requests end in a costly timeout
        stream.spend(20, CENT, 10.0)
        stream.spend(5, CENT * 30, 0.0, answered=False)
    assert stream.spikes == []


def test_random_spend_around_one_level_hardly_ever_alerts() -> None:
    """Poisson arrivals and costs that differ by a factor of about three either way: one hour, 300 runs."""
    alerts = 0
    for seed in range(300):
        rng = random.Random(seed)
        detector, now = SpikeDetector(NO_FLOOR), 0.0
        while now < 3600:
            now += rng.expovariate(1.0)
            alerts += detector.observe(int(CENT * rng.lognormvariate(0, 0.5)), now) is not None
    assert alerts <= 1


def _finished(cost: int, error: str | None = None) -> AttemptFinished:
    return AttemptFinished("claude-haiku-5-5", "haiku-5-5", Usage(1, 1), cost, error, error is not None)


def test_the_monitor_emits_a_spend_spike_for_the_rate_and_a_notice_for_the_price_of_answers() -> None:
    told: list[Event] = []
    clock = [0.0]
    monitor = CostMonitor(told.append, SpikeDetector(), lambda: clock[0])

    def spend(times: int, cost: int, every_s: float) -> None:
        for _ in range(times):
            clock[0] += every_s
            monitor(AttemptStarted("claude-haiku-5-5", "haiku-5-5"))
            monitor(_finished(cost))
            monitor(_finished(0, "overloaded_error"))

    spend(1000, CENT, 0.1)
    spend(200, CENT * 10, 1.0)
    spend(1000, CENT, 0.1)
    spend(400, CENT * 10, 0.1)
    dearer, spike = told
    assert isinstance(dearer, Notice)
    assert dearer.text.startswith("answers have become dearer: $0.")
    assert "usual for this run: $0.0100" in dearer.text
    assert isinstance(spike, SpendSpike)
    assert spike.usd_per_minute > 3 * spike.usual_usd_per_minute > 0


def test_attempts_that_cost_nothing_do_not_thin_the_average() -> None:
    """A storm of 529s costs nothing and must neither alert nor hide the price of the answers between them."""
    told: list[Event] = []
    clock = [0.0]
    monitor = CostMonitor(told.append, SpikeDetector(), lambda: clock[0])
    for _ in range(2000):
        clock[0] += 0.1
        monitor(_finished(0, "overloaded_error"))
        monitor(_finished(CENT))
    assert told == []
