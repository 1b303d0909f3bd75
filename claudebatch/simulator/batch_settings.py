"""How simulated batches behave, and how fast their time goes by."""

from __future__ import annotations

import math
from dataclasses import dataclass

from claudebatch.core.errors import ConfigError
from claudebatch.simulator.latency import parse_latency

BATCH_LATENCY = "lognormal:900,0.7"
"""Most batches end within the hour, a few take hours."""
_FIX = "write how many times faster it goes by, as in 60x"


@dataclass(frozen=True, slots=True)
class SimulatedBatches:
    """Without arguments: no limits but those of a single batch, and real time."""

    time: float = 1.0
    """How many times faster than in the world time goes by for batches. Their ends,
    their expiry, their archiving, waits and limits per minute are all of that time;
    `date`, `created_at` and the others tell the world's.
    """
    latency: str = BATCH_LATENCY
    """Seconds from create to the end, as in latency.py."""
    rpm: int | None = None
    """Requests per minute to all batch endpoints together."""
    queue: int | None = None
    """Requests of all batches together that wait to be processed."""
    max_requests: int = 100_000
    """Of one batch."""
    max_bytes: int = 256 * 2**20
    """Of one batch's body."""
    cache_hits: float = 0.7
    """How often a cached prefix is found; documented are 30 to 98 %."""

    def __post_init__(self) -> None:
        parse_latency(self.latency)
        if not (math.isfinite(self.time) and self.time > 0):
            raise ConfigError("E913", f"batch time: {self.time:g} is not above 0", fix=_FIX)
        for name in ("rpm", "queue"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(
                    "E914",
                    f"simulator: the batch limit {name} must be above 0, got {value}",
                    fix="leave it out for no limit",
                )


def parse_batch_time(text: str) -> float:
    """Read `60x` or `60`; raises `ConfigError`."""
    try:
        return float(text.strip().lower().removesuffix("x"))
    except ValueError:
        raise ConfigError("E915", f'batch time: "{text}" is not a number', fix=_FIX) from None
