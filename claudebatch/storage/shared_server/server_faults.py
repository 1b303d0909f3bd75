"""What of the shared server ends a run."""

from __future__ import annotations

from claudebatch.core.errors import ExitCode, StopRun


class SharedServerRefuses(StopRun):
    """It refuses this user, and will at every try."""

    exit_code = ExitCode.AUTH


class SharedServerGone(StopRun):
    """It was away for longer than anybody wants to wait."""

    exit_code = ExitCode.UNAVAILABLE
