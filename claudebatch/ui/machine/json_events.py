r"""`--json`: what happens in a run, as one JSON object per line. This page is the
protocol, version 1.

Every object has `v` (1), `event`, and `t` (seconds since the display was started).
Fields are added, never renamed or removed, while `v` is 1; readers skip events and
fields that they do not know. Dollars are exact decimal strings. Everything outside
printable ASCII is escaped (`\u001b`), so that the lines are safe to look at and ids
stay exact.

start        run_id, rows, finished_before, spent_usd, cap_usd (null: none), output,
             simulated
line_left_out  file, line, reason, fix. One for every line of the input that is left out
             under `--on-bad-row skip`, before `start`.
progress     rows, done (earlier sessions included), succeeded, failed, cached, shared
             (this session), in_flight, requests, retries, fallbacks, spent_usd (earlier
             sessions included), saved_usd, unknown_usd and unknown_attempts (what may
             be billed besides; earlier sessions included),
             eta_s (null: nobody can say), draining (null, or why the run stops),
             batches: {open, rows, held_usd, looked_for, canceling, collected, age_s,
             left_s, usual_s (null: not known)},
             waiting (null, or {pool, reason, seconds (null: nobody can say)}: what
             moves again first),
             pools: {name: {breaker, in_flight, concurrency (null: not told), waiting
             (null, or {reason, seconds}), rpm, itpm, otpm, rpm_limit, itpm_limit,
             otpm_limit (null: none known)}}.
             At most one every *interval* seconds, and one last before `done`.
row_failed   id, model, error, message, latency_ms. One for every row that failed.
limits       pool, requests_per_minute, input_tokens_per_minute,
             output_tokens_per_minute (null: unknown).
             When the limits in force of a pool are learned, and when they change.
concurrency  pool, limit: how many requests the pool may have in flight from now on
batch        batch (its number), id, state, requests, held_usd, created_at, expires_at,
             answered, failed, again. One for each change of its state.
plan         deadline_at, give_up_at (null: no batch to give up), revised, waiting_rows,
             and the fields of an estimate's `plan` (docs/estimate.md). With a deadline:
             at the start, and when batches have come back and the rest has more time.
alert        kind (cap or spike), its fields as in docs/alerts.md, text
drift        rows, mean_usd, low_usd, high_usd, total_usd, expected_total_usd: the rows
             of a whole run cost otherwise than its sample said
notice       kind (notice, fallback, breaker, drain, retry), text; of a notice its id
done         the fields of `summary_json`: how the run ended, its exit_code and
             next_command
error        id, message, fix (null: none), exit_code, problems: [{file, lines, id,
             reason, fix}] of lines that cannot be sent, a hundred at most. The last
             line of a command that ended with an error and has no `done`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import islice
from math import isinf
from typing import Any, TextIO

from claudebatch.core.errors import ClaudebatchError, StopRun
from claudebatch.core.events import (
    BatchChanged,
    CapAlert,
    ConcurrencyChanged,
    CostDrift,
    Event,
    LimitsSeen,
    PlanMade,
    RowFinished,
    RunStarted,
    SpendSpike,
)
from claudebatch.core.notice import LineLeftOut
from claudebatch.core.reports import RunSummary
from claudebatch.core.stats.pool_waits import PoolWait
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.core.stats.snapshot import LimitsByPool, MinuteLimits, PoolSnapshot, RunSnapshot
from claudebatch.ui.error_text import ProblemText
from claudebatch.ui.format import usd_string
from claudebatch.ui.live.alert_text import alert_json
from claudebatch.ui.live.batch_text import BatchNews, batch_json, progress_json
from claudebatch.ui.live.notices import Notices
from claudebatch.ui.live.plan_text import plan_event_json
from claudebatch.ui.live.ticker import Ticker
from claudebatch.ui.tables.run_summary import summary_json
from claudebatch.ui.terminal import SafeStream

VERSION = 1
_MOST_PROBLEMS = 100


def json_line(fields: dict[str, Any]) -> str:
    """*fields* as one line of printable ASCII."""
    return (
        # `ensure_ascii` is the default: an id cannot steer the terminal of a reader.
        # DEL is printable ASCII to json, and not to a terminal.
        json.dumps(fields, separators=(",", ":"), allow_nan=False).replace("\x7f", "\\u007f") + "\n"
    )


def error_line(error: ClaudebatchError | StopRun, bad: Iterable[ProblemText] = ()) -> str:
    """The `error` event of a command that ends with *error*; *bad* are the lines that
    cannot be sent.
    """
    problems = [
        {
            "file": found.file,
            "lines": found.lines,
            "id": found.problem.id,
            "reason": found.problem.reason,
            "fix": found.problem.fix,
        }
        for found in islice(bad, _MOST_PROBLEMS)
    ]
    fields = {
        "id": error.id,
        "message": error.message,
        "fix": error.fix or None,
        "exit_code": int(error.exit_code),
        "problems": problems,
    }
    return json_line({"v": VERSION, "event": "error", "t": 0.0} | fields)


class JsonEvents:
    """Writes the protocol above; *interval* is the fewest seconds between two
    `progress` lines.
    """

    def __init__(
        self,
        stream: TextIO,
        stats: RunStats,
        *,
        now: Callable[[], float],
        interval: float = 1.0,
        limits: LimitsByPool | None = None,
        own_thread: bool = True,
    ) -> None:
        self._stream = SafeStream(stream, on_broken=self._lost)
        self._stats = stats
        self._now = now
        self._interval = interval
        self._limits = limits or {}
        self._notices = Notices()
        self._batch_news = BatchNews()
        # A tenth of a second at least: an interval of 0 would spin.
        self._ticker = Ticker(self.tick, interval_s=max(interval, 0.1)) if own_thread else None
        # The ticker writes too, and lines must not mix.
        self._one_at_a_time = threading.Lock()
        self.on_lost: Callable[[], object] | None = None
        """Called once, maybe in another thread, when the reader of the events has left.
        """
        # Mutable state, changed by `start` and `tick`.
        self._began = self._due = now()

    def start(self) -> None:
        """Begin to count the time; without an own thread, the owner calls `tick`."""
        self._began = self._due = self._now()
        if self._ticker is not None:
            self._ticker.start()

    def __call__(self, event: Event) -> None:
        """Write *event* if the protocol has a line for it."""
        if isinstance(event, RowFinished):
            # Answered rows have no line: a million of them would drown the rest.
            if not event.ok:
                self._write("row_failed", _row_failed(event))
        elif isinstance(event, BatchChanged):
            # A batch is asked about for hours: what is as it was is no event.
            if self._batch_news(event):
                self._write("batch", batch_json(event))
        elif (known := _LINES.get(type(event))) is not None:
            name, fields_of = known
            self._write(name, fields_of(event))
        else:
            line = self._notices(event)
            if line is not None:
                fields = {"kind": line.kind, "text": line.text}
                self._write("notice", fields | ({"id": line.id} if line.id else {}))

    def tick(self) -> None:
        """Write `progress` if it is due."""
        now = self._now()
        if now >= self._due and self._write_progress():
            self._due = now + self._interval

    def stop(self) -> None:
        """Write no more `progress`."""
        if self._ticker is not None:
            self._ticker.stop()

    def done(self, summary: RunSummary) -> None:
        """Stop, and write the last `progress` and `done`."""
        self.stop()
        self._write_progress()
        self._write("done", summary_json(summary))

    @property
    def lost(self) -> bool:
        """Whether events found no reader."""
        return self._stream.broken

    def _lost(self) -> None:
        if self.on_lost is not None:
            self.on_lost()

    def _write_progress(self) -> bool:
        """False where there is none: before the input is checked."""
        run = self._stats.snapshot(self._now())
        if run.started:
            self._write("progress", _progress(run, self._limits))
        return run.started

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        head = {"v": VERSION, "event": event, "t": round(self._now() - self._began, 3)}
        with self._one_at_a_time:
            self._stream.write(json_line(head | fields))
            self._stream.flush()


def _progress(run: RunSnapshot, limits: LimitsByPool) -> dict[str, Any]:
    waits = {wait.pool: _wait(wait, run.at) for wait in run.waits}
    return {
        "rows": run.rows,
        "done": run.done,
        "succeeded": run.succeeded,
        "failed": run.failed,
        "cached": run.cached,
        "shared": run.shared,
        "in_flight": run.in_flight,
        "requests": run.requests,
        "retries": run.retries,
        "fallbacks": run.fallbacks,
        "spent_usd": usd_string(run.spent),
        "saved_usd": usd_string(run.saved),
        "unknown_usd": usd_string(run.unknown),
        "unknown_attempts": run.unknown_attempts,
        "eta_s": None if run.eta_s is None else round(run.eta_s, 1),
        "batches": progress_json(run.batches),
        "draining": run.draining,
        "waiting": next(({"pool": pool, **wait} for pool, wait in waits.items()), None),
        "pools": {
            name: _pool(pool, limits.get(name), waits.get(name)) for name, pool in run.pools.items()
        },
    }


def _pool(
    pool: PoolSnapshot, configured: MinuteLimits | None, wait: dict[str, Any] | None
) -> dict[str, Any]:
    limits = pool.limits_in_force(configured)
    return {
        "breaker": pool.breaker,
        "in_flight": pool.in_flight,
        "concurrency": pool.concurrency,
        "waiting": wait,
        "rpm": round(pool.requests_per_minute, 1),
        "itpm": round(pool.input_tokens_per_minute),
        "otpm": round(pool.output_tokens_per_minute),
        "rpm_limit": limits.requests,
        "itpm_limit": limits.input_tokens,
        "otpm_limit": limits.output_tokens,
    }


def _wait(wait: PoolWait, now: float) -> dict[str, Any]:
    return {
        "reason": wait.reason,
        # JSON has no infinity.
        "seconds": None if isinf(wait.until) else round(wait.until - now, 1),
    }


def _start(event: RunStarted) -> dict[str, Any]:
    return {
        "run_id": event.run_id,
        "rows": event.rows,
        "finished_before": event.finished_before,
        "spent_usd": usd_string(event.spent_before),
        "cap_usd": None if event.cap is None else usd_string(event.cap),
        "output": event.output,
        "simulated": event.simulated,
    }


def _drift(event: CostDrift) -> dict[str, Any]:
    return {
        "rows": event.rows,
        "mean_usd": usd_string(event.mean),
        "low_usd": usd_string(event.low),
        "high_usd": usd_string(event.high),
        "total_usd": usd_string(event.total),
        "expected_total_usd": usd_string(event.expected_total),
    }


def _row_failed(event: RowFinished) -> dict[str, Any]:
    return {
        "id": event.id,
        "model": event.model,
        "error": event.error,
        "message": event.message,
        "latency_ms": event.latency_ms,
    }


_LINES: dict[type[Any], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    RunStarted: ("start", _start),
    LineLeftOut: ("line_left_out", asdict),
    LimitsSeen: ("limits", asdict),
    ConcurrencyChanged: ("concurrency", asdict),
    CostDrift: ("drift", _drift),
    CapAlert: ("alert", alert_json),
    SpendSpike: ("alert", alert_json),
    PlanMade: ("plan", plan_event_json),
}
"""Events whose lines need nothing but themselves."""
