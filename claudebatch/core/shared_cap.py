"""A cap that several runs share: configured, held against, and kept in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from claudebatch.core.domain import Pico


@dataclass(frozen=True, slots=True)
class SharedCap:
    """What all runs of this machine, or all with one tag, may spend in a span of
    time.
    """

    name: str
    """As people read it, such as `day` or `tag client-a per month`."""
    limit: Pico
    span: Literal["day", "month", "total"]
    tag: str | None = None
    setting: str = "budget"
    """Its place in the configuration."""

    def days(self, day: str) -> tuple[str, str]:
        """The first and the last day, UTC, of the span that *day* lies in."""
        if self.span == "day":
            return day, day
        return (day[:7] + "-01", day[:7] + "-31") if self.span == "month" else ("", "9")
