"""The ways to send the same rows, as an estimate compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from claudebatch.core.domain import Pico


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """How long this machine's batches took so far, from making to end."""

    batches: int
    usual_s: float
    """Half of them were faster."""
    slow_s: float
    """Nine in ten were faster."""


@dataclass(frozen=True, slots=True)
class Way:
    """The same rows, sent in one way."""

    name: Literal["live", "batch", "mixed"]
    live_rows: int
    batch_rows: int
    expected: Pico
    worst: Pico
    seconds: float
    """Of the rows that are sent at once; how long a batch takes nobody knows."""
    chosen: bool
    """Whether the configuration asks for it."""
