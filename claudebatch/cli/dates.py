"""Days and ages as people write them: `7d`, `2w`, `2026-11-01`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from claudebatch.cli.bad_value import BadValue

# Five digits at most: a longer number is a slip.
_DURATION = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_AGE = re.compile(r"(\d{1,5})([dw])")


def today() -> date:
    """The UTC day."""
    return datetime.now(UTC).date()  # noqa: TID251  # a command is where time comes in


def unix_now() -> float:
    """Unix seconds."""
    return datetime.now(UTC).timestamp()  # noqa: TID251  # a command is where time comes in


def duration(text: str) -> float:
    """`90m` → 5400.0 seconds, `6h`, `1.5h`, `2d`."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise BadValue("E093", f"{text!r} is not a time from now; try 6h, 90m or 1d")
    return float(found[1]) * _SECONDS[found[2]]


def days(text: str) -> int:
    """`30d` → 30, `2w` → 14."""
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise BadValue("E056", f"{text!r} is not a number of days or weeks; try 30d or 2w")
    return int(found[1]) * (7 if found[2] == "w" else 1)


def first_day(text: str) -> date:
    """The first day that *text* speaks of: `2026-11-01` itself; of `7d` the first of
    the last seven, today included.
    """
    if _AGE.fullmatch(text.strip()):
        try:
            return today() - timedelta(days=max(0, days(text) - 1))
        except OverflowError:
            # Longer ago than there are dates: everything there is.
            return date.min
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise BadValue("E057", f"{text!r} is not a date; try 7d or 2026-11-01") from error
