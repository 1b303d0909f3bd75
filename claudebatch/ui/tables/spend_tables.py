"""Spend for people: aligned text with bars where they fit, or a Markdown table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial

from claudebatch.core.domain import BILLED_KINDS, PromptSavings, kind_counts
from claudebatch.core.plurals import counted
from claudebatch.core.reports import SpendLine, spend_sum
from claudebatch.ui import format as fmt
from claudebatch.ui.live.bars import bar, sparkline
from claudebatch.ui.sanitise import visible
from claudebatch.ui.tables.table import cell_width, fitted, table

_HEADINGS = tuple(dict.fromkeys(kind.heading for kind in BILLED_KINDS if kind.heading))
_BAR_CELLS = 12
# A sparkline of a year would be wider than any terminal.
_MOST_DAYS = 60


def render_spend(
    lines: Sequence[SpendLine],
    title: str,
    *,
    since: date | None = None,
    width: int = 0,
    plain: bool = False,
) -> list[str]:
    """One row per run, model, day, tag or rule (*title* names them), the total, and
    remarks on it.

    *since* is the first day of the report. A *width* above 0 is that of a terminal:
    columns that it has no room for are left out, and bars are drawn where they fit.
    *plain*: of ASCII letters.
    """
    if not lines:
        return [_nothing(since)]
    total = spend_sum(lines)
    found = table(*_cells(lines, total, title))
    if width and max(map(cell_width, found)) > width:
        columns, header, rows = _cells(lines, total, title, short=True)
        found = fitted(columns, header, rows, width=width, drop=_DROPPED, shorten="file")
    if width and len(lines) > 1:
        found = _with_bars(found, [line.spent for line in lines], width, plain=plain)
    if width and title == "day":
        found += _days(lines, plain=plain)
    return found + _remarks(total)


def spend_markdown(
    lines: Sequence[SpendLine], title: str, *, since: date | None = None
) -> list[str]:
    """The same as a Markdown table and a list."""
    if not lines:
        return [_nothing(since)]
    total = spend_sum(lines)
    columns, header, body = _cells(lines, total, title)
    rule = ["---" if side == "<" else "---:" for side in columns]
    rows = [_markdown_row(row) for row in (header, rule, *body)]
    return [*rows, "", *(f"- {remark}" for remark in _remarks(total))]


def _nothing(since: date | None) -> str:
    return f"Nothing was spent since {since}." if since else "Nothing was spent yet."


# What a narrow terminal can do without, from the first; the rest is what was asked for.
_DROPPED = (
    *_HEADINGS,
    "requests",
    "file",
    "answers",
    "reserved",
    "model",
    "saved",
    "maybe billed",
    "file",
)


def _cells(
    lines: Sequence[SpendLine], total: SpendLine, title: str, *, short: bool = False
) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """Sides, header and rows; *short*: with the shortest names that say the same."""
    columns = _columns(total, title)
    labels = [line.label or "-" for line in lines]
    if short and title == "run":
        labels = short_runs(labels)
    body = [
        (label, *(cell(line) for _, _, cell in columns))
        for label, line in zip(labels, lines, strict=True)
    ]
    if short:
        body = [tuple(cell.removeprefix("claude-") for cell in row) for row in body]
    if len(lines) > 1:
        # A total has no model and no file.
        sums = ("" if side == "<" else cell(total) for _, side, cell in columns)
        body.append((total.label, *sums))
    header = (title, *(name for name, _, _ in columns))
    return "<" + "".join(side for _, side, _ in columns), header, body


def _columns(total: SpendLine, title: str) -> list[tuple[str, str, Callable[[SpendLine], str]]]:
    """Heading, side and cells of all columns but the first; none without a value: most
    users never have money reserved or saved.
    """
    columns: list[tuple[str, str, Callable[[SpendLine], str]]] = []
    if title == "run":
        columns.append(("model", "<", _models))
    if title in ("rule", "route"):
        columns.append(("model", "<", lambda line: line.note))
    columns += [
        ("requests", ">", lambda line: fmt.count(line.attempts)),
        ("answers", ">", lambda line: fmt.count(line.answers)),
    ]
    columns += [(name, ">", partial(_size, name)) for name in _HEADINGS if _tokens(total, name)]
    columns.append(("spent", ">", _spent))
    if total.unknown:
        columns.append(("maybe billed", ">", lambda line: _money(line.unknown)))
    if total.held:
        columns.append(("reserved", ">", lambda line: _money(line.held)))
    if total.saved_cache + total.saved_routing:
        columns.append(("saved", ">", lambda line: _money(line.saved_cache + line.saved_routing)))
    if title == "run":
        columns.append(("file", "<", lambda line: line.output))
    return columns


def short_runs(runs: Sequence[str]) -> list[str]:
    """The beginnings of the names of *runs* that tell them apart: their moments."""
    short = [run.partition("-")[0] for run in runs]
    return short if len(set(short)) == len(set(runs)) else list(runs)


def _models(line: SpendLine) -> str:
    if not line.models:
        return "-"
    others = len(line.models) - 1
    return line.models[0] + (f" +{others}" if others else "")


def _tokens(line: SpendLine, heading: str) -> int:
    counts = zip(BILLED_KINDS, kind_counts(line.usage), strict=True)
    return sum(count for kind, count in counts if kind.heading == heading)


def _size(heading: str, line: SpendLine) -> str:
    return fmt.tokens(_tokens(line, heading))


def _spent(line: SpendLine) -> str:
    # Without the plus a sum that lacks answers would look complete.
    return fmt.money(line.spent) + ("+" if line.unpriced else "")


def _money(amount: int) -> str:
    return fmt.money(amount) if amount else "-"


def _with_bars(rows: list[str], spent: Sequence[int], width: int, *, plain: bool) -> list[str]:
    """*rows* (a header, a line for each of *spent*, a total) with a bar at their end,
    if there is room for it.
    """
    widest = max(cell_width(row) for row in rows)
    # A wrapped line is worse than no bar.
    if widest + 2 + _BAR_CELLS > width:
        return rows
    bars = ["", *(bar(amount, max(spent), _BAR_CELLS, plain=plain) for amount in spent), ""]
    padded = (
        row + " " * (widest + 2 - cell_width(row)) + drawn
        for row, drawn in zip(rows, bars, strict=True)
    )
    return [row.rstrip() for row in padded]


def _days(lines: Sequence[SpendLine], *, plain: bool) -> list[str]:
    spent = {line.label: line.spent for line in lines}
    last = date.fromisoformat(max(spent))
    first = max(date.fromisoformat(min(spent)), last - timedelta(days=_MOST_DAYS - 1))
    days = [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
    if len(days) < 3:
        return []
    return [f"{first}  {sparkline([spent.get(day, 0) for day in days], plain=plain)}  {last}"]


def _remarks(total: SpendLine) -> list[str]:
    remarks = _endings(total)
    if total.saved_cache:
        rows = counted(total.cached + total.shared, "row")
        remarks.append(
            f"The response cache saved {fmt.money(total.saved_cache)} ({rows} without a request)."
        )
    if total.saved_prompt or total.prompt_writes:
        savings = PromptSavings(total.saved_prompt, total.prompt_writes)
        remarks.append(f"The API's prompt cache {fmt.savings(savings)}.")
    if total.saved_routing:
        remarks.append(
            f"Routing saved {fmt.money(total.saved_routing)} (compared with all rows on the most "
            f"expensive model)."
        )
    if total.unknown:
        attempts = (
            counted(total.unknown_attempts, "request") if total.unknown_attempts else "requests"
        )
        remarks.append(
            f"Maybe billed: up to {fmt.money(total.unknown)} for {attempts} whose cost is not "
            f"known; it counts against every cap. Once you know: "
            f"`claudebatch runs settle --as billed|free`"
        )
    # Apart: settling is for what was killed, and must not be tried on these.
    if total.in_batches:
        remarks.append(
            f"Reserved: {fmt.money(total.in_batches)} for batches that are with the API; the same "
            f"command again collects them: `claudebatch batches list`"
        )
    if total.held > total.in_batches:
        remarks.append(
            f"Reserved: {fmt.money(total.held - total.in_batches)} by runs that are still going, "
            f"or that were killed: `claudebatch runs settle`"
        )
    if total.unpriced:
        answers = counted(total.unpriced, "answer")
        remarks.append(
            f"{answers} came from models without a known price: what they cost is not in these "
            f"sums."
        )
    return remarks


def _endings(total: SpendLine) -> list[str]:
    """How the answers ended, where that is worth a line: some are of no use as they
    stand.
    """
    counts = ((total.cut_off, "cut off"), (total.refused, "refused"), (total.empty, "empty"))
    ended = [f"{fmt.count(number)} {how}" for number, how in counts if number]
    if not ended:
        return []
    ended = [f"{fmt.count(total.complete)} complete", *ended]
    if total.unclassified:
        ended.append(f"{fmt.count(total.unclassified)} of before endings were noted")
    return [f"Of {counted(total.answers, 'answer')}: {' · '.join(ended)}."]


def _markdown_row(cells: Sequence[str]) -> str:
    return (
        "| "
        + " | ".join(visible(cell).replace("\\", "\\\\").replace("|", "\\|") for cell in cells)
        + " |"
    )
