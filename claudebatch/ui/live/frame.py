"""What the live display and the plain status line say, as text: pure, so that it can be
tested letter by letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, isinf
from typing import TypeAlias

from claudebatch.core.stats.pool_waits import PoolWait
from claudebatch.ui import format as fmt
from claudebatch.ui.live.tally import PoolLimits, PoolTally, Tally

LimitsByPool: TypeAlias = Mapping[str, PoolLimits | None]

_POOLS_SHOWN = 4
_POOL_NAME = 24
_LONGEST_BAR = 40
UNTIL_MONEY = "until requests in flight, here or in other runs, are answered"
"""How long who waits for money waits: the only answer there is."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line, and how it looks."""

    text: str
    style: str = ""


Row: TypeAlias = list[Span]


def live_frame(tally: Tally, limits: LimitsByPool, *, now: float, width: int) -> list[Row]:
    """The lines of the live display."""
    rows = [_bar_row(tally, now, width), _counts_row(tally), _money_row(tally, now)]
    rows += _pool_rows(tally, limits, now)
    return rows + [[Span(text, "yellow")] for text in _standing(tally, now)]


def plain_line(tally: Tally, limits: LimitsByPool, *, now: float) -> str:
    """One line that says the same without a terminal."""
    parts = [
        f"{fmt.count(tally.done)}/{fmt.count(tally.rows)} rows "
        f"({fmt.percent(tally.done, tally.rows)})"
    ]
    parts += [*_counts(tally), _money(tally)]
    parts += [
        _pace(name, pool, limits.get(name), now) for name, pool in sorted(tally.pools.items())
    ]
    parts.append(f"{fmt.seconds(int(tally.elapsed_s(now)))} elapsed")
    parts += [f"ETA {fmt.seconds(ceil(eta))}" for eta in (tally.eta_s(now),) if eta is not None]
    mark = "SIMULATED: " if tally.simulated else ""
    return mark + ", ".join([*parts, *_standing(tally, now)])


def _bar_row(tally: Tally, now: float, width: int) -> Row:
    eta = tally.eta_s(now)
    numbers = f"{fmt.count(tally.done)}/{fmt.count(tally.rows)} rows  {fmt.percent(tally.done, tally.rows)}"
    end = f"  ETA {fmt.seconds(ceil(eta))}" if eta is not None else ""
    mark = [Span("SIMULATED", "bold yellow"), Span(" ")] if tally.simulated else []
    taken = len(numbers) + len(end) + sum(len(span.text) for span in mark)
    bar = _bar(tally.done, tally.rows, min(width - taken - 2, _LONGEST_BAR))
    return [*mark, *bar, Span(numbers, "bold"), Span(end)]


def _bar(done: int, total: int, width: int) -> Row:
    if width < 8 or total <= 0:
        return []
    filled = min(done * width // total, width)
    return [Span("━" * filled, "green"), Span("─" * (width - filled), "dim"), Span(" ")]


def _counts_row(tally: Tally) -> Row:
    row: Row = []
    for part in (*_counts(tally), f"{fmt.count(tally.in_flight)} in flight"):
        row += [Span(" · ", "dim")] if row else []
        row.append(Span(part, "red" if part.endswith(" failed") and tally.failed else ""))
    return row


def _counts(tally: Tally) -> list[str]:
    before = tally.run.finished_before if tally.run else 0
    counts = [
        (before, "from earlier"),
        (tally.cached, "cached"),
        (tally.shared, "shared"),
        (tally.retries, "retried"),
        (tally.fallbacks, "by fallback"),
    ]
    always = [f"{fmt.count(tally.succeeded)} ok", f"{fmt.count(tally.failed)} failed"]
    return always + [f"{fmt.count(number)} {word}" for number, word in counts if number]


def _money_row(tally: Tally, now: float) -> Row:
    row = [Span(_money(tally), _money_style(tally))]
    if tally.cap:
        row.append(Span(f" ({fmt.percent(tally.spent, tally.cap)})"))
    if tally.saved:
        row += [Span(" · ", "dim"), Span(f"{fmt.money(tally.saved)} saved", "green")]
    return [*row, Span(" · ", "dim"), Span(f"{fmt.seconds(int(tally.elapsed_s(now)))} elapsed")]


def _money(tally: Tally) -> str:
    spent = fmt.money(tally.spent)
    return f"{spent} spent" if tally.cap is None else f"{spent} of {fmt.money_exact(tally.cap)}"


def _money_style(tally: Tally) -> str:
    nearly = tally.cap is not None and tally.spent * 10 >= tally.cap * 9
    return "bold yellow" if nearly else "bold"


def _pool_rows(tally: Tally, limits: LimitsByPool, now: float) -> list[Row]:
    pools = sorted(tally.pools.items())
    shown = pools[:_POOLS_SHOWN]
    name_width = max((len(fmt.clip(name, _POOL_NAME)) for name, _ in shown), default=0)
    rows = [_pool_row(name, pool, limits.get(name), now, name_width) for name, pool in shown]
    hidden = len(pools) - len(shown)
    return [*rows, [Span(f"and {fmt.counted(hidden, 'more pool')}", "dim")]] if hidden else rows


def _pool_row(name: str, pool: PoolTally, limits: PoolLimits | None, now: float, width: int) -> Row:
    row = [Span(fmt.clip(name, _POOL_NAME).ljust(width), "cyan")]
    if pool.breaker != "closed":  # before the rates: a narrow terminal cuts the end of the line
        row += [Span("  "), Span(_BREAKER[pool.breaker], "bold red")]
    return [*row, Span(f"  {_rates(pool, limits, now)}")]


_BREAKER = {"open": "paused: does not answer", "half-open": "probing"}


def _pace(name: str, pool: PoolTally, limits: PoolLimits | None, now: float) -> str:
    breaker = f" ({_BREAKER[pool.breaker]})" if pool.breaker != "closed" else ""
    return f"{fmt.clip(name, _POOL_NAME)}{breaker} {_rates(pool, limits, now)}"


def _rates(pool: PoolTally, limits: PoolLimits | None, now: float) -> str:
    requests, inputs, outputs = pool.in_force(limits)
    return (
        f"{_of(pool.requests.per_minute(now), requests)} req/min"
        f" · {_of(pool.input_tokens.per_minute(now), inputs)} in"
        f" · {_of(pool.output_tokens.per_minute(now), outputs)} out tok/min"
    )


def _of(rate: float, limit: float | None) -> str:
    return (
        fmt.per_minute(rate) if limit is None else f"{fmt.per_minute(rate)}/{fmt.per_minute(limit)}"
    )


def _standing(tally: Tally, now: float) -> list[str]:
    """Why less happens than could, and until when."""
    if tally.draining is not None:
        return [f"stopping: {tally.draining}; {fmt.counted(tally.in_flight, 'request')} in flight"]
    return [_waits(wait, now) for wait in tally.waits(now)[:_POOLS_SHOWN]]


def _waits(wait: PoolWait, now: float) -> str:
    pool, reason = fmt.clip(wait.pool, _POOL_NAME), _REASONS.get(wait.reason, wait.reason)
    if isinf(wait.until):
        return f"{pool} waits: {reason}"
    left = fmt.seconds(ceil(wait.until - now))
    if wait.reason == "circuit open":
        return f"{pool} does not answer: next try in {left}"
    return f"{pool} waits: {reason}, resumes in {left}"


_REASONS = {
    "rate limited": "rate limited (429)",
    "money": f"money, {UNTIL_MONEY}",
}
