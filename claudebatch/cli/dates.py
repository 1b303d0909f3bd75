"""Days and ages as people write them: `7d`, `2w`, `2026-11-01`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from claudebatch.cli.bad_value import BadValue
from claudebatch.core.asked_time import AskedTime

# Five digits at most: a longer number is a slip.
_DURATION = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_MOMENT = re.compile(
    r"(?:(?P<day>\d{4}-\d\d-\d\d)[T ])?(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
    r"(?P<zone>[Zz]|[+-]\d\d:?\d\d| [A-Za-z][A-Za-z0-9_+/-]*)?"
)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_AGE = re.compile(r"(\d{1,5})([dw])")


def today() -> date:
    """The UTC day."""
    return datetime.now(UTC).date()  # noqa: TID251  # a command is where time comes in


def unix_now() -> float:
    """Unix seconds."""
    return datetime.now(UTC).timestamp()  # noqa: TID251  # a command is where time comes in


def asked_time(text: str, *, now: Callable[[], float] = unix_now) -> AskedTime:
    """A time to come: a length (`90m`, `6h`, `1.5h`, `2d`) or a moment (`07:00`,
    `2026-12-01T07:00`), of this machine's zone or of one that is named (`Z`, `+02:00`,
    `Europe/Berlin` after a blank). *now*: Unix seconds.
    """
    words = text.strip()
    found = _DURATION.fullmatch(words)
    if found is not None and float(found[1]):
        return AskedTime(float(found[1]) * _SECONDS[found[2]])
    moment = _MOMENT.fullmatch(words)
    if moment is None:
        raise _no_time(text)
    asked_at = now()
    # One that has passed may be that of a run that is taken up: the run knows.
    at = _moment(words, moment, asked_at)
    return AskedTime(at - asked_at, round(at * 1000), words)


def _no_time(text: str) -> BadValue:
    return BadValue(
        "E093", f"{text!r} is no time to come; try 6h, 90m, 1d, 07:00 or 2026-12-01T07:00"
    )


def _moment(words: str, found: re.Match[str], now: float) -> float:
    """The Unix seconds of the moment *found* in *words*."""
    zone = _zone(words, found["zone"])
    try:
        clock = time(int(found["hour"]), int(found["minute"]), int(found["second"] or 0))
        if found["day"]:
            return _once(words, datetime.combine(date.fromisoformat(found["day"]), clock), zone)
    except ValueError as error:
        raise _no_time(words) from error
    # The next one: today's, or tomorrow's where that has passed.
    today = datetime.fromtimestamp(now, zone).date()
    for day in (today, today + timedelta(days=1)):
        at = _once(words, datetime.combine(day, clock), zone)
        if at > now:
            break
    return at


def _once(words: str, clock: datetime, zone: tzinfo | None) -> float:
    """The Unix seconds at which clocks in *zone* (None: of this machine) show *clock*,
    if that is once.
    """
    first, second = (clock.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if first == second:
        return first
    shown = datetime.fromtimestamp(first, zone).replace(tzinfo=None)
    if shown == clock:
        raise BadValue(
            "E094",
            f"{words}: clocks are put back then, and {clock:%Y-%m-%d %H:%M} comes twice; say which "
            f"one with its zone, as in {clock:%Y-%m-%dT%H:%M}Z",
        )
    raise BadValue(
        "E095",
        f"{words}: clocks are put forward then, and {clock:%Y-%m-%d %H:%M} never comes; try an "
        f"hour later",
    )


def _zone(words: str, name: str | None) -> tzinfo | None:
    if not name:
        return None
    if name in ("Z", "z", "UTC"):
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        if ahead < timedelta(hours=24):
            return timezone(-ahead if offset[1] == "-" else ahead)
    try:
        return ZoneInfo(name.strip())
    except (KeyError, OSError, ValueError) as error:  # what is no name of a zone may be a folder
        raise BadValue(
            "E096", f"{words}: no zone {name.strip()!r} is known here; try +02:00 or Z"
        ) from error


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
