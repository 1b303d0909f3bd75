"""How a run shows itself while it runs: live on a terminal, in plain lines elsewhere,
or not at all.

Every display is a subscriber of events with the same four methods. `choose` picks one;
`--json` is in `json_events`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from claudebatch.core.events import Event
from claudebatch.core.reports import RunSummary
from claudebatch.ui.live.frame import LimitsByPool, plain_line
from claudebatch.ui.live.live_progress import LiveProgress
from claudebatch.ui.live.notices import Line, Notices
from claudebatch.ui.live.tally import Tally
from claudebatch.ui.live.ticker import Ticker
from claudebatch.ui.tables.run_summary import final_line, render_summary
from claudebatch.ui.terminal import Terminal

PLAIN_INTERVAL_S = 30.0


class Progress(Protocol):
    """A display of a run."""

    def start(self) -> None:
        """Begin to show."""
        ...

    def __call__(self, event: Event) -> None:
        """Take note of *event*; never waits and never raises."""
        ...

    def stop(self) -> None:
        """Show nothing more and leave the terminal as it was; may be called twice."""
        ...

    def done(self, summary: RunSummary) -> None:
        """Stop, and say how the run ended."""
        ...


class PlainProgress:
    """No terminal, no animation: notices as they come, and a status line every
    *interval_s* (None: no status).
    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        now: Callable[[], float],
        limits: LimitsByPool | None = None,
        interval_s: float | None = PLAIN_INTERVAL_S,
        own_thread: bool = True,
    ) -> None:
        self._terminal = terminal
        self._now = now
        self._limits = limits or {}
        self._interval_s = interval_s
        self._notices = Notices()
        self._ticker = Ticker(self.tick, interval_s=0.5) if own_thread else None
        # Mutable state. `tally` and `_unsaid` change with events, `_due` with `tick`.
        self.tally = Tally(now)
        self._unsaid: deque[Line] = deque()
        self._due = now() + (interval_s or 0.0)

    def start(self) -> None:
        """Begin to show; without a thread of its own, whoever made it calls `tick`."""
        if self._ticker is not None:
            self._ticker.start()

    def __call__(self, event: Event) -> None:
        """Count *event*, and keep what it has to say for the next tick."""
        self.tally(event)
        line = self._notices(event)
        if line is not None:
            self._unsaid.append(line)

    def tick(self) -> None:
        """Say what is unsaid, and the status if it is due."""
        self._say_unsaid()
        now = self._now()
        if self._interval_s is not None and now >= self._due and self.tally.run is not None:
            self._due = now + self._interval_s
            self._terminal.say(plain_line(self.tally, self._limits, now=now))

    def stop(self) -> None:
        """Say what is unsaid and nothing more."""
        if self._ticker is None or self._ticker.stop():
            self._say_unsaid()

    def done(self, summary: RunSummary) -> None:
        """Stop, and print the summary."""
        self.stop()
        self._terminal.say_all(render_summary(summary))

    def _say_unsaid(self) -> None:
        while self._unsaid:
            line = self._unsaid.popleft()
            self._terminal.say(line.text, style=line.style)


class Quiet:
    """`-q`: nothing while it runs, one line at the end."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def start(self) -> None:
        """Nothing to begin."""

    def __call__(self, event: Event) -> None:
        """Let *event* pass."""

    def stop(self) -> None:
        """Nothing to stop."""

    def done(self, summary: RunSummary) -> None:
        """Print the one line."""
        self._terminal.say(final_line(summary))


def choose(
    terminal: Terminal,
    *,
    now: Callable[[], float],
    limits: LimitsByPool | None = None,
    quiet: bool = False,
    progress: bool = True,
) -> Progress:
    """The display that fits *terminal* and the flags `-q` and `--no-progress`."""
    if quiet:
        return Quiet(terminal)
    if progress and terminal.animates:
        return LiveProgress(terminal, now=now, limits=limits)
    return PlainProgress(
        terminal, now=now, limits=limits, interval_s=PLAIN_INTERVAL_S if progress else None
    )
