"""Durations, sizes and shares as people write them."""

from __future__ import annotations

import math
import re

from claudebatch.core.errors import ConfigError

# A number alone is seconds: YAML turns 90 into one.
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
_SHARE = "a share from 0% to 100%, such as 20%"
# Powers of 1,024, as disks are shown by the tools that people compare with.
_BYTES = {"": 1, "B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}


def seconds(where: str, value: str | float) -> float:
    """`90`, `"90s"`, `"15m"`, `"2h"`, `"30d"` in seconds; raises `ConfigError`."""
    return _parse(where, value, _SECONDS, "a duration such as 90s, 15m, 2h or 30d")


def size(where: str, value: str | int) -> int:
    """`1048576`, `"500MB"`, `"2GB"` in bytes (powers of 1,024); raises
    `ConfigError`.
    """
    return int(
        _parse(
            where,
            value,
            {unit.lower(): factor for unit, factor in _BYTES.items()},
            "a size such as 2GB",
        )
    )


def share(where: str, value: str | float) -> float:
    """`"20%"` or `0.2` as 0.2; raises `ConfigError` below 0 and above 1."""
    found = _parse(where, value, {"%": 0.01, "": 1.0}, _SHARE)
    # 20 for 20 % is a slip that would mean twenty times everything.
    if found > 1.0:
        raise ConfigError("E114", f"{where}: not {_SHARE}: {value!r}", fix=f"write {_SHARE}")
    return found


def _parse(
    where: str, value: str | float, units: dict[str, float] | dict[str, int], what: str
) -> float:
    # No sign and no exponent: a negative wait or 1e9h was never meant.
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*|%)\s*", str(value).lower())
    if not found or found[2] not in units or not math.isfinite(float(found[1])):
        raise ConfigError("E115", f"{where}: not {what}: {value!r}", fix=f"write {what}")
    return float(found[1]) * units[found[2]]
