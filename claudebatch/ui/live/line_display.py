"""The part that all displays in lines have in common: notices are kept as events come,
and shown by a heartbeat of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from claudebatch.core.events import Event, PlanMade
from claudebatch.core.reports import RunSummary
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.core.stats.snapshot import LimitsByPool, RunSnapshot
from claudebatch.ui.live.notices import Line, Notices
from claudebatch.ui.live.plan_text import plan_news
from claudebatch.ui.live.ticker import Ticker
from claudebatch.ui.tables.run_summary import summary_lines
from claudebatch.ui.terminal import Terminal


class LineDisplay(ABC):
    """A display whose events only leave a note, which the next tick shows."""

    TICK_S: ClassVar[float]
    """Seconds between two ticks."""

    def __init__(
        self,
        terminal: Terminal,
        stats: RunStats,
        *,
        now: Callable[[], float],
        limits: LimitsByPool | None = None,
        own_thread: bool = True,
    ) -> None:
        """Without *own_thread* the owner calls `tick`, as tests do."""
        self._terminal = terminal
        self._stats = stats
        self._now = now
        self._limits = limits or {}
        self._notices = Notices()
        # Events must not write: a terminal stopped by Ctrl-S would stop the run.
        self._ticker = Ticker(self.tick, interval_s=self.TICK_S) if own_thread else None
        # Mutable. Events append, `tick` takes away; a deque needs no lock for that.
        self._unsaid: deque[Line] = deque()
        self._stuck = False

    def start(self) -> None:
        """Begin to show."""
        if self._ticker is not None:
            self._ticker.start()

    def __call__(self, event: Event) -> None:
        """Keep what *event* has to say for the next tick; never waits and never
        raises.
        """
        if isinstance(event, PlanMade):
            self._unsaid.extend(Line("plan", text) for text in plan_news(event))
            return
        line = self._notices(event)
        if line is not None:
            self._unsaid.append(line)

    def stop(self) -> None:
        """Say what is unsaid and nothing more; may be called twice."""
        # A ticker that does not end is stuck in a write, where any other would be, too.
        self._stuck = self._stuck or (self._ticker is not None and not self._ticker.stop())
        if not self._stuck:
            self._close()

    def done(self, summary: RunSummary) -> None:
        """Stop, and print the summary."""
        self.stop()
        width = self._terminal.columns
        self._terminal.say_styled(
            (text, line.style) for line in summary_lines(summary) for text in line.shown(width)
        )

    def _run(self) -> RunSnapshot:
        return self._stats.snapshot(self._now())

    def _say_unsaid(self) -> None:
        # Not a loop over the deque: events go on appending.
        while self._unsaid:
            self._say(self._unsaid.popleft())

    @abstractmethod
    def tick(self) -> None:
        """Say what is unsaid, and show how far the run is."""

    @abstractmethod
    def _close(self) -> None:
        """Leave the terminal as it was; nothing else writes any more."""

    @abstractmethod
    def _say(self, line: Line) -> None:
        """Write *line*."""
