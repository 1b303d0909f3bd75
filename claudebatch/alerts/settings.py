"""When an alert is due, what is done about it and who hears of it; config fills it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from claudebatch.core.domain import PICO_PER_USD, Pico

# What the monitor does about a spike, beyond the alert itself.
OnSpike: TypeAlias = Literal["warn", "pause", "stop"]


@dataclass(frozen=True, slots=True)
class SpikeSettings:
    """When spend is a spike; `spend_spikes` says what the words mean."""

    factor: float = 3.0
    deviations: float = 4.0
    window_s: float = 15.0
    window_costs: int = 20
    window_rows: int = 50
    history: int = 20
    min_history: int = 6
    floor: Pico = PICO_PER_USD // 10
    """Per minute: below, a spike is no money."""
    cool_down_s: float = 120.0


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Who hears of alerts besides screen and log."""

    webhook: str | None = None
    """An address; it may be a secret."""
    command: tuple[str, ...] | None = None
    """A program and its arguments."""
    timeout_s: float = 5.0
    """For one alert at one of them."""


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Alerts about caps and about spikes of spend."""

    at_percent: tuple[int, ...] = (50, 80, 100)
    """Shares of a cap, in percent, that are reported when they are reached."""
    spikes: SpikeSettings = SpikeSettings()
    on_spike: OnSpike = "warn"
    pause_s: float = 300.0
    """How long nothing is sent after a spike, where `on_spike` is `pause`."""
    sinks: SinkSettings = SinkSettings()
