"""The report of a run's end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from claudebatch.core.domain import Pico, PromptSavings, Usage
from claudebatch.core.errors import ExitCode
from claudebatch.core.reports.sample_report import RestOfRun
from claudebatch.core.reports.shared_waits import SharedWaits


@dataclass(frozen=True, slots=True)
class Bound:
    """The reason that a pool waited for, and its seconds in the whole session."""

    pool: str
    reason: str
    seconds: float
    limit: float | None = None
    """Of a limit that the API states: how much of it a minute has."""
    model: str = ""
    """The only model of the pool that was asked."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The end of a run. Rows are those of the whole input, unless they say `now`."""

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
    """Worst case of the attempts of unknown outcome, which may be billed; counted
    against the cap.
    """
    unknown_attempts: int
    cap: Pico | None
    saved: Pico
    """The price of the cached and shared answers of this session, had they been asked.
    """
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
    reader_left: bool = False
    """The reader of the results on standard output has left: nothing is to be said."""
    stop_id: str | None = None
    """The name of that message, such as E703; None also where a signal stopped it."""
    next_command: str | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    """Failed rows of this session by error type."""
    failure_examples: Mapping[str, str] = field(default_factory=dict)
    """One message of each type of failure, of all failed rows."""
    endings: Mapping[str, int] = field(default_factory=dict)
    """Answered rows by their `Ending`."""
    lines_left_out: int = 0
    """Lines of the input that are no rows: they cannot be sent."""
    failures_accepted: bool = False
    """Rows failed, and as many as the user accepts: they alone make no exit code other
    than 0.
    """
    simulated: bool = False
    bound_by: tuple[Bound, ...] = ()
    """The reasons that pools waited for in this session, the longest first."""
    expected_now: Pico = 0
    """The estimate for this session's answers from the API, made before it began; 0:
    unknown.
    """
    cost_known: bool = True
    """False when a model without a known price answered: then `spent` is a lower bound.
    """
    prewarms: int = 0
    """Of the requests: those that only wrote to the API's prompt cache."""
    by_batch_now: int = 0
    """Of `answered_now`: rows whose answers came with message batches."""
    in_batches: int = 0
    """Of the pending rows, those that are in message batches now."""
    open_batches: int = 0
    """Those batches."""
    held: Pico = 0
    """Their worst cases; counted against the cap."""
    overshoot: Pico = 0
    """By how much the cap may be passed, as the configuration allows; 0: by nothing."""
    prompt_cache: PromptSavings = PromptSavings()
    """What the API's prompt cache has saved of the cost of this session's answers."""
    rest: RestOfRun | None = None
    """After a sample: the rows that are left, and what they would take."""
    shared: SharedWaits | None = None
    """What this session waited for at the shared server; None: it shares nothing."""
