"""Progress in plain lines, for logs and for terminals that cannot redraw."""

from __future__ import annotations

from collections.abc import Callable

from claudebatch.core.stats.run_stats import RunStats
from claudebatch.core.stats.snapshot import LimitsByPool
from claudebatch.ui.live.frame import plain_line
from claudebatch.ui.live.line_display import LineDisplay
from claudebatch.ui.live.notices import Line
from claudebatch.ui.terminal import Terminal

# A log of ten hours stays readable: a line every second would be 36,000.
PLAIN_INTERVAL_S = 30.0


class PlainProgress(LineDisplay):
    """Notices as they come, and a status line every *interval_s* (None: no status)."""

    # Notices do not wait for the status: a failure is seen as it happens.
    TICK_S = 0.5

    def __init__(
        self,
        terminal: Terminal,
        stats: RunStats,
        *,
        now: Callable[[], float],
        limits: LimitsByPool | None = None,
        interval_s: float | None = PLAIN_INTERVAL_S,
        own_thread: bool = True,
    ) -> None:
        super().__init__(terminal, stats, now=now, limits=limits, own_thread=own_thread)
        self._interval_s = interval_s
        # Mutable: when the next status line is due; changed by `tick` only.
        self._due = now() + (interval_s or 0.0)

    def tick(self) -> None:
        """Say what is unsaid, and the status if it is due."""
        self._say_unsaid()
        if self._interval_s is None or self._now() < self._due:
            return
        run = self._run()
        if run.started:
            self._due = run.at + self._interval_s
            self._terminal.tell([plain_line(run, self._limits)])

    def _close(self) -> None:
        self._say_unsaid()

    def _say(self, line: Line) -> None:
        self._terminal.tell([line.shown], style=line.style)
