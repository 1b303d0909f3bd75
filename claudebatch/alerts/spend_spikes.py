"""When spend has left its usual level: a pure detector over a stream of costs.

**Windows.** Spend is cut into windows. A window ends with the first cost that finds it
both *window_s* old and *window_costs* costs long, and spans from the cost that ended
the one before, so that a steady stream of any rate gives equal windows: windows of
clock time alone would hold one cost or none when spend is sparse, and cry at each. Two
levels are taken of each window: dollars per minute, and dollars per row (what its
answers cost, over the rows that they belong to; a worst case that brought no answer is
money, but no row's price).

**What is usual** is said by two robust statistics of the last *history* windows, in
logarithms, because costs differ by factors: their **median** (location) and their
**median absolute deviation** (spread, times 1.4826 to be a standard deviation). Both
have the highest possible breakdown point: until half of the past is itself odd, a
pause, an outage or an earlier spike does not move them (F. Hampel, "The influence curve
and its role in robust estimation", JASA 69, 1974; P. Rousseeuw, C. Croux, "Alternatives
to the median absolute deviation", JASA 88, 1993). A window is odd when it is both
*factor* times the median and *deviations* standard deviations above it: the factor
alone would cry at every dear row of a mixed input, the deviations alone at a hair's
breadth above a steady one. (B. Iglewicz, D. Hoaglin, "How to detect and handle
outliers", 1993, take 3.5 for one look at one sample; a run is looked at thousands of
times.)

**Once is chance, growth is no spike.** A few dear rows may fall into one window, but
hardly into two that follow each other: both must be odd. And a run that ramps up grows
from window to window, while the median stays behind: both must also be *factor* times
the lower one of the two windows before them. A jump always is; from then on this is not
asked.

An alert is sent once: the series stays silent until it has been usual again and
*cool_down_s* have passed. A new level that lasts becomes the usual one once it fills
half of the history.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

from claudebatch.alerts.settings import SpikeSettings
from claudebatch.core.domain import PICO_PER_USD, Pico

Measure: TypeAlias = Literal["per minute", "per row"]

# What the median absolute deviation of normally distributed values is multiplied by to
# be their standard deviation.
_TO_DEVIATION = 1.4826


@dataclass(frozen=True, slots=True)
class Spike:
    """One level left what is usual."""

    measure: Measure
    usd: float
    """Dollars per minute, or per row, of the window that just ended."""
    usual_usd: float
    """The median of the windows before it."""


class _Series:
    """The past of one level, and whether its spike was reported."""

    def __init__(self, measure: Measure, settings: SpikeSettings) -> None:
        self._measure = measure
        self._settings = settings
        # Mutable state: the logarithms of past levels and whether the last one was odd,
        # changed by `judge`; whether and when to report, by `rearm`, too.
        self._past: deque[float] = deque(maxlen=settings.history)
        self._odd = False
        self._armed = True
        self._quiet_until = -math.inf

    def rearm(self) -> None:
        """Report the next spike even if it is the same one."""
        self._armed = True
        self._quiet_until = -math.inf

    def judge(self, usd: float, now: float, *, reportable: bool) -> Spike | None:
        """The spike that a window of *usd* is, if it is one and not reported yet; the
        window joins the past.
        """
        # In logarithms: costs differ by factors, and twice is as far as half.
        level, past = math.log(usd), self._past
        known = len(past) >= self._settings.min_history
        usual = median(past) if known else level
        self._odd = known and min(level, past[-1]) > self._highest(usual)
        past.append(level)
        if not self._odd:
            self._armed = True
            return None
        if not reportable or not self._armed or now < self._quiet_until:
            return None
        self._armed = False
        self._quiet_until = now + self._settings.cool_down_s
        return Spike(self._measure, usd, math.exp(usual))

    def _highest(self, usual: float) -> float:
        past, settings = self._past, self._settings
        spread = _TO_DEVIATION * median(abs(level - usual) for level in past)
        by_factor = math.log(settings.factor)
        highest = usual + max(by_factor, settings.deviations * spread)
        # A run that ramps up grows from window to window: that is no jump.
        return highest if self._odd else max(highest, min(past[-2], past[-3]) + by_factor)


class SpikeDetector:
    """Watches a stream of costs; O(1) for all but the cost that ends a window."""

    def __init__(self, settings: SpikeSettings | None = None) -> None:
        self._settings = settings or SpikeSettings()
        # Mutable state, changed by `observe` and `interrupt` only: the window that is
        # open, how many windows are not judged, and the past of both levels.
        self._opened: float | None = None
        self._cost: Pico = 0
        self._costs = 0
        self._answers_cost: Pico = 0
        self._rows: set[int] = set()
        self._passed_over = 0
        self._rate = _Series("per minute", self._settings)
        self._each = _Series("per row", self._settings)

    def observe(self, cost: Pico, now: float, *, row: int | None) -> Spike | None:
        """Take note that *cost*, above 0, was spent at *now*; the spike that this
        reveals, if any.

        *row* got an answer for it; None: a worst case that brought none.
        """
        if self._opened is None:
            # The first cost only opens: a rate needs the time since the one before.
            self._opened = now
            return None
        self._costs += 1
        self._cost += cost
        if row is not None:
            self._rows.add(row)
            self._answers_cost += cost
        age_s = now - self._opened
        if age_s < self._settings.window_s or self._costs < self._settings.window_costs:
            return None
        return self._end_window(now, age_s)

    def interrupt(self) -> None:
        """Spending was held up: begin a new window, pass over the first full one, then
        tell what is odd anew.

        What was saved up meanwhile leaves at once when sending goes on; that is no
        spike.
        """
        self._open(None)
        self._passed_over = 1
        self._rate.rearm()
        self._each.rearm()

    def _end_window(self, now: float, age_s: float) -> Spike | None:
        per_minute = self._cost * 60.0 / age_s
        answers_cost, rows = self._answers_cost, len(self._rows)
        self._open(now)
        if self._passed_over:
            self._passed_over -= 1
            return None
        reportable = per_minute >= self._settings.floor
        faster = self._rate.judge(per_minute / PICO_PER_USD, now, reportable=reportable)
        dearer = None
        if rows:
            dearer = self._each.judge(
                answers_cost / rows / PICO_PER_USD, now, reportable=reportable
            )
        return faster or dearer  # one alert is enough, and the rate is what empties the budget

    def _open(self, now: float | None) -> None:
        self._opened = now
        self._cost = self._answers_cost = 0
        self._costs = 0
        self._rows.clear()
