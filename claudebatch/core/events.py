"""Events of a run for the outside: frozen, through one injected `emit`.

Progress, the JSON event stream, the cost monitor and logs subscribe; no layer knows any
of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from claudebatch.core.domain import Call, Pico, Reply, Source, Usage, Via
from claudebatch.core.frozen import value
from claudebatch.core.notice import LineLeftOut, Notice
from claudebatch.core.reports import DeadlinePlan

WaitReason: TypeAlias = Literal[
    "requests per minute",
    "input tokens per minute",
    "output tokens per minute",
    "requests in flight",
    "first answer",
    "gentle start",
    "rate limited",
    "circuit open",
    "retry budget",
    "spending paused",
    "money",
    "shared server",
]


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
    unknown_before: Pico = 0
    """Worst cases of earlier attempts of unknown outcome; not in `spent_before`."""
    unknown_attempts_before: int = 0
    """How many those are."""


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
    """The API may have billed it for an unknown amount: there is no answer, or none
    that states its usage.
    """
    call: Call | None = None
    """The request."""
    reply: Reply | None = None
    """The answer, if there was one."""
    attempt: int = 0
    """Its number in the run's journal."""
    latency_ms: int = 0
    status: int | None = None
    """The HTTP status of an error; None where none came."""
    request_id: str | None = None
    retry_after: float | None = None
    """Seconds that the API asked us to wait."""
    via: Via = "live"
    """Of a batch nobody saw it leave: there was no `AttemptStarted`."""
    id: str = ""
    """The row, where there is no call."""
    expected: Pico = 0
    """What it was expected to cost, where there is no call; 0: not known."""


@value
class RowFinished:
    """A row has its result, and the result is durable."""

    id: str
    model: str
    source: Source
    ok: bool
    error: str | None = None
    latency_ms: int = 0
    saved: Pico = 0
    """The price of the answer that came from the cache or a shared request instead."""
    message: str = ""
    """Why it failed, in the API's words."""
    via: Via = "live"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pool sends nothing more for a while, and why.

    The limiter reports the request at the head of its pool's queue only: those behind
    wait for that one. The sum over all waits is the time that the pool stood still. Of
    one pool, the last one reported holds.
    """

    pool: str
    reason: WaitReason
    seconds: float
    """From now; infinite: unknown."""
    id: str = ""
    """The row that waits, where it is known."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """An attempt failed and the same call will be tried again."""

    model: str
    error: str
    attempt: int
    seconds: float
    id: str = ""
    """The row, where it is known."""
    cause: str = ""
    """What went wrong, in words."""


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
class LimitsSeen:
    """The limits in force of a pool were learned or have changed; None: unknown."""

    pool: str
    requests_per_minute: float | None
    input_tokens_per_minute: float | None
    output_tokens_per_minute: float | None


@dataclass(frozen=True, slots=True)
class ConcurrencyChanged:
    """A pool may have another number of requests in flight."""

    pool: str
    limit: int


@dataclass(frozen=True, slots=True)
class SpendSpike:
    """Money leaves faster, or a row costs more, than the run's own past made likely."""

    measure: Literal["per minute", "per row"]
    usd: float
    usual_usd: float
    action: Literal["warn", "pause", "stop"] = "warn"
    """The reaction, besides the report."""
    pause_s: float = 0.0
    """Seconds for which nothing is sent."""


@dataclass(frozen=True, slots=True)
class CostDrift:
    """The rows of a whole run cost otherwise than the sample before it said."""

    rows: int
    """Rows that were answered until now."""
    mean: Pico
    """The cost of a row, as these say."""
    low: Pico
    """The lower end of what the sample said of it, at 95 %."""
    high: Pico
    total: Pico
    """What all rows would cost at this rate, the sample's included."""
    expected_total: Pico
    """What the sample said of that."""


@dataclass(frozen=True, slots=True)
class CapAlert:
    """A cap is used up to a level that the user asked to be alerted at."""

    scope: str
    """As in `CapUsed`."""
    percent: int
    """The level that was passed; 100 also where less is left than the next request may
    cost.
    """
    cap: Pico
    used: Pico


@dataclass(frozen=True, slots=True)
class CapUsed:
    """The used part of one cap. Alerts are made from these reports; they may repeat."""

    scope: str
    """The cap's name for people: `run`, `day`, `month`, `tag NAME`, `tag NAME per day`,
    …
    """
    cap: Pico
    used: Pico
    """Costs, and worst cases of unknown outcomes; not the holds of attempts that are
    still in flight.
    """
    full: bool = False
    """The next request was refused: as good as all of it, though less than the last
    request's worst case is left.
    """


@dataclass(frozen=True, slots=True)
class BatchChanged:
    """A message batch of this run has come to another state, or was asked about."""

    batch: int
    """Its number in this run."""
    id: str | None
    """The API's; None: not known."""
    state: BatchPhase
    requests: int
    held: Pico
    """The worst cases of its rows that have no outcome yet."""
    at_ms: int = 0
    """The moment of this report, in Unix milliseconds."""
    created_ms: int | None = None
    """Unix milliseconds, as the API has it."""
    expires_ms: int | None = None
    answered: int = 0
    """Of a batch that is collected, so far in this session: rows with an answer."""
    failed: int = 0
    again: int = 0
    """Rows that are sent once more."""


BatchPhase: TypeAlias = Literal[
    "building",
    "submitted",
    "in progress",
    "canceling",
    "looked for",
    "ended",
    "collected",
    "never made",
    "not ours",
    "lost",
]
"""looked for: it is unknown yet whether it was made."""


@dataclass(frozen=True, slots=True)
class DrainStarted:
    """Nothing new is sent any more; what is in flight may finish."""

    reason: str
    quiet: bool = False
    """Whether nobody needs to be told."""


@dataclass(frozen=True, slots=True)
class PlanMade:
    """What goes by batch and what at once, so that the deadline holds; Unix
    milliseconds.
    """

    plan: DeadlinePlan
    deadline_ms: int
    give_up_ms: int | None
    """Batches that have not ended by then are canceled; None: there are none."""
    revised: bool = False
    """A later moment to give up: some batches are back, and the others have more time.
    """
    rows: int = 0
    """Of a revised plan: the rows that still wait for batches."""


Event: TypeAlias = (
    RunStarted
    | LineLeftOut
    | AttemptStarted
    | AttemptFinished
    | RowFinished
    | Waiting
    | Retrying
    | FellBack
    | BreakerChanged
    | LimitsSeen
    | ConcurrencyChanged
    | SpendSpike
    | CostDrift
    | CapUsed
    | CapAlert
    | Notice
    | BatchChanged
    | PlanMade
    | DrainStarted
)
Emit: TypeAlias = Callable[[Event], None]


def nobody(event: Event) -> None:
    """An `Emit` for runs without an audience."""


class Deaf:
    """A listener that does nothing with any event: it need not be told of a million
    rows.
    """

    def __call__(self, event: Event) -> None:
        """Let *event* pass."""
