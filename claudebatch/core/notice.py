"""What the user is told that is no error."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notice:
    """News for the user that is no error: a cache moved aside, a repaired output."""

    id: str
    """Its name for good: `W` and a number for a warning, `N` and a number for a note.
    docs/messages.md lists all.
    """
    text: str


@dataclass(frozen=True, slots=True)
class LineLeftOut:
    """A line of the input cannot be sent, and `--on-bad-row skip` leaves it out."""

    file: str
    """As the user named it."""
    line: int
    ids: tuple[str, ...]
    """Of its problems, as docs/messages.md has them."""
    reason: str
    fix: str
