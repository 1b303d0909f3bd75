"""Alerts about caps: each level of each cap is reported once, and none that was passed
before the session.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from claudebatch.core.domain import Pico
from claudebatch.core.events import AttemptFinished, CapAlert, CapUsed, Emit, Event, RunStarted

RUN = "run"
# Larger than any sum of money that 64 bits can hold: no level is left to be reached.
_NEVER: Pico = 2**200


class CapLevels:
    """The levels of one cap that were reported; pure."""

    def __init__(self, cap: Pico, percents: Iterable[int], *, used: Pico) -> None:
        """*used* of the cap are used when it is first heard of: the levels below are
        not reported.
        """
        self.cap = cap
        self._percents = sorted(set(percents))
        self._at_first = used
        # Mutable, changed by `passed` only: the highest level reported, and what was
        # used last.
        self._used = used
        self._reported = self._level(used)

    @property
    def next_at(self) -> Pico:
        """The use at which there is something to tell."""
        following = next((percent for percent in self._percents if percent > self._reported), None)
        return _NEVER if following is None else -(-self.cap * following // 100)

    def passed(self, used: Pico, *, full: bool = False) -> int | None:
        """The highest level that *used* has reached and that was not reported; None:
        nothing to report.

        *full*: what is left is of no use. A session that finds a cap so, and spends
        nothing, has nothing to tell.
        """
        if used * 2 < self._used:
            # Another day: its cap is all there again.
            self._reported = 0
        self._used = used
        level = self._level(max(used, self.cap) if full and used > self._at_first else used)
        if level <= self._reported:
            return None
        self._reported = level
        return level

    def _level(self, used: Pico) -> int:
        return max(
            (percent for percent in self._percents if used * 100 >= self.cap * percent), default=0
        )


@dataclass(slots=True)
class _Run:
    """The run's own cap, counted from what its attempts cost."""

    used: Pico
    alert_at: Pico


class CapWatch:
    """Subscriber of events: emits `CapAlert` for the run's own cap, and for those that
    are reported by `CapUsed`.
    """

    def __init__(self, emit: Emit, percents: Iterable[int]) -> None:
        self._emit = emit
        self._percents = tuple(percents)
        # Mutable: the caps heard of in this session, and the run's own use.
        self._levels: dict[str, CapLevels] = {}
        self._run = _Run(0, _NEVER)

    def __call__(self, event: Event) -> None:
        """Take *event* in if it is about a cap or money."""
        if isinstance(event, AttemptFinished):
            self._run.used += event.cost
            if self._run.used >= self._run.alert_at:
                self._observe(RUN, self._levels[RUN].cap, self._run.used, full=False)
        elif isinstance(event, CapUsed):
            self._observe(event.scope, event.cap, event.used, full=event.full)
        elif isinstance(event, RunStarted):
            self._run.used = event.spent_before + event.unknown_before
            if event.cap is not None:
                self._observe(RUN, event.cap, self._run.used, full=False)

    def _observe(self, scope: str, cap: Pico, used: Pico, *, full: bool) -> None:
        levels = self._levels.get(scope)
        if levels is None or levels.cap != cap:
            levels = self._levels[scope] = CapLevels(cap, self._percents, used=used)
        percent = levels.passed(used, full=full)
        if scope == RUN:
            self._run.alert_at = levels.next_at
        if percent is not None:
            self._emit(CapAlert(scope, percent, cap, used))
