"""The cost monitor tells spikes of what attempts cost, and pauses or stops the run
where that is wanted.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from claudebatch.alerts import watch
from claudebatch.alerts.settings import AlertSettings
from claudebatch.core.domain import PICO_PER_USD, Usage
from claudebatch.core.errors import ExitCode, SpendStopped
from claudebatch.core.events import (
    AttemptFinished,
    AttemptStarted,
    CapAlert,
    Event,
    RunStarted,
    SpendSpike,
)
from tests.support.scripted import make_call
from tests.support.settings import settings_of

CENT = PICO_PER_USD // 100
HAIKU = "claude-haiku-5-5"


class Watched:
    """A run's events in a time of their own, and what the monitor made of them."""

    def __init__(self, on_spike: str = "warn", **more: object) -> None:
        self.now = 0.0
        self.told: list[Event] = []
        self.pauses: list[float] = []
        self.stops: list[SpendStopped] = []
        self._row = 0
        monitor = {"on_spike": on_spike, "pause": "5m", **more}
        self.watch = watch(
            settings_of(monitor=monitor).alerts,
            self.told.append,
            now=lambda: self.now,
            pause=self.pauses.append,
            stop=self.stops.append,
        )

    def spend(self, times: int, cost: int, every_s: float, error: str | None = None) -> None:
        for _ in range(times):
            self.now += every_s
            self._row += 1
            self.watch(AttemptStarted(HAIKU, "p"))
            usage = None if error else Usage(1, 1)
            self.watch(
                AttemptFinished(
                    HAIKU, "p", usage, cost, error, bool(error), make_call(row=self._row)
                )
            )


def spikes(told: list[Event]) -> list[str]:
    return [event.measure for event in told if isinstance(event, SpendSpike)]


def test_a_faster_pace_of_money_and_dearer_rows_are_both_told():
    watched = Watched()
    watched.spend(3000, CENT, 0.1)
    watched.spend(300, CENT * 10, 1.0)
    assert spikes(watched.told) == ["per row"]
    watched.spend(3000, CENT, 0.1)
    watched.spend(5000, CENT, 0.01)
    assert spikes(watched.told) == ["per row", "per minute"]
    spike = watched.told[-1]
    assert isinstance(spike, SpendSpike)
    assert spike.usd > 3 * spike.usual_usd > 0
    assert (spike.action, spike.pause_s, watched.pauses, watched.stops) == ("warn", 0, [], [])


def test_attempts_that_cost_nothing_do_not_thin_the_average():
    """A storm of 529s costs nothing and must neither alert nor hide the price of the
    answers between them.
    """
    watched = Watched()
    for _ in range(2000):
        watched.spend(1, 0, 0.1, "overloaded_error")
        watched.spend(1, CENT, 0.0)
    assert watched.told == []


def test_what_is_paid_for_and_brings_nothing_is_a_spike_of_money():
    """Time-outs that may be billed at their worst case, of every request from some
    moment on.
    """
    watched = Watched()
    watched.spend(400, CENT, 1.0)
    watched.spend(100, CENT * 10, 1.0, "timeout")
    assert spikes(watched.told) == ["per minute"]


def test_a_worst_case_that_brought_no_answer_is_no_rows_price():
    watched = Watched()
    watched.spend(400, CENT, 1.0)
    for _ in range(
        20
    ):  # no faster than before, but of a fifth of the requests nobody knows what they cost
        watched.spend(20, CENT, 10.0)
        watched.spend(5, CENT * 30, 0.0, "timeout")
    watched.spend(400, CENT * 5, 5.0)
    assert spikes(watched.told) == ["per row"]
    spike = watched.told[0]
    assert isinstance(spike, SpendSpike)
    assert (round(spike.usd, 4), round(spike.usual_usd, 4)) == (0.05, 0.01)


def test_a_pause_is_asked_for_and_told():
    watched = Watched("pause")
    watched.spend(400, CENT, 1.0)
    watched.spend(100, CENT * 10, 1.0)
    assert watched.pauses == [300.0]
    assert [
        (event.action, event.pause_s) for event in watched.told if isinstance(event, SpendSpike)
    ] == [("pause", 300.0)]


def test_what_was_in_flight_when_the_pause_began_is_no_reason_for_another():
    watched = Watched("pause")
    watched.spend(400, CENT, 1.0)
    watched.spend(61, CENT * 10, 1.0)
    watched.spend(200, CENT * 100, 1.0)
    assert len(watched.pauses) == 1


def test_after_a_pause_the_run_goes_on_if_spend_is_usual_again():
    watched = Watched("pause")
    watched.spend(400, CENT, 1.0)
    watched.spend(61, CENT * 10, 1.0)
    watched.now += 300
    watched.spend(60, CENT, 0.1)  # what was saved up meanwhile
    watched.spend(1000, CENT, 1.0)
    assert len(watched.pauses) == 1


def test_after_a_pause_the_run_is_paused_again_if_it_goes_on_and_at_last_its_new_level_is_usual():
    watched = Watched("pause")
    watched.spend(400, CENT, 1.0)
    paused = []
    for _ in range(60):
        before = len(watched.pauses)
        watched.spend(41, CENT * 10, 1.0)
        if len(watched.pauses) > before:
            watched.now += 300
        paused.append(len(watched.pauses) > before)
    assert paused[:3] == [True, True, True]
    assert 3 <= len(watched.pauses) <= 12
    assert not any(paused[-10:])


def test_a_stop_says_why_and_ends_with_the_caps_exit_code():
    watched = Watched("stop")
    watched.spend(400, CENT, 1.0)
    watched.spend(61, CENT * 10, 1.0)
    [stop] = watched.stops
    assert stop.exit_code is ExitCode.BUDGET
    assert stop.message.startswith("spend per minute is ")
    assert stop.message.endswith("times what is usual for this run")
    assert stop.fix
    [spike] = [event for event in watched.told if isinstance(event, SpendSpike)]
    assert spike.action == "stop"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 1),
        ({"factor": 20.0}, 0),
        ({"floor_usd_per_minute": Decimal(10)}, 0),
        ({"floor_usd_per_minute": Decimal(5)}, 1),
    ],
)
def test_the_settings_decide_what_is_a_spike(settings, expected):
    watched = Watched(**settings)
    watched.spend(400, CENT, 1.0)
    watched.spend(61, CENT * 10, 1.0)
    assert len(watched.told) == expected


def test_the_levels_of_caps_are_the_settings():
    told: list[Event] = []
    settings = AlertSettings(at_percent=(10,))
    listen = watch(
        settings, told.append, now=lambda: 0.0, pause=lambda _: None, stop=lambda _: None
    )
    listen(RunStarted("r", 1, 0, 0, CENT * 100, "o", False))
    listen(AttemptFinished(HAIKU, "p", Usage(1, 1), CENT * 11, None, False))
    assert told == [CapAlert("run", 10, CENT * 100, CENT * 11)]
