"""How fast pools may be asked, and how many requests may be in flight; config fills
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Tier: TypeAlias = Literal["auto", "start", "build", "scale", "none"]


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The rates of one pool; None where there is no limit."""

    requests_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    """Uncached input and cache writes."""
    output_tokens_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimitSettings:
    """Rate limits: those of a tier, and pools that differ from it."""

    tier: Tier = "auto"
    headroom: float = 0.0
    """The share of every limit that is left to others."""
    watch_output: bool = True
    """Whether answers are streamed so that the limiter sees what is being produced."""
    pools: Mapping[str, PoolLimits] = field(default_factory=dict)
    """Pool → limits that were chosen for it: answers may lower them, never raise them.
    """
    concurrency: int | None = None
    """Requests in flight of each pool; None: found out."""

    @property
    def our_share(self) -> float:
        """The share of every limit that this run may use."""
        return 1.0 - self.headroom
