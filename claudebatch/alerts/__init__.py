"""Watches the money while a run goes on: how much of each cap is used, and whether
spend has left its usual level.
"""

from __future__ import annotations

from collections.abc import Callable

from claudebatch.alerts.cap_levels import CapWatch
from claudebatch.alerts.settings import SpikeSettings
from claudebatch.alerts.spend_monitor import SpendMonitor
from claudebatch.alerts.spend_spikes import SpikeDetector
from claudebatch.config.sections import Config
from claudebatch.config.units import seconds
from claudebatch.core.domain import from_usd
from claudebatch.core.errors import SpendStopped
from claudebatch.core.events import AttemptFinished, CapUsed, Emit, Event, RunStarted

_ABOUT_MONEY = (AttemptFinished, CapUsed, RunStarted)
"""Of every row there are other events, too, and both listeners would look at each."""


def watch(
    config: Config,
    emit: Emit,
    *,
    now: Callable[[], float],
    pause: Callable[[float], None],
    stop: Callable[[SpendStopped], None],
) -> Emit:
    """A subscriber of a run's events that emits alerts, and pauses or stops the run
    where *config* wants it.
    """
    wish = config.monitor
    settings = SpikeSettings(
        factor=wish.factor, deviations=wish.deviations, floor=from_usd(wish.floor_usd_per_minute)
    )
    caps = CapWatch(emit, config.alerts.at_percent)
    spikes = SpendMonitor(
        emit,
        SpikeDetector(settings),
        now,
        on_spike=wish.on_spike,
        pause_s=seconds("monitor.pause", wish.pause),
        pause=pause,
        stop=stop,
    )

    def listen(event: Event) -> None:
        if isinstance(event, _ABOUT_MONEY):
            caps(event)
            spikes(event)

    return listen
