"""What the run tells the outside, as frozen events through one injected `emit`.

Progress, the JSON event stream, the cost monitor and logs subscribe; no layer knows any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from claudebatch.domain import Pico, Source, Usage, value


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The input is checked and the first prompt is about to be sent."""

    run_id: str
    rows: int
    """Rows of the input, finished ones included."""
    finished_before: int
    """Rows whose results an earlier session already holds."""
    spent_before: Pico
    cap: Pico | None
    output: str
    simulated: bool


@value
class AttemptStarted:
    """One request is about to leave."""

    model: str
    pool: str


@value
class AttemptFinished:
    """One request has come back, well or badly."""

    model: str
    pool: str
    usage: Usage | None
    cost: Pico
    """Settled cost; the worst case when `unknown`."""
    error: str | None
    """The error's type; None for an answer."""
    unknown: bool
    """The API may have billed it although we hold no answer."""


@value
class RowFinished:
    """A row has its result, and the result is durable."""

    id: str
    model: str
    source: Source
    ok: bool
    error: str | None
    latency_ms: int
    saved: Pico
    """What the answer would have cost had it not come from the cache or a shared request."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request waits, why, and for how long."""

    pool: str
    reason: Literal["requests per minute", "input tokens per minute", "output tokens per minute", "rate limited"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Retrying:
    """An attempt failed and the same call will be tried again."""

    model: str
    error: str
    attempt: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FellBack:
    """A row moves on to the next model of its chain."""

    id: str
    model: str
    next_model: str
    reason: str


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A pool's circuit breaker opened, probes, or closed again."""

    pool: str
    state: Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class SpendSpike:
    """Money leaves faster than the run's own past made likely."""

    usd_per_minute: float
    usual_usd_per_minute: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know that is no error: a cache moved aside, a repaired output."""

    text: str


@dataclass(frozen=True, slots=True)
class DrainStarted:
    """Nothing new is sent any more; what is in flight may finish."""

    reason: str


Event: TypeAlias = (
    RunStarted
    | AttemptStarted
    | AttemptFinished
    | RowFinished
    | Waiting
    | Retrying
    | FellBack
    | BreakerChanged
    | SpendSpike
    | Notice
    | DrainStarted
)
Emit: TypeAlias = Callable[[Event], None]


def nobody(event: Event) -> None:
    """An `Emit` that tells no one."""
