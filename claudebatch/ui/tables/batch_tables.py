"""Message batches as aligned text, and the same as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from claudebatch.core.reports.batch_report import BatchLine
from claudebatch.ui import format as fmt
from claudebatch.ui.live.batch_text import moment
from claudebatch.ui.tables.spend_tables import short_runs
from claudebatch.ui.tables.table import cell_width, fitted, table
from claudebatch.ui.wrapping import wrapped

# What a narrow terminal can do without, from the first; with its id the rest is found.
_DROPPED = ("file", "run", "expires", "took", "made", "file", "rows")


def render_batches(batches: Sequence[BatchLine], *, width: int = 0) -> list[str]:
    """One line per batch, in at most *width* columns (0: in any)."""
    if not batches:
        return ["There is no batch."]
    more = [text for line in _perhaps_made(batches) for text in wrapped(line, width)]
    found = table(*_cells(batches, [line.run for line in batches]))
    if not width or max(map(cell_width, found)) <= width:
        return [*found, *more]
    # Names of no run stay empty.
    names = [*dict.fromkeys(line.run for line in batches if line.run)]
    short = dict(zip(names, short_runs(names), strict=True))
    columns, header, rows = _cells(batches, [short.get(line.run, "") for line in batches])
    return [*fitted(columns, header, rows, width=width, drop=_DROPPED, shorten="file"), *more]


def _perhaps_made(batches: Sequence[BatchLine]) -> Iterator[str]:
    """What becomes of those whose making was not answered, by run."""
    for run in dict.fromkeys(line.run for line in batches if line.state == "perhaps made"):
        yield (
            f"Nobody knows yet whether a batch of {run} was made: the run's own command, or "
            f"claudebatch batches collect {run}, looks for it; its rows are sent again only if "
            f"it was not."
        )


def _cells(
    batches: Sequence[BatchLine], runs: Sequence[str]
) -> tuple[str, list[str], list[list[str]]]:
    columns: list[tuple[str, str, Callable[[BatchLine], str]]] = [
        ("state", "<", state_of),
        ("rows", ">", lambda line: fmt.count(line.requests)),
        ("made", "<", lambda line: moment(line.created_ms) or "-"),
        ("took", ">", _took),
    ]
    # Of those that are over it says nothing.
    if any(line.state == "open" for line in batches):
        columns.append(("expires", "<", lambda line: moment(line.expires_ms) or "-"))
    columns.append(("file", "<", lambda line: line.output or "-"))
    return (
        "<<" + "".join(side for _, side, _ in columns),
        ["batch", "run", *(name for name, _, _ in columns)],
        [
            [line.id or "?", run or "-", *(cell(line) for _, _, cell in columns)]
            for line, run in zip(batches, runs, strict=True)
        ],
    )


def render_batch(line: BatchLine) -> list[str]:
    """One batch in full."""
    counts = " · ".join(f"{fmt.count(count)} {what}" for what, count in line.counts if count)
    facts = {
        "batch": line.id or "not known yet",
        "run": f"{line.run} (its batch {line.number})" if line.ours else "not ours",
        "state": state_of(line),
        "rows": fmt.count(line.requests) + (f": {counts}" if counts else ""),
        "made": moment(line.created_ms),
        "ended": moment(line.ended_ms),
        "expires": moment(line.expires_ms) if line.state == "open" else None,
        "results": line.output,
    }
    return [f"{name:<9}{value}" for name, value in facts.items() if value]


def state_of(line: BatchLine) -> str:
    """What is known of *line* in words: what became of its answers, and what the API
    says.
    """
    status = line.status.replace("_", " ")
    if line.state == "collected":
        return "collected"
    if line.state == "lost":
        return "given up"
    if line.state == "perhaps made":
        return line.state
    if not line.ours:
        # Here as well: a narrow terminal has no room for runs.
        return f"{status or 'not known'}, not ours"
    # An end is not the end of the work: its answers are still with the API.
    return f"{status}, not collected" if status == "ended" else status or "with the API"


def batches_json(batches: Sequence[BatchLine]) -> dict[str, Any]:
    """One object per batch."""
    return {"batches": [batch_fields(line) for line in batches]}


def batch_fields(line: BatchLine) -> dict[str, Any]:
    """The fields of *line*."""
    return {
        "id": line.id or None,
        "ours": line.ours,
        "run": line.run or None,
        "batch": line.number or None,
        "output": line.output or None,
        "state": line.state,
        "status": line.status or None,
        "requests": line.requests,
        "counts": dict(line.counts),
        "created_at": moment(line.created_ms),
        "ended_at": moment(line.ended_ms),
        "expires_at": moment(line.expires_ms),
    }


def _took(line: BatchLine) -> str:
    if line.created_ms is None or line.ended_ms is None:
        return "-"
    return fmt.seconds((line.ended_ms - line.created_ms) / 1000)
