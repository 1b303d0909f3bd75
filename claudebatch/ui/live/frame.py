"""The text of the live display and of the plain status line: pure, so that it can be
tested letter by letter.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isinf
from typing import TypeAlias

from claudebatch.core.stats.pool_waits import PoolWait
from claudebatch.core.stats.snapshot import LimitsByPool, MinuteLimits, PoolSnapshot, RunSnapshot
from claudebatch.ui import format as fmt

# A display that is higher than its terminal scrolls, and then cannot be redrawn.
_POOLS_SHOWN = 4
# Names come from configurations: one of 200 characters would push the rates off the
# screen.
_POOL_NAME = 24
_LONGEST_BAR = 40
# Below this a bar shows less than the percentage beside it.
_SHORTEST_BAR = 8
# A wait for money has no time: it ends when an answer leaves something over.
UNTIL_MONEY = "until requests in flight, here or in other runs, are answered"

_BREAKER = {"open": "paused: does not answer", "half-open": "probing"}
_REASONS = {
    "rate limited": "rate limited (429)",
    "money": f"money, {UNTIL_MONEY}",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line, and its style."""

    text: str
    style: str = ""


Row: TypeAlias = list[Span]


def live_frame(run: RunSnapshot, limits: LimitsByPool, *, width: int) -> list[Row]:
    """The lines of the live display."""
    rows = [_bar_row(run, width), _counts_row(run), _money_row(run)]
    rows += _pool_rows(run, limits)
    return rows + [[Span(text, "yellow")] for text in _hindrances(run)]


def plain_line(run: RunSnapshot, limits: LimitsByPool) -> str:
    """One line that says the same without a terminal."""
    parts = [
        f"{fmt.count(run.done)}/{fmt.count(run.rows)} rows ({fmt.percent(run.done, run.rows)})"
    ]
    parts += [*_counts(run), _money(run)]
    parts += [_pace(name, pool, limits.get(name)) for name, pool in sorted(run.pools.items())]
    parts.append(f"{fmt.seconds(int(run.elapsed_s))} elapsed")
    if run.eta_s is not None:
        parts.append(_eta(run.eta_s))
    mark = "SIMULATED: " if run.simulated else ""
    return mark + ", ".join([*parts, *_hindrances(run)])


def _eta(seconds: float) -> str:
    # Rounded up: an ETA of 0 s beside rows that are still missing reads as a fault.
    return f"ETA {fmt.seconds(ceil(seconds))}"


def _bar_row(run: RunSnapshot, width: int) -> Row:
    done, rows = fmt.count(run.done), fmt.count(run.rows)
    numbers = f"{done}/{rows} rows  {fmt.percent(run.done, run.rows)}"
    end = f"  {_eta(run.eta_s)}" if run.eta_s is not None else ""
    mark = [Span("SIMULATED", "bold yellow"), Span(" ")] if run.simulated else []
    # The numbers are what a narrow terminal needs; the bar takes what they leave.
    taken = len(numbers) + len(end) + sum(len(span.text) for span in mark)
    bar = _bar(run.done, run.rows, min(width - taken - 2, _LONGEST_BAR))
    return [*mark, *bar, Span(numbers, "bold"), Span(end)]


