"""Money at the shared server: what is gone and what is held, by cap and by run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from claudebatch.core.domain import Pico


@dataclass(frozen=True, slots=True)
class CapLevel:
    """A cap, or a sum that nobody here caps."""

    name: str
    limit: Pico | None
    """As this machine's configuration has it; None: it has none."""
    spent: Pico
    """Maybe billed included."""
    held: Pico


@dataclass(frozen=True, slots=True)
class SharedRun:
    """A run of some host."""

    run: str
    spent: Pico
    """Of the day that was asked for, maybe billed included."""
    held: Pico
    holds: int
    """Requests that money is held for."""
    lost: Pico
    """Held by sessions that died; it counts as spent until its journal says better."""
    state: Literal["alive", "left", "silent"]
    """alive: heard of within a minute; left: it has ended, and batches or requests of
    it are out; silent: neither.
    """
    heard_s: float | None
    """Seconds since it was heard of last; None: not known."""
    processes: tuple[str, ...]
    """Those that hold the money."""


@dataclass(frozen=True, slots=True)
class UntoldSpend:
    """What a run of this machine has spent on a day, and the server does not know."""

    run: str
    day: str
    amount: Pico
