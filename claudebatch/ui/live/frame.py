"""The text of the live display and of the plain status line: pure, so that it can be
tested letter by letter.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TypeAlias

from claudebatch.core.domain import PICO_PER_USD, Pico
from claudebatch.core.plurals import counted
from claudebatch.core.stats.snapshot import LimitsByPool, RunSnapshot
from claudebatch.ui import format as fmt
from claudebatch.ui.live.batch_text import batches_at_work
from claudebatch.ui.live.model_lines import model_lines, run_waits
from claudebatch.ui.wrapping import wrapped

_LONGEST_BAR = 40
# Below this a bar shows less than the percentage beside it.
_SHORTEST_BAR = 8
# Until so many rows, or such a share of them, are done, what the rest will take and
# cost is a guess that the next seconds refute.
_STEADY_ROWS, _STEADY_SHARE = 20, 20


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line, and its style."""

    text: str
    style: str = ""


Row: TypeAlias = list[Span]


def live_frame(run: RunSnapshot, limits: LimitsByPool, *, width: int) -> list[Row]:
    """The lines of the live display."""
    rows = [_bar_row(run, width), _counts_row(run, width), _money_row(run, width)]
    batches = batches_at_work(run.batches)
    rows += [[Span(line)] for line in wrapped(batches, width, indent="  ")] if batches else []
    if run.draining is not None:
        stopping = f"stopping: {run.draining}; {counted(run.in_flight, 'request')} in flight"
        return rows + _said(stopping, width)
    for line in model_lines(run, limits, width=width):
        name = [Span(line.name, "cyan"), Span(": ")] if line.name else []
        rows.append([*name, Span(line.text, line.style)])
    return rows + [row for text in run_waits(run) for row in _said(text, width)]


def _said(text: str, width: int) -> list[Row]:
    return [[Span(line, "yellow")] for line in wrapped(text, width, indent="  ")]


def plain_line(run: RunSnapshot, limits: LimitsByPool) -> str:
    """One line that says the same without a terminal."""
    parts = [
        f"{fmt.count(run.done)}/{fmt.count(run.rows)} rows ({fmt.percent(run.done, run.rows)})"
    ]
    parts += [*_counts(run), *_money(run), f"{fmt.seconds(int(run.elapsed_s))} elapsed"]
    parts += [_eta(run)] if _eta(run) else []
    parts += [batches_at_work(run.batches)] if run.batches.batches else []
    if run.draining is not None:
        parts.append(f"stopping: {run.draining}")
    else:
        parts += [f"{line.name}: {line.text}" for line in model_lines(run, limits)]
        parts += run_waits(run)
    mark = "SIMULATED: " if run.simulated else ""
    return mark + ", ".join(parts)


def _steady(run: RunSnapshot) -> bool:
    now = run.succeeded + run.failed
    return now >= _STEADY_ROWS or now * _STEADY_SHARE >= run.rows - run.finished_before


def _eta(run: RunSnapshot) -> str:
    if run.eta_s is None or not _steady(run):
        return ""
    # Rounded up: an ETA of 0 s beside rows that are still missing reads as a fault.
    return f"ETA {fmt.seconds(ceil(run.eta_s))}"


def _bar_row(run: RunSnapshot, width: int) -> Row:
    done, rows = fmt.count(run.done), fmt.count(run.rows)
    numbers = f"{done}/{rows} rows  {fmt.percent(run.done, run.rows)}"
    end = f"  {_eta(run)}" if _eta(run) else ""
    mark = [Span("SIMULATED", "bold yellow"), Span(" ")] if run.simulated else []
    # The numbers are what a narrow terminal needs; the bar takes what they leave.
    taken = len(numbers) + len(end) + sum(len(span.text) for span in mark)
    if mark and taken > width:
        # The mark must stay, and the ETA says more than the share.
        numbers = f"{done}/{rows} rows"
    bar = _bar(run.done, run.rows, min(width - taken - 2, _LONGEST_BAR))
    return [*mark, *bar, Span(numbers, "bold"), Span(end)]


