"""What was spent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from claudebatch.core.domain import Pico


@dataclass(frozen=True, slots=True)
class SpendLine:
    """Spend of one run, model, day, tag or route."""

    label: str
    attempts: int = 0
    answers: int = 0
    input_tokens: int = 0
    """Uncached input."""
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    spent: Pico = 0
    unknown: Pico = 0
    """Worst case of the attempts whose outcome nobody knows."""
    note: str = ""
    unknown_attempts: int = 0
    held: Pico = 0
    """Set aside by runs that go on, or that died and are not settled yet."""
    web_searches: int = 0
    unpriced: int = 0
    """Answers of models without a known price: what they cost is missing in `spent`."""
    cached: int = 0
    """Rows answered out of the response cache."""
    shared: int = 0
    """Rows that shared another row's request."""
    saved_cache: Pico = 0
    """What the cached and shared rows would have cost."""
    saved_routing: Pico = 0
    """What the routed rows would have cost more at the dearest model that their run's
    rules could choose.
    """


# Every number of a line: one that is forgotten here would be missing in totals.
_SUMMED = tuple(field.name for field in fields(SpendLine) if field.name not in ("label", "note"))


def spend_sum(lines: Iterable[SpendLine], label: str = "total", note: str = "") -> SpendLine:
    """All *lines* as one."""
    lines = tuple(lines)
    return SpendLine(
        label, note=note, **{name: sum(getattr(line, name) for line in lines) for name in _SUMMED}
    )
