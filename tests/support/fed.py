"""A display with the counter that it reads, fed in the order in which a session
does.
"""

from __future__ import annotations

from typing import Any

from claudebatch.core.events import Event
from claudebatch.core.stats.run_stats import RunStats


class Fed:
    """Counts an event, then shows it; everything else is the display's own."""

    def __init__(self, display: Any, stats: RunStats) -> None:
        self.display, self.stats = display, stats

    def __call__(self, event: Event) -> None:
        self.stats(event)
        self.display(event)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.display, name)
