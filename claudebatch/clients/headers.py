"""Facts from the headers of an answer, read in one pass; every value may be
malformed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from claudebatch.core.limit_headers import LimitReading, Limits

SIMULATED_HEADER = b"x-claudebatch-simulated"
_LIMIT = b"anthropic-ratelimit-"
# Fast mode has limits of its own; those of standard requests say nothing about it.
_FAST_LIMIT = b"anthropic-fast-"


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """The headers that decisions use."""

    request_id: str | None
    retry_after: float | None
    should_retry: bool | None
    limits: Limits | None
    simulated: bool
    server_time: datetime | None = None
    """The date of the answer, where it is wanted; see `server_date`."""


def read_headers(
    raw: Iterable[tuple[bytes, bytes]], *, now: datetime, fast: bool = False
) -> HeaderFacts:
    """The facts in *raw* headers; anything missing or malformed is None. *fast*: of an
    answer to a request for fast mode.
    """
    prefix = _FAST_LIMIT if fast else _LIMIT
    request_id: str | None = None
    should_retry: bool | None = None
    waits: dict[bytes, bytes] = {}
    limits: dict[bytes, bytes] = {}
    simulated = False
    for cased, value in raw:
        # Gateways that speak HTTP/1.1 may send any case.
        name = cased.lower()
        if name.startswith(prefix):
            limits[name[len(prefix) :]] = value
        elif name == b"request-id":
            request_id = value.decode("latin-1")
        elif name in (b"retry-after", b"retry-after-ms"):
            waits[name] = value
        elif name == b"x-should-retry":
            should_retry = {b"true": True, b"false": False}.get(value.lower())
        elif name == SIMULATED_HEADER:
            simulated = True
    return HeaderFacts(
        request_id, _retry_after(waits, now), should_retry, _limits(limits), simulated
    )


def server_date(raw: Iterable[tuple[bytes, bytes]]) -> datetime | None:
    """The clock of the server, as the answer's `date` has it.

    Apart from the other facts, because few want it and reading it takes time.
    """
    value = next((value for name, value in raw if name.lower() == b"date"), None)
    try:
        date = parsedate_to_datetime(value.decode("latin-1")) if value is not None else None
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date is not None and date.tzinfo is None else date


def _limits(values: dict[bytes, bytes]) -> Limits | None:
    if not values:
        return None
    requests, inputs, outputs = (
        LimitReading(_whole(values.get(kind + b"-limit")), _whole(values.get(kind + b"-remaining")))
        for kind in (b"requests", b"input-tokens", b"output-tokens")
    )
    return Limits(requests, inputs, outputs)


def _whole(value: bytes | None) -> int | None:
    # No limit has 16 digits, and `int` raises above 4,300 of them.
    return int(value) if value is not None and value.isdigit() and len(value) < 16 else None


def _retry_after(waits: dict[bytes, bytes], now: datetime) -> float | None:
    in_ms = _seconds(waits.get(b"retry-after-ms"), now)
    if in_ms is not None:
        # A denormal number of milliseconds becomes 0 seconds, which is no wait.
        return in_ms / 1000 or None
    return _seconds(waits.get(b"retry-after"), now)


def _seconds(value: bytes | None, now: datetime) -> float | None:
    if value is None:
        return None
    text = value.decode("latin-1")
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    return seconds if math.isfinite(seconds) and seconds > 0 else None
