"""What a run, an estimate and the ledger say of themselves, as plain data for any display."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from claudebatch.domain import Pico, Usage
from claudebatch.errors import ExitCode


@dataclass(frozen=True, slots=True)
class Bound:
    """What held a pool up, and for how many seconds of the session in all."""

    pool: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run ended. Counts of rows are over the whole input unless they say `now`."""

    run_id: str
    exit_code: ExitCode
    rows: int
    succeeded: int
    failed: int
    finished_before: int
    """Rows whose results an earlier session already held."""
    answered_now: int
    """Rows of this session answered by the API."""
    cached_now: int
    """Rows of this session answered by the response cache."""
    shared_now: int
    """Rows of this session that shared another row's request in flight."""
    pending: int
    removed: int
    """Results in the journal whose rows are no longer in the input."""
    spent_now: Pico
    spent: Pico
    """Settled dollars of every session of this run."""
    unknown: Pico
    """Worst case of the attempts whose outcome nobody knows; counted against the cap, maybe billed."""
    unknown_attempts: int
    cap: Pico | None
    saved: Pico
    """What the cached and shared answers of this session would have cost."""
    usage: Usage
    """Tokens of this session's answers from the API."""
    requests: int
    retries: int
    p50_ms: int
    p95_ms: int
    wall_s: float
    output: str
    stop_reason: str | None = None
    """Why the run stopped early; None when it reached the end."""
    next_command: str | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    """Failed rows of this session by error type."""
    simulated: bool = False
    bound_by: tuple[Bound, ...] = ()
    """What the pools stood still for in this session, the longest first."""
    cost_known: bool = True
    """False when a model without a known price answered: then `spent` is a lower bound."""


@dataclass(frozen=True, slots=True)
class EstimateLine:
    """One route of a dry run: the rows that one rule sends to one model."""

    model: str
    rule: str
    rows: int
    cached: int
    input_tokens: int
    output_tokens: int
    low: Pico
    expected: Pico
    worst: Pico
    price_known: bool = True


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would do and cost, with nothing sent."""

    rows: int
    finished: int
    """Rows whose results an earlier session already holds."""
    duplicates: int
    """Rows whose request equals an earlier row's: sent once."""
    lines: tuple[EstimateLine, ...]
    cap: Pico | None
    output: str
    seconds: float = 0.0
    """How long it would take at the limits in force."""
    bound_by: str | None = None
    """What it would wait for most; None: for nothing but answers."""
    bound_pool: str | None = None

    @property
    def low(self) -> Pico:
        """If answers are short."""
        return sum(line.low for line in self.lines)

    @property
    def expected(self) -> Pico:
        """If answers are of usual length."""
        return sum(line.expected for line in self.lines)

    @property
    def worst(self) -> Pico:
        """If every answer uses all of its `max_tokens` and no estimate of input is too high."""
        return sum(line.worst for line in self.lines)


@dataclass(frozen=True, slots=True)
class SpendLine:
    """Spend of one run, model or day."""

    label: str
    attempts: int
    answers: int
    input_tokens: int
    """Uncached input."""
    cache_write_tokens: int
    cache_read_tokens: int
    output_tokens: int
    spent: Pico
    unknown: Pico
    """Held at the worst case: in flight now, or never heard of again."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What the response cache holds."""

    path: str
    entries: int
    bytes_used: int
    bytes_limit: int
    ttl_s: float | None
