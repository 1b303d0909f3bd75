"""Runs as aligned text, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from claudebatch.core.reports import RunDetails, RunLine, SpendLine, UnknownAttempt
from claudebatch.ui import format as fmt
from claudebatch.ui.tables.spend_data import spend_fields
from claudebatch.ui.tables.spend_tables import render_spend
from claudebatch.ui.tables.table import table


def render_runs(runs: Sequence[RunLine]) -> list[str]:
    """One line per run."""
    if not runs:
        return ["No run is in the spend ledger yet."]
    # Most users never see held money: an empty column would only ask for an
    # explanation.
    held = any(run.spend.held for run in runs)
    header = (
        "run",
        "state",
        "rows",
        "spent",
        "unknown",
        *(("held",) if held else ()),
        "tag",
        "output",
    )
    columns = "<<>>>" + (">" if held else "") + "<<"
    return table(columns, header, [_row(run, held=held) for run in runs])


def render_run(details: RunDetails) -> list[str]:
    """One run in full."""
    run = details.run
    facts = {
        "run": run.run,
        "state": run.state + ("" if run.exit_code is None else f" (exit code {run.exit_code})"),
        "tag": run.tag,
        "started": run.started,
        "ended": run.ended or "",
        "rows": _rows(run),
        "results": run.output,
        "folder": run.folder or "purged",
    }
    lines = [f"{name:<9}{value}" for name, value in facts.items() if value]
    if details.models:
        lines += ["", *render_spend(details.models, "model")]
    if details.unknown:
        lines += [
            "",
            "Requests whose cost is unknown; the Console's logs know them by their request id or "
            "their time (UTC):",
        ]
        lines += table("><<<><<", _UNKNOWN, [_unknown(attempt) for attempt in details.unknown])
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
        "spend": spend_fields(run.spend),
    }


def money_of(line: SpendLine) -> str:
    """The spend of a run, and its unsettled part."""
    parts = [f"{fmt.money(line.spent)} spent"]
    if line.unknown:
        parts.append(
            f"{fmt.money(line.unknown)} unknown ({fmt.counted(line.unknown_attempts, 'request')})"
        )
    if line.held:
        parts.append(f"{fmt.money(line.held)} held")
    return ", ".join(parts)


_UNKNOWN = ("attempt", "row", "sent", "model", "up to", "what happened", "request id")


def _unknown(attempt: UnknownAttempt) -> tuple[str, ...]:
    answered = attempt.status == 200 and attempt.error is None
    error = "without a readable usage" if answered else attempt.error
    what = " ".join(str(part) for part in (attempt.status, error) if part) or "no word"
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


def _row(run: RunLine, *, held: bool) -> tuple[str, ...]:
    spend = run.spend
    unknown = fmt.money(spend.unknown) if spend.unknown else "-"
    extra = (fmt.money(spend.held) if spend.held else "-",) if held else ()
    return (
        run.run,
        run.state,
        _rows(run),
        fmt.money(spend.spent),
        unknown,
        *extra,
        run.tag or "-",
        run.output,
    )


def _rows(run: RunLine) -> str:
    # Runs of versions that did not note their rows: 0 would be untrue.
    if run.rows is None:
        return "-"
    done = (run.succeeded or 0) + (run.failed or 0)
    text = (
        fmt.count(run.rows) if done == run.rows else f"{fmt.count(done)} of {fmt.count(run.rows)}"
    )
    return text + (f", {fmt.count(run.failed)} failed" if run.failed else "")
