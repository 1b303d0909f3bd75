"""A run at one moment, as plain numbers that no later event changes.

The summary, every display and the `progress` lines of `--json` are made of these, so
two of them cannot count differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from claudebatch.core.domain import Pico, Usage
from claudebatch.core.events import RunStarted
from claudebatch.core.reports import Bound
from claudebatch.core.stats.open_batches import BatchProgress
from claudebatch.core.stats.pool_waits import PoolWait

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class MinuteLimits:
    """The limits of a pool per minute; None for an unknown one."""

    requests: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None


LimitsByPool: TypeAlias = Mapping[str, MinuteLimits | None]
"""The limits of the configuration, which hold until the API shows others."""


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """Figures of one pool at one moment."""

    in_flight: int
    requests_per_minute: float
    input_tokens_per_minute: float
    output_tokens_per_minute: float
    breaker: BreakerState
    concurrency: int | None
    """The most requests in flight; None before the pool has reported it."""
    limits: MinuteLimits
    """The limits that the API's headers have shown."""
    model: str = ""
    """The model of all its requests; empty where there are several, or none yet."""

    def limits_in_force(self, configured: MinuteLimits | None) -> MinuteLimits:
        """The limits seen, and those *configured* where none was seen."""
        seen, others = self.limits, configured or MinuteLimits()
        return MinuteLimits(
            requests=seen.requests or others.requests,
            input_tokens=seen.input_tokens or others.input_tokens,
            output_tokens=seen.output_tokens or others.output_tokens,
        )


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """The progress of a run. Counts are of this session unless they say otherwise."""

    at: float
    """The moment, on the clock of the run."""
    run: RunStarted | None
    """None before the input is checked."""
    succeeded: int
    failed: int
    answered: int
    """Of the succeeded: rows answered by the API."""
    cached: int
    """Of the succeeded: rows answered by the response cache."""
    shared: int
    """Of the succeeded: rows answered by another row's request."""
    failures: Mapping[str, int]
    """Failed rows by error type."""
    spent_now: Pico
    """Settled costs."""
    unknown_now: Pico
    """The worst cases of attempts that may be billed, for an unknown amount."""
    saved: Pico
    usage: Usage
    """Tokens of the answers from the API."""
    requests: int
    retries: int
    fallbacks: int
    unknown_attempts_now: int
    p50_ms: int
    p95_ms: int
    pools: Mapping[str, PoolSnapshot]
    waits: tuple[PoolWait, ...]
    """The pools that stand still now, the shortest wait first."""
    bound_by: tuple[Bound, ...]
    """The reasons that pools have waited for, the longest first."""
    draining: str | None
    """Why the run stops; None while it goes on."""
    elapsed_s: float
    eta_s: float | None
    """Seconds until the last row at the pace of the last minute; None: unknown."""
    prewarms: int = 0
    """Of the requests: those that only wrote to the API's prompt cache."""
    by_batch: int = 0
    """Of the answered: rows whose answers came with a message batch."""
    batches: BatchProgress = BatchProgress()
    """The message batches that are not collected."""

    @property
    def started(self) -> bool:
        """Whether the input is checked and the first prompt was about to be sent."""
        return self.run is not None

    @property
    def rows(self) -> int:
        """Rows of the whole input."""
        return self.run.rows if self.run else 0

    @property
    def finished_before(self) -> int:
        """Rows with a result of an earlier session."""
        return self.run.finished_before if self.run else 0

    @property
    def done(self) -> int:
        """Rows with a result, of earlier sessions too."""
        return self.finished_before + self.succeeded + self.failed

    @property
    def spent(self) -> Pico:
        """Dollars of every session."""
        return (self.run.spent_before if self.run else 0) + self.spent_now

    @property
    def unknown(self) -> Pico:
        """Dollars that may be billed beside what is spent, of every session."""
        return (self.run.unknown_before if self.run else 0) + self.unknown_now

    @property
    def used(self) -> Pico:
        """What counts against the cap: also what may be billed."""
        return self.spent + self.unknown

    @property
    def unknown_attempts(self) -> int:
        """How many attempts of every session those are."""
        return (self.run.unknown_attempts_before if self.run else 0) + self.unknown_attempts_now

    @property
    def cap(self) -> Pico | None:
        """The cap of the run; None without one."""
        return self.run.cap if self.run else None

    @property
    def simulated(self) -> bool:
        """Whether nothing of this is real."""
        return self.run is not None and self.run.simulated

    @property
    def in_flight(self) -> int:
        """Requests on the wire."""
        return sum(pool.in_flight for pool in self.pools.values())