def _bar(done: int, total: int, width: int) -> Row:
    # Not rich's ProgressBar: without colour that one draws nothing for the part that is
    # missing, so that half of a bar and the whole of a shorter one look the same.
    if width < _SHORTEST_BAR or total <= 0:
        return []
    filled = min(done * width // total, width)
    return [Span("━" * filled, "green"), Span("─" * (width - filled), "dim"), Span(" ")]


def _counts_row(run: RunSnapshot) -> Row:
    row: Row = []
    for part in (*_counts(run), f"{fmt.count(run.in_flight)} in flight"):
        row += [Span(" · ", "dim")] if row else []
        row.append(Span(part, "red" if part.endswith(" failed") and run.failed else ""))
    return row


def _counts(run: RunSnapshot) -> list[str]:
    counts = [
        (run.finished_before, "from earlier"),
        (run.cached, "cached"),
        (run.shared, "shared"),
        (run.retries, "retried"),
        (run.fallbacks, "by fallback"),
    ]
    always = [f"{fmt.count(run.succeeded)} ok", f"{fmt.count(run.failed)} failed"]
    return always + [f"{fmt.count(number)} {word}" for number, word in counts if number]


def _money_row(run: RunSnapshot) -> Row:
    row = [Span(_money(run), _money_style(run))]
    if run.cap:
        row.append(Span(f" ({fmt.percent(run.used, run.cap)})"))
    if run.saved:
        row += [Span(" · ", "dim"), Span(f"{fmt.money(run.saved)} saved", "green")]
    return [*row, Span(" · ", "dim"), Span(f"{fmt.seconds(int(run.elapsed_s))} elapsed")]


def _money(run: RunSnapshot) -> str:
    spent = fmt.money(run.spent)
    text = f"{spent} spent" if run.cap is None else f"{spent} of {fmt.money_exact(run.cap)}"
    return f"{text} + up to {fmt.money(run.unknown)} maybe billed" if run.unknown else text


def _money_style(run: RunSnapshot) -> str:
    # In whole numbers: a share as a float could round a cap that is passed to one that
    # is not.
    nearly = run.cap is not None and run.used * 10 >= run.cap * 9
    return "bold yellow" if nearly else "bold"


def _pool_rows(run: RunSnapshot, limits: LimitsByPool) -> list[Row]:
    pools = sorted(run.pools.items())
    shown = pools[:_POOLS_SHOWN]
    name_width = max((len(fmt.clip(name, _POOL_NAME)) for name, _ in shown), default=0)
    rows = [_pool_row(name, pool, limits.get(name), name_width) for name, pool in shown]
    hidden = len(pools) - len(shown)
    return [*rows, [Span(f"and {fmt.counted(hidden, 'more pool')}", "dim")]] if hidden else rows


def _pool_row(name: str, pool: PoolSnapshot, configured: MinuteLimits | None, width: int) -> Row:
    row = [Span(fmt.clip(name, _POOL_NAME).ljust(width), "cyan")]
    # Before the rates: a narrow terminal cuts the end of the line.
    if pool.breaker != "closed":
        row += [Span("  "), Span(_BREAKER[pool.breaker], "bold red")]
    return [*row, Span(f"  {_rates(pool, configured)}")]


def _pace(name: str, pool: PoolSnapshot, configured: MinuteLimits | None) -> str:
    breaker = f" ({_BREAKER[pool.breaker]})" if pool.breaker != "closed" else ""
    return f"{fmt.clip(name, _POOL_NAME)}{breaker} {_rates(pool, configured)}"


def _rates(pool: PoolSnapshot, configured: MinuteLimits | None) -> str:
    limits = pool.limits_in_force(configured)
    return (
        f"{_beside_limit(pool.requests_per_minute, limits.requests)} req/min"
        f" · {_beside_limit(pool.input_tokens_per_minute, limits.input_tokens)} in"
        f" · {_beside_limit(pool.output_tokens_per_minute, limits.output_tokens)} out tok/min"
    )


def _beside_limit(rate: float, limit: float | None) -> str:
    if limit is None:
        return fmt.per_minute(rate)
    return f"{fmt.per_minute(rate)}/{fmt.per_minute(limit)}"


def _hindrances(run: RunSnapshot) -> list[str]:
    """Why less happens than could, and until when."""
    if run.draining is not None:
        return [f"stopping: {run.draining}; {fmt.counted(run.in_flight, 'request')} in flight"]
    return [_waits(wait, run.at) for wait in run.waits[:_POOLS_SHOWN]]


def _waits(wait: PoolWait, now: float) -> str:
    pool, reason = fmt.clip(wait.pool, _POOL_NAME), _REASONS.get(wait.reason, wait.reason)
    if isinf(wait.until):
        return f"{pool} waits: {reason}"
    left = fmt.seconds(ceil(wait.until - now))
    if wait.reason == "circuit open":
        return f"{pool} does not answer: next try in {left}"
    return f"{pool} waits: {reason}, resumes in {left}"
