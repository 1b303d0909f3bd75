"""Estimates, spend and the response cache as aligned text, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from claudebatch.reports import CacheStats, Estimate, EstimateLine, SpendLine
from claudebatch.ui import format as fmt
from claudebatch.ui.table import table


def render_estimate(estimate: Estimate) -> list[str]:
    """What `--dry-run` prints: the rows, a table of routes, and how the worst case stands to the cap."""
    header = ("model", "rule", "rows", "cached", "input", "output", "low", "expected", "worst")
    body = [_estimate_row(line) for line in estimate.lines]
    if len(body) > 1:
        body.append(_estimate_total(estimate))
    lines = [_estimate_rows(estimate)]
    lines += table("<<>>>>>>>", header, body) if body else []
    if body:
        lines.append(_time(estimate))
    lines.append(_against_cap(estimate))
    return [*lines, f"Nothing was sent. Results would go to {estimate.output}"]


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """The fields of *estimate*; dollars as exact decimal strings, None where a price is not known."""
    known = _prices_known(estimate)
    return {
        "rows": estimate.rows,
        "finished": estimate.finished,
        "duplicates": estimate.duplicates,
        "routes": [_estimate_line_json(line) for line in estimate.lines],
        "low_usd": fmt.usd_string(estimate.low) if known else None,
        "expected_usd": fmt.usd_string(estimate.expected) if known else None,
        "worst_usd": fmt.usd_string(estimate.worst) if known else None,
        "cap_usd": None if estimate.cap is None else fmt.usd_string(estimate.cap),
        "worst_exceeds_cap": estimate.cap is not None and (not known or estimate.worst > estimate.cap),
        "seconds": round(estimate.seconds, 1),
        "bound_by": estimate.bound_by,
        "bound_pool": estimate.bound_pool,
        "output": estimate.output,
    }


def render_spend(lines: Sequence[SpendLine], title: str) -> list[str]:
    """One row per run, model or day (*title* names them), and the total."""
    if not lines:
        return ["Nothing is in the spend ledger yet."]
    header = (title, "requests", "answers", "input", "cache write", "cache read", "output", "spent", "unknown", "")
    body = [_spend_row(line) for line in lines]
    if len(lines) > 1:
        body.append(_spend_row(_spend_total(lines)))
    return table("<>>>>>>>><", header, body)


def spend_json(lines: Sequence[SpendLine], title: str) -> dict[str, Any]:
    """`by` and one object per line; dollars as exact decimal strings."""
    return {"by": title, "lines": [_spend_line_json(line) for line in lines]}


def render_cache(stats: CacheStats) -> list[str]:
    """What the response cache holds, where, and for how long."""
    used = f"{fmt.byte_size(stats.bytes_used)} of {fmt.byte_size(stats.bytes_limit)}"
    kept = "for ever" if stats.ttl_s is None else f"for {fmt.seconds(stats.ttl_s)}"
    return [
        f"path     {stats.path}",
        f"answers  {fmt.count(stats.entries)}, kept {kept}",
        f"size     {used} ({fmt.percent(stats.bytes_used, stats.bytes_limit)})",
    ]


def cache_json(stats: CacheStats) -> dict[str, Any]:
    """The fields of *stats*."""
    return {
        "path": stats.path,
        "entries": stats.entries,
        "bytes_used": stats.bytes_used,
        "bytes_limit": stats.bytes_limit,
        "ttl_s": stats.ttl_s,
    }


def _prices_known(estimate: Estimate) -> bool:
    return all(line.price_known for line in estimate.lines)


def _estimate_rows(estimate: Estimate) -> str:
    text = fmt.counted(estimate.rows, "row")
    if estimate.finished:
        text += f", {fmt.count(estimate.finished)} finished before"
    if estimate.duplicates:
        text += f", {fmt.counted(estimate.duplicates, 'duplicate')} (sent once)"
    return text


def _estimate_row(line: EstimateLine) -> tuple[str, ...]:
    dollars = ("unknown",) * 3
    if line.price_known:
        dollars = (fmt.money(line.low), fmt.money(line.expected), fmt.money(line.worst))
    return (line.model, line.rule, *_counts(line.rows, line.cached, line.input_tokens, line.output_tokens), *dollars)


def _estimate_total(estimate: Estimate) -> tuple[str, ...]:
    lines = estimate.lines
    plus = "" if _prices_known(estimate) else " + unknown"
    sums = _counts(
        sum(line.rows for line in lines),
        sum(line.cached for line in lines),
        sum(line.input_tokens for line in lines),
        sum(line.output_tokens for line in lines),
    )
    dollars = (fmt.money(amount) + plus for amount in (estimate.low, estimate.expected, estimate.worst))
    return ("total", "", *sums, *dollars)


def _counts(rows: int, cached: int, input_tokens: int, output_tokens: int) -> tuple[str, str, str, str]:
    return fmt.count(rows), fmt.count(cached), fmt.tokens(input_tokens), fmt.tokens(output_tokens)


def _time(estimate: Estimate) -> str:
    what = f"About {fmt.seconds(estimate.seconds)}"
    if estimate.bound_by is None:
        return f"{what}, waiting for answers only."
    return f"{what}, bound by {estimate.bound_by} of {estimate.bound_pool}."


def _against_cap(estimate: Estimate) -> str:
    if estimate.cap is None:
        return "No cap is set: --budget USD sets one."
    cap = f"The cap of {fmt.money_exact(estimate.cap)}"
    if not _prices_known(estimate):
        return f"{cap} cannot be kept: a model has no known price. The run would refuse to start."
    if estimate.worst > estimate.cap:
        over = fmt.money(estimate.worst - estimate.cap)
        return f"{cap} is {over} below the worst case: the run may stop early, and would never pass it."
    return f"{cap} covers the worst case."


def _estimate_line_json(line: EstimateLine) -> dict[str, Any]:
    return {
        "model": line.model,
        "rule": line.rule,
        "rows": line.rows,
        "cached": line.cached,
        "input_tokens": line.input_tokens,
        "output_tokens": line.output_tokens,
        "low_usd": fmt.usd_string(line.low) if line.price_known else None,
        "expected_usd": fmt.usd_string(line.expected) if line.price_known else None,
        "worst_usd": fmt.usd_string(line.worst) if line.price_known else None,
    }


def _spend_row(line: SpendLine) -> tuple[str, ...]:
    counts = (fmt.count(line.attempts), fmt.count(line.answers))
    sizes = (line.input_tokens, line.cache_write_tokens, line.cache_read_tokens, line.output_tokens)
    unknown = fmt.money(line.unknown) if line.unknown else "-"
    dollars = (fmt.money(line.spent), unknown)
    return (line.label, *counts, *(fmt.tokens(size) for size in sizes), *dollars, line.note)


def _spend_total(lines: Sequence[SpendLine]) -> SpendLine:
    return SpendLine(
        label="total",
        attempts=sum(line.attempts for line in lines),
        answers=sum(line.answers for line in lines),
        input_tokens=sum(line.input_tokens for line in lines),
        cache_write_tokens=sum(line.cache_write_tokens for line in lines),
        cache_read_tokens=sum(line.cache_read_tokens for line in lines),
        output_tokens=sum(line.output_tokens for line in lines),
        spent=sum(line.spent for line in lines),
        unknown=sum(line.unknown for line in lines),
    )


def _spend_line_json(line: SpendLine) -> dict[str, Any]:
    return {
        "label": line.label,
        "requests": line.attempts,
        "answers": line.answers,
        "input_tokens": line.input_tokens,
        "cache_creation_input_tokens": line.cache_write_tokens,
        "cache_read_input_tokens": line.cache_read_tokens,
        "output_tokens": line.output_tokens,
        "spent_usd": fmt.usd_string(line.spent),
        "unknown_usd": fmt.usd_string(line.unknown),
        "note": line.note,
    }
