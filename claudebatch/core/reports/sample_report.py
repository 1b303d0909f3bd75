"""What a sample says of the rows that were not asked yet."""

from __future__ import annotations

from dataclasses import dataclass

from claudebatch.core.domain import Pico


@dataclass(frozen=True, slots=True)
class RestOfRun:
    """The rows beside a sample, and what they would take."""

    rows: int
    cost: Pico
    low: Pico
    """The lower end of the 95 % interval of `cost`."""
    high: Pico
    seconds: float | None = None
    """None: it is not known."""


@dataclass(frozen=True, slots=True)
class SampledAnswer:
    """One row of a sample, as it is shown."""

    prompt: str
    """The text of the last message."""
    answer: str
    failed: bool = False
