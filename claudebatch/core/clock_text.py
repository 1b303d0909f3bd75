"""Moments as people read them: of their own time zone."""

from __future__ import annotations

from datetime import UTC, datetime


def clock_text(ms: int) -> str:
    """Unix milliseconds as `2026-11-22 18:00`, in local time."""
    # With its day: a deadline may be tomorrow, and a log is read next week.
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
