"""The cost monitor: says so when money suddenly leaves faster than this run's own past made likely.

The cap bounds what a run can spend; the monitor tells early that something is off: a prompt that makes answers ten
times as long, a rule that sends everything to the big model, a storm of retries that are billed.

**Method.** Spend is cut into windows. A window ends with the first cost that finds it both *window_s* old and
*window_costs* costs long, and spans from the cost that ended the one before, so that a steady stream of any rate
gives equal windows: windows of clock time alone would hold one cost or none when spend is sparse, and cry at each.
The usual rate is the **median** of the last *history* windows. The median is the robust estimate of location with
the highest possible breakdown point (Hampel, "The influence curve and its role in robust estimation", JASA 1974):
until half of the past is itself odd, a pause, an outage or an earlier spike does not move it. An alert needs the
window's rate above *factor* times the usual, at least *min_history* earlier windows, and a rate that is worth a word
(*floor* per minute). The cost of each answer is watched in the same windows with the same median, because a run at
its output limit spends no faster when its answers grow dearer. After an alert the same series stays silent until
it has been below its threshold again and *cool_down_s* have passed: one alert per spike. A new level that lasts
becomes the usual one once it fills half of the history.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Literal

from claudebatch.domain import PICO_PER_USD, Pico
from claudebatch.events import AttemptFinished, Emit, Event, Notice, SpendSpike


@dataclass(frozen=True, slots=True)
class Spike:
    """One series left its usual level."""

    kind: Literal["per minute", "per answer"]
    level: float
    """Dollars per minute, or per answer, of the window that just ended."""
    usual: float
    """The median of the windows before it."""


@dataclass(frozen=True, slots=True)
class SpikeSettings:
    """When an alert is due; the module says what the words mean."""

    factor: float = 3.0
    answer_factor: float = 5.0
    window_s: float = 15.0
    window_costs: int = 20
    history: int = 20
    min_history: int = 4
    floor: Pico = PICO_PER_USD // 10
    """Per minute: below, a spike is no money."""
    cool_down_s: float = 120.0


class _Series:
    """The past of one level, and whether its spike was told."""

    def __init__(self, kind: Literal["per minute", "per answer"], factor: float, settings: SpikeSettings) -> None:
        self._kind = kind
        self._factor = factor
        self._settings = settings
        # Mutable state, changed by `judge` only.
        self._past: deque[float] = deque(maxlen=settings.history)
        self._armed = True
        self._quiet_until = float("-inf")

    def judge(self, level: float, now: float, *, worth_a_word: bool) -> Spike | None:
        """The spike that a window of *level* is, if it is one and not told yet; the window joins the past."""
        usual = median(self._past) if len(self._past) >= self._settings.min_history else None
        self._past.append(level)
        if usual is None:
            return None
        if level <= self._factor * usual:
            self._armed = True
            return None
        if not worth_a_word or not self._armed or now < self._quiet_until:
            return None
        self._armed = False
        self._quiet_until = now + self._settings.cool_down_s
        return Spike(self._kind, level, usual)


class SpikeDetector:
    """Watches a stream of costs; pure, and O(1) for all but the cost that ends a window."""

    def __init__(self, settings: SpikeSettings | None = None) -> None:
        self._settings = settings or SpikeSettings()
        # Mutable state, changed by `observe` only: the window that is open, and the past of both series.
        self._opened: float | None = None
        self._cost: Pico = 0
        self._costs = 0
        self._answer_cost: Pico = 0
        self._answers = 0
        self._rate = _Series("per minute", self._settings.factor, self._settings)
        self._each = _Series("per answer", self._settings.answer_factor, self._settings)

    def observe(self, cost: Pico, now: float, *, answered: bool = True) -> Spike | None:
        """Take note that *cost* was spent at *now*; the spike that this reveals, if any.

        A cost that brought no answer, the worst case of a timeout, counts as money and not as the price of an answer.
        """
        if self._opened is None:
            self._opened = now  # the first cost only opens: a rate needs the time since the one before
            return None
        self._costs += 1
        self._cost += cost
        if answered:
            self._answers += 1
            self._answer_cost += cost
        age_s = now - self._opened
        if age_s < self._settings.window_s or self._costs < self._settings.window_costs:
            return None
        return self._end_window(now, age_s)

    def _end_window(self, now: float, age_s: float) -> Spike | None:
        per_minute = self._cost * 60.0 / age_s
        worth_a_word = per_minute >= self._settings.floor
        faster = self._rate.judge(per_minute / PICO_PER_USD, now, worth_a_word=worth_a_word)
        dearer = None
        if self._answers:
            each = self._answer_cost / self._answers / PICO_PER_USD
            dearer = self._each.judge(each, now, worth_a_word=worth_a_word)
        self._opened = now
        self._cost = self._answer_cost = 0
        self._costs = self._answers = 0
        return faster or dearer  # one alert is enough, and the rate is what empties the purse


class CostMonitor:
    """Subscriber of events: emits `SpendSpike` for the rate of spend, a `Notice` for the cost of each answer."""

    def __init__(self, emit: Emit, detector: SpikeDetector, now: Callable[[], float]) -> None:
        self._emit = emit
        self._detector = detector
        self._now = now

    def __call__(self, event: Event) -> None:
        """Observe *event* if it cost anything."""
        if not isinstance(event, AttemptFinished) or event.cost <= 0:
            return
        spike = self._detector.observe(event.cost, self._now(), answered=event.error is None)
        if spike is not None:
            self._emit(_told(spike))


def _told(spike: Spike) -> SpendSpike | Notice:
    if spike.kind == "per minute":
        return SpendSpike(usd_per_minute=spike.level, usual_usd_per_minute=spike.usual)
    return Notice(
        f"answers have become dearer: ${spike.level:.4f} each, usual for this run: ${spike.usual:.4f}"
        f" ({spike.level / spike.usual:.1f} times as much)"
    )