def _bar(done: int, total: int, width: int) -> Row:
    # Not rich's ProgressBar: without colour that one draws nothing for the part that is
    # missing, so that half of a bar and the whole of a shorter one look the same.
    if width < _SHORTEST_BAR or total <= 0:
        return []
    filled = min(done * width // total, width)
    return [Span("━" * filled, "green"), Span("─" * (width - filled), "dim"), Span(" ")]


def _fitting(parts: list[Span], width: int) -> Row:
    """*parts* with dots between them: those that still fit, the first ones first."""
    row: Row = []
    taken = 0
    for part in parts:
        needed = len(part.text) + (3 if row else 0)
        if row and taken + needed > width:
            continue
        row += [Span(" · ", "dim")] if row else []
        row.append(part)
        taken += needed
    return row


def _counts_row(run: RunSnapshot, width: int) -> Row:
    flight = [f"{fmt.count(run.in_flight)} in flight"] if run.in_flight else []
    parts = [*_counts(run), *flight]
    return _fitting(
        [Span(part, "red" if part.endswith(" failed") else "") for part in parts], width
    )


def _counts(run: RunSnapshot) -> list[str]:
    counts = [
        (run.failed, "failed"),
        (run.finished_before, "already done"),
        (run.cached, "cached"),
        (run.shared, "duplicate" if run.shared == 1 else "duplicates"),
        (run.retries, "retried"),
        (run.fallbacks, "by fallback"),
    ]
    ok = f"{fmt.count(run.succeeded)} ok"
    return [ok, *(f"{fmt.count(number)} {word}" for number, word in counts if number)]


def _money_row(run: RunSnapshot, width: int) -> Row:
    spent, *more = _money(run)
    if len(spent) > width:
        spent = spent.replace(" without the cap", " without cap").replace(" up to ", " ")
    parts = [Span(spent, _money_style(run)), *map(Span, more)]
    parts.append(Span(f"{fmt.seconds(int(run.elapsed_s))} elapsed"))
    if run.saved:
        parts.append(Span(f"{fmt.money(run.saved)} saved", "green"))
    return _fitting(parts, width)


def _money(run: RunSnapshot) -> list[str]:
    """What is spent and where that will end; what may be billed besides."""
    spent = fmt.money(run.spent)
    text = f"{spent} spent" if run.cap is None else f"{spent} of {fmt.money_exact(run.cap)}"
    at_end = _at_end(run)
    if at_end is None:
        end = ""
    elif run.cap is not None and at_end + run.unknown > run.cap:
        end = f"about {_rough(at_end)} without the cap"
    else:
        end = f"about {_rough(at_end)} at the end"
    if run.unknown:
        return [f"{text} + up to {_rough(run.unknown)} maybe billed", *([end] if end else [])]
    return [f"{text}, {end}" if end else text]


def _at_end(run: RunSnapshot) -> Pico | None:
    """What the whole run will have cost, if the other rows cost what these did."""
    now, left = run.succeeded + run.failed, run.rows - run.done
    if run.batches.batches and run.answered > run.by_batch:
        # Rows that were sent at once cost twice as much as those that are on their way.
        return None
    if not (now and left and run.spent_now and _steady(run)) or run.draining is not None:
        return None
    return run.spent + run.spent_now * left // now


def _rough(amount: Pico) -> str:
    """A forecast, or a bound, in cents where it has any: more digits would be noise."""
    cents = PICO_PER_USD // 100
    return fmt.money(amount) if amount < 10 * cents else f"${amount / PICO_PER_USD:,.2f}"


def _money_style(run: RunSnapshot) -> str:
    # In whole numbers: a share as a float could round a cap that is passed to one that
    # is not.
    nearly = run.cap is not None and run.used * 10 >= run.cap * 9
    return "bold yellow" if nearly else "bold"
