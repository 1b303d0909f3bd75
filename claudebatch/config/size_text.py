"""Ages and sizes on the command line, in the words of the configuration."""

from __future__ import annotations

from claudebatch.config import units
from claudebatch.core.errors import ConfigError


def seconds_of(text: str) -> float | None:
    """`12h`, `30d` in seconds; None where it is no duration."""
    # The words of a configuration's error would name a key that there is not.
    try:
        return units.seconds("", text)
    except ConfigError:
        return None


def bytes_of(text: str) -> int | None:
    """`500KB`, `2MB` in bytes (powers of 1,024); None where it is no size."""
    try:
        return units.size("", text)
    except ConfigError:
        return None
