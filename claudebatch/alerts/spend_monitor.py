"""The cost monitor: tells a spike of spend, and does about it what the user wants done.

The cap bounds what a run can spend; the monitor tells early that something is off: a
prompt that makes answers ten times as long, a rule that sends everything to the big
model, a storm of retries that are billed. It is also a circuit breaker on cost.
`pause`: nothing is sent for a while, then one window of spend is a probe that is not
judged, and from the next one on the run is paused again if spend is still odd. `stop`:
the run drains and can be resumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from claudebatch.alerts.settings import OnSpike
from claudebatch.alerts.spend_spikes import Spike, SpikeDetector
from claudebatch.core.errors import SpendStopped
from claudebatch.core.events import AttemptFinished, Emit, Event, SpendSpike


class SpendMonitor:
    """Subscriber of events: emits `SpendSpike`, after *pause* or before *stop* was
    called, if that is wanted.
    """

    def __init__(
        self,
        emit: Emit,
        detector: SpikeDetector,
        now: Callable[[], float],
        *,
        on_spike: OnSpike = "warn",
        pause_s: float = 0.0,
        pause: Callable[[float], None],
        stop: Callable[[SpendStopped], None],
    ) -> None:
        self._emit = emit
        self._detector = detector
        self._now = now
        self._on_spike = on_spike
        self._pause_s = pause_s
        self._pause = pause
        self._stop = stop
        # Mutable, changed by `__call__` only: until when nothing is sent.
        self._paused_until = -math.inf

    def __call__(self, event: Event) -> None:
        """Observe *event* if it cost anything."""
        if not isinstance(event, AttemptFinished) or event.cost <= 0:
            return
        if event.via == "batch":
            # Known all at once, hours after it was spent, and held in full before.
            return
        now = self._now()
        if now < self._paused_until:
            # What was in flight when the pause began is no sign of how it goes on.
            return
        answered = event.error is None and not event.unknown
        row = (event.call.row if event.call else event.attempt) if answered else None
        spike = self._detector.observe(event.cost, now, row=row)
        if spike is not None:
            self._act(spike, now)

    def _act(self, spike: Spike, now: float) -> None:
        pause_s = self._pause_s if self._on_spike == "pause" else 0.0
        if pause_s:
            self._paused_until = now + pause_s
            self._detector.interrupt()
            self._pause(pause_s)
        self._emit(SpendSpike(spike.measure, spike.usd, spike.usual_usd, self._on_spike, pause_s))
        if self._on_spike == "stop":
            self._stop(_stopped(spike))


def _stopped(spike: Spike) -> SpendStopped:
    times = f"{spike.usd / spike.usual_usd:,.1f} times what is usual for this run"
    return SpendStopped(
        "E700",
        f"spend {spike.measure} is {times}",
        fix="look at the last results; if they are as they should be, run the same command again",
    )
