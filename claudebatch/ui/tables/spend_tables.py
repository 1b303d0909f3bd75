"""Spend for people: aligned text with bars where they fit, or a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from claudebatch.core.domain import BILLED_KINDS, kind_counts
from claudebatch.core.reports import SpendLine, spend_sum
from claudebatch.ui import format as fmt
from claudebatch.ui.live.bars import bar, sparkline
from claudebatch.ui.sanitise import visible
from claudebatch.ui.tables.table import cell_width, table

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
    """One row per run, model, day, tag or route (*title* names them), the total, and
    remarks on it.

    *since* is the first day of the report. A *width* above 0 is that of a terminal:
    bars are drawn where they fit. *plain*: of ASCII letters.
    """
    if not lines:
        return [_nothing(since)]
    total = spend_sum(lines)
    found = table(*_cells(lines, total, title))
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
    return f"Nothing was spent since {since}." if since else "Nothing is in the spend ledger yet."


def _cells(
    lines: Sequence[SpendLine], total: SpendLine, title: str
) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    # No column without a value: most users never have held or saved money.
    held, saved = total.held > 0, total.saved_cache + total.saved_routing > 0
    extra = (*(("held",) if held else ()), *(("saved",) if saved else ()))
    header = (
        title,
        "requests",
        "answers",
        *_HEADINGS,
        "spent",
        "unknown",
        *extra,
    )
    body = [_row(line, held=held, saved=saved) for line in lines]
    if len(lines) > 1:
        body.append(_row(total, held=held, saved=saved))
    return "<" + ">" * (len(header) - 1) + "<", (*header, ""), body


def _row(line: SpendLine, *, held: bool, saved: bool) -> tuple[str, ...]:
    sizes = dict.fromkeys(_HEADINGS, 0)
    for kind, count in zip(BILLED_KINDS, kind_counts(line.usage), strict=True):
        if kind.heading:
            sizes[kind.heading] += count
    counts = (
        fmt.count(line.attempts),
        fmt.count(line.answers),
        *(fmt.tokens(size) for size in sizes.values()),
    )
    # Without the plus a sum that lacks answers would look complete.
    spent = fmt.money(line.spent) + ("+" if line.unpriced else "")
    extra = (
        *((_money(line.held),) if held else ()),
        *((_money(line.saved_cache + line.saved_routing),) if saved else ()),
    )
    return (line.label or "-", *counts, spent, _money(line.unknown), *extra, line.note)


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
        rows = fmt.counted(total.cached + total.shared, "row")
        remarks.append(
            f"Saved by the response cache: {fmt.money(total.saved_cache)} ({rows} without a "
            f"request)."
        )
    if total.saved_routing:
        remarks.append(
            f"Saved by routing: {fmt.money(total.saved_routing)} less than at each run's dearest "
            f"model."
        )
    if total.unknown:
        attempts = (
            fmt.counted(total.unknown_attempts, "request") if total.unknown_attempts else "requests"
        )
        remarks.append(
            f"Unknown: {attempts} without an outcome may have cost up to "
            f"{fmt.money(total.unknown)}; counted against"
            " every cap. `claudebatch runs settle --as billed|free` once you know."
        )
    if total.held:
        remarks.append(
            f"Held: {fmt.money(total.held)} is set aside by runs that go on, or that died: "
            f"`claudebatch runs settle`."
        )
    if total.unpriced:
        answers = fmt.counted(total.unpriced, "answer")
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
    return [f"Of {fmt.counted(total.answers, 'answer')}: {' · '.join(ended)}."]


def _markdown_row(cells: Sequence[str]) -> str:
    return (
        "| "
        + " | ".join(visible(cell).replace("\\", "\\\\").replace("|", "\\|") for cell in cells)
        + " |"
    )
