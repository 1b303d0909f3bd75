"""Watches the money while a run goes on: how much of each cap is used, and whether
spend has left its usual level.
"""

from __future__ import annotations

from collections.abc import Callable

from claudebatch.alerts.cap_levels import CapWatch
from claudebatch.alerts.settings import AlertSettings
from claudebatch.alerts.spend_monitor import SpendMonitor
from claudebatch.alerts.spend_spikes import SpikeDetector
from claudebatch.core.errors import SpendStopped
from claudebatch.core.events import AttemptFinished, CapUsed, Emit, Event, RunStarted

WATCHED = (AttemptFinished, CapUsed, RunStarted)
"""The events that tell of money."""


def watch(
    settings: AlertSettings,
    emit: Emit,
    *,
    now: Callable[[], float],
    pause: Callable[[float], None],
    stop: Callable[[SpendStopped], None],
) -> Emit:
    """A subscriber of a run's `WATCHED` events that emits alerts, and pauses or stops
    the run where *settings* want it.
    """
    caps = CapWatch(emit, settings.at_percent)
    spikes = SpendMonitor(
        emit,
        SpikeDetector(settings.spikes),
        now,
        on_spike=settings.on_spike,
        pause_s=settings.pause_s,
        pause=pause,
        stop=stop,
    )

    def listen(event: Event) -> None:
        caps(event)
        spikes(event)

    return listen
