"""The settings of a simulator, frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from claudebatch.core.errors import ConfigError
from claudebatch.simulator.batch_settings import SimulatedBatches
from claudebatch.simulator.faults import check_faults
from claudebatch.simulator.latency import parse_latency

SIMULATE_LATENCY = "lognormal:0.25,0.4"
"""Near the latency of short answers of small models; the default of `--simulate`."""
MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class SimulatedAllowance:
    """The limits of one pool of models; None is no limit."""

    rpm: int | None = None
    """Requests per minute."""
    itpm: int | None = None
    """Input tokens per minute; reads of the prompt cache are free."""
    otpm: int | None = None
    """Output tokens per minute."""
    burst_seconds: float = 60.0
    """Seconds of allowance in a full bucket."""
    output_at_end: bool = False
    """Output counts all at once when its answer is ready, rather than in real time,
    while it is produced.
    """

    def __post_init__(self) -> None:
        for name in ("rpm", "itpm", "otpm"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(
                    "E910",
                    f"simulator: {name} must be above 0, got {value}",
                    fix="leave it out for no limit",
                )
        # Infinity makes levels NaN, and every comparison with them false: no limit at
        # all.
        if not (math.isfinite(self.burst_seconds) and self.burst_seconds > 0):
            raise ConfigError(
                "E911", f"simulator: burst_seconds must be above 0, got {self.burst_seconds}"
            )

    @property
    def unlimited(self) -> bool:
        """Whether there is no limit at all."""
        return self.rpm is None and self.itpm is None and self.otpm is None


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """Without arguments: no limits, no faults, and answers after two milliseconds."""

    latency: str = "fixed:0.002"
    """See latency.py."""
    begins_after_s: float = 0.0
    """Seconds of its latency after which an answer begins: the head of a stream comes,
    and what its request wrote to the prompt cache can be read. At 0 a stream begins at
    once, another answer at its end.
    """
    holds_streams: bool = False
    """A stream comes in one piece at its end, as through a gateway that waits for
    it.
    """
    limits: SimulatedAllowance = SimulatedAllowance()
    """Of each pool."""
    pool_limits: Mapping[str, SimulatedAllowance] = field(default_factory=dict)
    """Of single pools, instead of `limits`."""
    faults: Mapping[str, float] = field(default_factory=dict)
    """Probability by name; see faults.py."""
    script: tuple[str, ...] = ()
    """Faults of the first requests, in order; `ok` for none."""
    seed: int = 0
    """Another seed gives other answers."""
    use_all_max_tokens: bool = False
    """Every answer spends all of its `max_tokens`."""
    adversarial: bool = False
    """That, and every request is billed at the most that it can cost; see adversary.py.
    """
    strip_headers: bool = False
    """Leave the rate-limit headers out, as some gateways do."""
    retry_after: bool = True
    """Whether a 429 carries `retry-after`."""
    max_concurrency: int | None = None
    """More requests in flight than this get a 429."""
    max_body_bytes: int = 32 * MEGABYTE
    batches: SimulatedBatches = SimulatedBatches()
    """Of the Message Batches endpoints."""
    drip_s: float = 0.3
    """Seconds between two bytes of a dripping body."""

    def __post_init__(self) -> None:
        parse_latency(self.latency)
        check_faults(self.faults, self.script)
        if self.max_concurrency is not None and self.max_concurrency <= 0:
            raise ConfigError(
                "E912", f"simulator: max_concurrency must be above 0, got {self.max_concurrency}"
            )
