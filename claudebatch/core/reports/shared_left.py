"""What a run or a machine that died has left at the shared server."""

from __future__ import annotations

from dataclasses import dataclass

from claudebatch.core.reports.shared_money import SharedRun


@dataclass(frozen=True, slots=True)
class SharedLeft:
    """All of it; some of it may be nothing."""

    name: str
    """As it was asked for."""
    runs: tuple[SharedRun, ...]
    processes: tuple[str, ...]
    in_flight: int
    """Requests that the pools count as in flight."""
