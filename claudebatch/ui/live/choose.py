"""The displays that a run can have, and which one fits a terminal and its flags.

Every display is a listener of events with the same four methods; `--json` is in
`machine.json_events`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from claudebatch.core.events import Deaf, Event
from claudebatch.core.reports import RunSummary
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.core.stats.snapshot import LimitsByPool
from claudebatch.ui.live.live_progress import LiveProgress
from claudebatch.ui.live.plain_progress import PLAIN_INTERVAL_S, PlainProgress
from claudebatch.ui.tables.run_summary import final_line
from claudebatch.ui.terminal import Terminal


class Progress(Protocol):
    """A display of a run. It counts nothing: its numbers come from a `RunStats`, which
    the session feeds before it tells its listeners.
    """

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


class Quiet(Deaf):
    """`-q`: nothing while it runs, one line at the end."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self) -> None:
        """Nothing to stop."""

    def done(self, summary: RunSummary) -> None:
        """Print the one line."""
        self._terminal.say(final_line(summary))


def choose(
    terminal: Terminal,
    stats: RunStats,
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
        # Also where colour is off: NO_COLOR asks for no less movement.
        return LiveProgress(terminal, stats, now=now, limits=limits)
    return PlainProgress(
        terminal, stats, now=now, limits=limits, interval_s=PLAIN_INTERVAL_S if progress else None
    )
