"""When spend has left its usual level: a pure detector over a stream of costs.

**Windows.** Spend is cut into windows. A window ends with the first cost that finds it
both *window_s* old and *window_costs* costs long, and spans from the cost that ended
the one before, so that a steady stream of any rate gives equal windows: windows of
clock time alone would hold one cost or none when spend is sparse, and cry at each. Two
levels are taken: dollars per minute, and dollars per row (what its answers cost, over
the rows that they belong to; a worst case that brought no answer is money, but no row's
price). A window of dollars per row also ends with its *window_rows*-th row, however
young it is: a fast run would be over before a few windows of clock time were. Dollars
per minute keep the longer windows: answers come in bursts, and a run that begins grows
many times within seconds.

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
        # Mutable, too: until when the other level's alert stands for this one.
        self._told_until = -math.inf

    def told_by_other(self, now: float) -> None:
        """The other level has told a spike: what is odd here meanwhile is the same."""
        self._told_until = now + self._settings.cool_down_s

    def rearm(self) -> None:
        """Report the next spike even if it is the same one."""
        self._armed = True
        self._quiet_until = self._told_until = -math.inf

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
        if now < self._told_until:
            self._armed = False
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


class _Window:
    """Costs since the one that ended the window before."""

    def __init__(self, opened: float) -> None:
        self._opened = opened
        # Mutable, changed by `add` only.
        self.cost: Pico = 0
        self.costs = 0
        self.answers_cost: Pico = 0
        self.rows: set[int] = set()

    def add(self, cost: Pico, row: int | None) -> None:
        """Count *cost*, which *row* got an answer for."""
        self.costs += 1
        self.cost += cost
        if row is not None:
            self.rows.add(row)
            self.answers_cost += cost

    def age_s(self, now: float) -> float:
        """Seconds since it was opened."""
        return now - self._opened


class SpikeDetector:
    """Watches a stream of costs; O(1) for all but the cost that ends a window."""

    def __init__(self, settings: SpikeSettings | None = None) -> None:
        self._settings = settings or SpikeSettings()
        self._rate = _Series("per minute", self._settings)
        self._each = _Series("per row", self._settings)
        # Mutable state, changed by `observe` and `interrupt` only: the windows that are
        # open, one for each level, and how many of each are not judged.
        self._rate_window: _Window | None = None
        self._each_window: _Window | None = None
        self._rates_passed_over = self._each_passed_over = 0

    def observe(self, cost: Pico, now: float, *, row: int | None) -> Spike | None:
        """Take note that *cost*, above 0, was spent at *now*; the spike that this
        reveals, if any.

        *row* got an answer for it; None: a worst case that brought none.
        """
        if self._rate_window is None or self._each_window is None:
            # The first cost only opens: a rate needs the time since the one before.
            self._rate_window, self._each_window = _Window(now), _Window(now)
            return None
        self._rate_window.add(cost, row)
        self._each_window.add(cost, row)
        faster = dearer = None
        if self._is_full(self._rate_window, now):
            ended, self._rate_window = self._rate_window, _Window(now)
            faster = self._judge_rate(ended, now)
        if self._is_full(self._each_window, now) or (
            len(self._each_window.rows) >= self._settings.window_rows
        ):
            ended, self._each_window = self._each_window, _Window(now)
            dearer = self._judge_each(ended, now)
        # One alert is enough, and the rate is what empties the budget.
        if faster is not None:
            self._each.told_by_other(now)
        elif dearer is not None:
            self._rate.told_by_other(now)
        return faster or dearer

    def interrupt(self) -> None:
        """Spending was held up: begin new windows, pass over the first full ones, then
        tell what is odd anew.

        What was saved up meanwhile leaves at once when sending goes on; that is no
        spike.
        """
        self._rate_window = self._each_window = None
        self._rates_passed_over = self._each_passed_over = 1
        self._rate.rearm()
        self._each.rearm()

    def _is_full(self, window: _Window, now: float) -> bool:
        settings = self._settings
        return window.age_s(now) >= settings.window_s and window.costs >= settings.window_costs

    def _judge_rate(self, ended: _Window, now: float) -> Spike | None:
        if self._rates_passed_over:
            self._rates_passed_over -= 1
            return None
        per_minute = ended.cost * 60.0 / ended.age_s(now)
        reportable = per_minute >= self._settings.floor
        return self._rate.judge(per_minute / PICO_PER_USD, now, reportable=reportable)

    def _judge_each(self, ended: _Window, now: float) -> Spike | None:
        if self._each_passed_over:
            self._each_passed_over -= 1
            return None
        if not ended.rows:
            return None
        # A window of a moment would make any cost a fortune a minute.
        per_minute = ended.cost * 60.0 / max(ended.age_s(now), self._settings.window_s)
        return self._each.judge(
            ended.answers_cost / len(ended.rows) / PICO_PER_USD,
            now,
            reportable=per_minute >= self._settings.floor,
        )
