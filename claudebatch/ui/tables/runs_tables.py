"""Runs as aligned text, and the same as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from claudebatch.core.plurals import counted
from claudebatch.core.reports import RunDetails, RunLine, SpendLine, UnknownAttempt
from claudebatch.ui import format as fmt
from claudebatch.ui.tables.spend_data import spend_fields
from claudebatch.ui.tables.spend_tables import render_spend, short_runs
from claudebatch.ui.tables.table import cell_width, fitted, table

# What a narrow terminal can do without, from the first.
_DROPPED = ("file", "tag", "reserved", "maybe billed", "rows", "state", "file")


def render_runs(runs: Sequence[RunLine], *, width: int = 0) -> list[str]:
    """One line per run, in at most *width* columns (0: in any)."""
    if not runs:
        return ["There is no run yet."]
    found = table(*_cells(runs, [run.run for run in runs]))
    if not width or max(map(cell_width, found)) <= width:
        return found
    columns, header, rows = _cells(runs, short_runs([run.run for run in runs]))
    return fitted(columns, header, rows, width=width, drop=_DROPPED, shorten="file")


def _cells(runs: Sequence[RunLine], names: Sequence[str]) -> tuple[str, list[str], list[list[str]]]:
    columns: list[tuple[str, str, Callable[[RunLine], str]]] = [
        ("state", "<", lambda run: run.state),
        ("rows", ">", _rows),
        ("spent", ">", lambda run: fmt.money(run.spend.spent)),
    ]
    # No column without a value: it would only ask for an explanation.
    if any(run.spend.unknown for run in runs):
        columns.append(("maybe billed", ">", lambda run: _money(run.spend.unknown)))
    if any(run.spend.held for run in runs):
        columns.append(("reserved", ">", lambda run: _money(run.spend.held)))
    if any(run.tag for run in runs):
        columns.append(("tag", "<", lambda run: run.tag or "-"))
    columns.append(("file", "<", lambda run: run.output))
    return (
        "<" + "".join(side for _, side, _ in columns),
        ["run", *(name for name, _, _ in columns)],
        [
            [name, *(cell(run) for _, _, cell in columns)]
            for name, run in zip(names, runs, strict=True)
        ],
    )


def _money(amount: int) -> str:
    return fmt.money(amount) if amount else "-"


def render_run(details: RunDetails, *, width: int = 0) -> list[str]:
    """One run in full, in at most *width* columns (0: in any)."""
    run = details.run
    facts = {
        "run": run.run,
        "state": run.state + ("" if run.exit_code is None else f" (exit code {run.exit_code})"),
        "tag": run.tag,
        "started": run.started,
        "ended": run.ended or "",
        "rows": _rows(run),
        "batches": _batches(run),
        "results": run.output,
        "folder": run.folder or "purged",
    }
    lines = [f"{name:<9}{value}" for name, value in facts.items() if value]
    if details.models:
        lines += ["", *render_spend(details.models, "model", width=width)]
    if details.unknown:
        lines += [
            "",
            "Maybe billed; the Console's logs know these requests by their id or their time (UTC):",
        ]
        rows = [_unknown(attempt) for attempt in details.unknown]
        dropped = ("attempt", "model", "what happened", "up to", "row")
        lines += fitted("<<<><<<", _UNKNOWN, rows, width=width, drop=dropped)
    return lines


def runs_json(runs: Sequence[RunLine]) -> dict[str, Any]:
    """One object per run; dollars as exact decimal strings."""
    return {"runs": [run_fields(run) for run in runs]}


def run_json(details: RunDetails) -> dict[str, Any]:
    """The fields of the run, and its models and unknown requests."""
    models = [spend_fields(line) for line in details.models]
    unknown = [
        {
            "attempt": attempt.attempt,
            "id": attempt.id,
            "sent_at": _moment(attempt.sent_ms),
            "model": attempt.model,
            "worst_usd": fmt.usd_string(attempt.worst),
            "error": attempt.error,
            "status": attempt.status,
            "request_id": attempt.request_id,
        }
        for attempt in details.unknown
    ]
    return {**run_fields(details.run), "models": models, "unknown": unknown}


def run_fields(run: RunLine) -> dict[str, Any]:
    """The fields of *run*."""
    return {
        "run": run.run,
        "state": run.state,
        "tag": run.tag,
        "output": run.output,
        "folder": run.folder or None,
        "started": run.started,
        "ended": run.ended,
        "rows": run.rows,
        "succeeded": run.succeeded,
        "failed": run.failed,
        "exit_code": run.exit_code,
        "open_batches": run.open_batches,
        "spend": spend_fields(run.spend),
    }


def _batches(run: RunLine) -> str:
    if not run.open_batches:
        return ""
    return (
        f"{counted(run.open_batches, 'is', 'are')} with the API, up to {fmt.money(run.spend.held)} "
        f"reserved; the same command again collects"
    )


def money_of(line: SpendLine) -> str:
    """The spend of a run, and its unsettled part."""
    parts = [f"{fmt.money(line.spent)} spent"]
    if line.unknown:
        parts.append(
            f"{fmt.money(line.unknown)} maybe billed ({counted(line.unknown_attempts, 'request')})"
        )
    if line.held:
        parts.append(f"{fmt.money(line.held)} reserved")
    return ", ".join(parts)


_UNKNOWN = ("attempt", "row", "sent", "model", "up to", "what happened", "request id")


def _unknown(attempt: UnknownAttempt) -> tuple[str, ...]:
    answered = attempt.status == 200 and attempt.error is None
    error = "without token counts" if answered else attempt.error
    what = " ".join(str(part) for part in (attempt.status, error) if part) or "no answer"
    moment, worst = _moment(attempt.sent_ms), fmt.money(attempt.worst)
    return (
        str(attempt.attempt),
        attempt.id,
        moment,
        attempt.model,
        worst,
        what,
        attempt.request_id or "-",
    )


def _moment(ms: int) -> str:
    # UTC, as the Console's logs and the ledger have it: these lines are looked up
    # there.
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rows(run: RunLine) -> str:
    # Runs of versions that did not note their rows: 0 would be untrue.
    if run.rows is None:
        return "-"
    done = (run.succeeded or 0) + (run.failed or 0)
    text = (
        fmt.count(run.rows) if done == run.rows else f"{fmt.count(done)} of {fmt.count(run.rows)}"
    )
    return text + (f", {fmt.count(run.failed)} failed" if run.failed else "")
