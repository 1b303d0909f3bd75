"""Models, their prices and limits as aligned text, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from itertools import chain
from typing import Any

from claudebatch.core.domain import Pico
from claudebatch.core.plurals import counted
from claudebatch.core.reports.models_report import (
    ModelLine,
    ModelPrices,
    ModelsReport,
    TierLimitsLine,
    TokenPrices,
)
from claudebatch.ui import format as fmt
from claudebatch.ui.tables.table import fitted
from claudebatch.ui.wrapping import wrapped

_HEADER = (
    "model",
    "input",
    "output",
    "cache read",
    "window",
    "answer",
    "status",
    "pool",
    "limits per minute",
    "also",
)
_COLUMNS = "<>>>>><<<<"
# What a narrow terminal can do without, from the first.
_DROPPED = ("also", "pool", "limits per minute", "cache read", "answer", "window", "status")
_WRITE = "cache_write_"
# Prices changed six times in five months of 2026: older ones are probably wrong.
_STALE_DAYS = 60


def render_models(report: ModelsReport, *, width: int = 0) -> list[str]:
    """One line per model, in at most *width* columns (0: in any); a single one in
    full.
    """
    # All facts of every model would be five screens.
    if len(report.models) == 1:
        return [*_details(report.models[0], width), "", *_age(report)]
    rows = [_row(line) for line in report.models]
    found = fitted(_COLUMNS, _HEADER, rows, width=width, drop=_DROPPED)
    more = "All about one of them: `claudebatch models NAME`"
    if "limits per minute" in found[0]:
        limits = "; limits: requests / input / output tokens, as a run starts"
        limits += f" (limits.tier: {report.tier})"
    else:
        limits, more = "", f"{more}; all columns: -v"
    return [*found, "", f"Dollars per million tokens{limits}.", *_age(report), more]


def models_json(report: ModelsReport) -> dict[str, Any]:
    """The fields of *report*; dollars as exact decimal strings, per million tokens but
    for a search.
    """
    return {
        "price_source": report.price_source,
        "price_version": report.price_version,
        "prices_checked_on": report.checked,
        "prices_checked_with": f"genai-prices {report.checked_with}",
        "tier": report.tier,
        "models": [_line_json(line) for line in report.models],
    }


def _age(report: ModelsReport) -> Iterator[str]:
    text = f"Prices from {report.price_source}, checked on {report.checked}"
    # Prices of another version than the one that was checked may be right.
    if not report.price_source.endswith(f" {report.checked_with}"):
        text += f" with version {report.checked_with}: newer prices are not checked yet"
    days = (report.on - date.fromisoformat(report.checked)).days
    if days > _STALE_DAYS:
        text += f", {counted(days, 'day')} ago: look for a newer release"
    own = [
        line
        for line in report.models
        if line.prices is not None and line.prices.source == "configuration"
    ]
    if own:
        text += f"; {counted(len(own), 'model')} priced by the configuration"
    yield text + "."


def _row(line: ModelLine) -> tuple[str, ...]:
    prices = line.prices.standard if line.prices is not None else None
    return (
        line.id,
        *(
            tuple(_usd(prices[kind]) for kind in ("input", "output", "cache_read"))
            if prices is not None
            else ("unknown", "unknown", "unknown")
        ),
        _window(line.context_window),
        _window(line.max_output),
        _status(line),
        line.pool,
        _limits(line.limits),
        "; ".join(_remarks(line)),
    )


def _status(line: ModelLine) -> str:
    if line.retires_at is not None:
        gone = line.days_left is None or line.days_left <= 0
        sure = "" if line.retires_for_sure else "?"
        return f"{'retired' if gone else 'ends'}{sure} {line.retires_at}"
    return "default" if line.is_default else ""


def _remarks(line: ModelLine) -> Iterator[str]:
    if line.prices is not None:
        if line.prices.source == "configuration":
            yield "price set by the configuration"
        if line.prices.above is not None:
            yield f"prompts above {line.prices.threshold:,}: {_pair(line.prices.above)}"
        if line.prices.fast is not None:
            yield f"fast: {_pair(line.prices.fast)}"
    if line.changed:
        yield f"{', '.join(line.changed)} set by the configuration"


def _details(line: ModelLine, width: int) -> list[str]:
    facts = [*_price_lines(line.prices), *_limit_lines(line), *_fact_lines(line)]
    names = max(len(name) for name, _ in facts)
    title = line.id + (f" ({', '.join(line.aliases)})" if line.aliases else "")
    shown = (
        wrapped(text, width, first=f"  {name:<{names}}  ", indent=" " * (names + 4))
        for name, text in facts
    )
    return [title, *chain.from_iterable(shown)]


def _price_lines(prices: ModelPrices | None) -> Iterator[tuple[str, str]]:
    if prices is None:
        yield (
            "price",
            "unknown: under a cap it is not asked, without one its answers are maybe billed",
        )
        return
    yield "price", _all(prices.standard) + "  (dollars per million tokens)"
    if prices.above is not None:
        yield (
            f"above {prices.threshold:,}",
            f"{_all(prices.above)}  (all of a request with a longer prompt)",
        )
    if prices.fast is not None:
        yield "fast mode", _all(prices.fast)
    yield (
        "also",
        f"{_usd(prices.search)} a web search · batch: half · inference_geo us: a tenth more",
    )
    yield "source", prices.source


def _limit_lines(line: ModelLine) -> Iterator[tuple[str, str]]:
    yield (
        "pool",
        line.pool + (f", shared with {', '.join(line.shares_with)}" if line.shares_with else ""),
    )
    yield (
        "limits",
        f"{_limits(line.limits)}  (requests / input / output tokens a minute, as a run starts)",
    )
    for tier, limits in line.tiers.items():
        yield f"  {tier}", _limits(limits)


def _fact_lines(line: ModelLine) -> Iterator[tuple[str, str]]:
    if not line.known:
        yield "facts", "none: what follows is a guess and refuses nothing"
    yield (
        "window",
        f"{_window(line.context_window)} tokens, {_window(line.max_output)} of them in an answer",
    )
    yield "caching", f"caches prefixes of {line.min_cacheable_prefix:,}+ tokens"
    yield "thinking", _thinking(line)
    yield "effort", _effort(line)
    no = [name for name, takes in _takes(line) if not takes]
    if no:
        yield "without", ", ".join(no)
    if line.changed:
        yield "set", f"{', '.join(line.changed)} (by the configuration)"
    if line.retires_at is not None:
        yield "retires", _retirement(line)


def _thinking(line: ModelLine) -> str:
    text = f"{', '.join(line.thinking)}; default: {line.thinking_default}"
    cap = line.effort_cap_without_thinking
    return text if cap is None else f"{text}; without it, effort goes up to {cap}"


def _effort(line: ModelLine) -> str:
    return (
        f"{', '.join(line.efforts)}; default: {line.default_effort}"
        if line.efforts
        else "not accepted"
    )


def _takes(line: ModelLine) -> tuple[tuple[str, bool], ...]:
    return (
        ("prefill", line.prefill),
        ("tool_choice any and tool", line.forced_tools),
        ("inference_geo", line.inference_geo),
    )


def _retirement(line: ModelLine) -> str:
    if line.days_left is not None and line.days_left > 0:
        return f"ends {line.retires_at}, in {counted(line.days_left, 'day')}"
    return _retired(line)


def _retired(line: ModelLine) -> str:
    return f"{'' if line.retires_for_sure else 'maybe '}retired {line.retires_at}"


def _all(prices: TokenPrices) -> str:
    by_ttl = {kind.removeprefix(_WRITE): kind for kind in prices if kind.startswith(_WRITE)}
    writes = ", ".join(f"{_usd(prices[kind])} for {ttl}" for ttl, kind in by_ttl.items())
    # A new billed kind must show up here by itself: a price that is not shown is a
    # surprise on the bill.
    named = {"input", "output", "cache_read", *by_ttl.values()}
    others = [
        f" · {kind.replace('_', ' ')} {_usd(prices[kind])}" for kind in prices if kind not in named
    ]
    return (
        f"input {_usd(prices['input'])} · output {_usd(prices['output'])}"
        f" · cache read {_usd(prices['cache_read'])} · cache write {writes}{''.join(others)}"
    )


def _pair(prices: TokenPrices) -> str:
    return f"{_usd(prices['input'])} / {_usd(prices['output'])}"


def _usd(amount: Pico) -> str:
    return fmt.money_exact(amount)


def _window(tokens: int) -> str:
    return fmt.tokens(tokens)


def _limits(limits: TierLimitsLine) -> str:
    amounts = (limits.requests, limits.input_tokens, limits.output_tokens)
    if not any(amounts):
        return "none"
    return " / ".join("-" if amount is None else fmt.per_minute(amount) for amount in amounts)


def _line_json(line: ModelLine) -> dict[str, Any]:
    prices = line.prices
    return {
        **asdict(line),
        "limits": asdict(line.limits),
        "tiers": {tier: asdict(limits) for tier, limits in line.tiers.items()},
        "prices": None
        if prices is None
        else {
            "source": prices.source,
            "standard": _prices_json(prices.standard),
            "threshold": prices.threshold,
            "above": None if prices.above is None else _prices_json(prices.above),
            "fast": None if prices.fast is None else _prices_json(prices.fast),
            "search": fmt.usd_string(prices.search),
        },
    }


def _prices_json(prices: TokenPrices) -> dict[str, str]:
    return {kind: fmt.usd_string(amount) for kind, amount in prices.items()}
