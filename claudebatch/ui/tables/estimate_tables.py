"""An estimate as aligned text, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from claudebatch.core.plurals import counted
from claudebatch.core.reports import (
    Basis,
    BatchTimes,
    Elsewhere,
    Estimate,
    EstimateLine,
    PromptCacheUse,
    Way,
)
from claudebatch.ui import format as fmt
from claudebatch.ui.tables.plan_table import plan_json
from claudebatch.ui.tables.table import fitted

# Of fewer rows a sample is no smaller than the run.
_SAMPLE, _WORTH_A_SAMPLE = 50, 200
_KEPT = "Cached answers are free as it is; another model is asked for answers of its own."
_HEADER = ("model", "rule", "rows", "cached", "input", "output", "low", "expected", "worst")
# What a narrow terminal can do without, from the first.
_DROPPED = ("input", "output", "low", "cached", "rule", "rows")
_WAYS = {"live": "at once", "batch": "by batch", "mixed": "by your rules"}


def render_estimate(estimate: Estimate, *, width: int = 0, details: bool = False) -> list[str]:
    """The text of `--dry-run`: the rows, a table of rules and models in at most *width*
    columns (0: in any), the worst case beside the cap, what the numbers rest on (with
    *details*: as a table), and the cost at other models.
    """
    body = [_estimate_row(line) for line in estimate.lines]
    # A total of one line is that line.
    if len(body) > 1:
        body.append(_estimate_total(estimate))
    lines = [_estimate_rows(estimate)]
    if body:
        # No column of zeros.
        without = () if any(line.cached for line in estimate.lines) else ("cached",)
        lines += _without("<<>>>>>>>", _HEADER, body, without, width=width)
        lines.append(_time(estimate))
        lines += _prompt_cache(estimate.prompt_cache)
    lines += [_against_cap(estimate), f"{_sent(estimate)} Results would go to {estimate.output}"]
    sources = _details(estimate, width) if details else _sources(estimate)
    for more in (sources, _ways(estimate, width), _elsewhere(estimate, width)):
        lines += ["", *more] if more else []
    return lines


def _without(
    columns: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    without: Sequence[str],
    *,
    width: int,
) -> list[str]:
    kept = [number for number, name in enumerate(header) if name not in without]
    return fitted(
        "".join(columns[number] for number in kept),
        [header[number] for number in kept],
        [[row[number] for number in kept] for row in rows],
        width=width,
        drop=_DROPPED,
    )


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """The fields of *estimate*; dollars as exact decimal strings, None where a price is
    not known.
    """
    known = _prices_known(estimate)
    return {
        "rows": estimate.rows,
        "finished": estimate.finished,
        "duplicates": estimate.duplicates,
        "asked_otherwise": estimate.asked_otherwise,
        "bad_rows": estimate.bad_rows,
        "routes": [_estimate_line_json(line) for line in estimate.lines],
        "low_usd": fmt.usd_string(estimate.low) if known else None,
        "expected_usd": fmt.usd_string(estimate.expected) if known else None,
        "worst_usd": fmt.usd_string(estimate.worst) if known else None,
        "batch_usd": fmt.usd_string(estimate.batch) if known else None,
        "cap_usd": None if estimate.cap is None else fmt.usd_string(estimate.cap),
        "worst_exceeds_cap": estimate.cap is not None
        and (not known or estimate.worst > estimate.cap),
        "seconds": round(estimate.seconds, 1),
        "batch_rows": estimate.batch_rows,
        "ways": [_way_json(way) for way in estimate.ways],
        "prompt_cache": _prompt_cache_json(estimate.prompt_cache),
        "plan": plan_json(estimate.plan),
        "batch_times": _batch_times_json(estimate.batch_times),
        "bound_by": estimate.bound_by,
        "bound_pool": estimate.bound_pool,
        "output": estimate.output,
        "elsewhere": [
            {
                "model": other.model,
                "expected_usd": fmt.usd_string(other.expected),
                "batch_usd": fmt.usd_string(other.batch),
            }
            for other in estimate.elsewhere
        ],
    }


def _prices_known(estimate: Estimate) -> bool:
    return all(line.price_known for line in estimate.lines)


def _sent(estimate: Estimate) -> str:
    asked = sum(
        {
            line.model: line.inputs.sample
            for line in estimate.lines
            if line.inputs.method == "counted"
        }.values()
    )
    # A count is a request, though a free one: "nothing was sent" would be untrue.
    if not asked:
        return "Nothing was sent."
    return f"Nothing was sent but {counted(asked, 'row')} to be counted, which is free."


def _estimate_rows(estimate: Estimate) -> str:
    text = counted(estimate.rows, "row")
    if estimate.finished:
        text += f", {fmt.count(estimate.finished)} already done"
    if estimate.asked_otherwise:
        text += f" ({fmt.count(estimate.asked_otherwise)} of them with other settings)"
    if estimate.duplicates:
        text += f", {counted(estimate.duplicates, 'duplicate')} (sent once)"
    if estimate.bad_rows:
        text += f", {counted(estimate.bad_rows, 'invalid line')} left out"
    return text


def _estimate_row(line: EstimateLine) -> tuple[str, ...]:
    # Never $0: an unknown price would look like a gift.
    dollars = ("unknown",) * 3
    if line.price_known:
        dollars = (fmt.money(line.low), fmt.money(line.expected), fmt.money(line.worst))
    return (
        line.model,
        line.rule,
        *_counts(line.rows, line.cached, line.input_tokens, line.output_tokens),
        *dollars,
    )


def _estimate_total(estimate: Estimate) -> tuple[str, ...]:
    lines = estimate.lines
    # A sum that leaves a route out must say so.
    plus = "" if _prices_known(estimate) else " + unknown"
    sums = _counts(
        sum(line.rows for line in lines),
        sum(line.cached for line in lines),
        sum(line.input_tokens for line in lines),
        sum(line.output_tokens for line in lines),
    )
    dollars = (
        fmt.money(amount) + plus for amount in (estimate.low, estimate.expected, estimate.worst)
    )
    return ("total", "", *sums, *dollars)


def _counts(
    rows: int, cached: int, input_tokens: int, output_tokens: int
) -> tuple[str, str, str, str]:
    return fmt.count(rows), fmt.count(cached), fmt.tokens(input_tokens), fmt.tokens(output_tokens)


def _time(estimate: Estimate) -> str:
    by_batch = estimate.batch_rows
    if by_batch and not estimate.seconds:
        return f"By batch: {_batch_time(estimate.batch_times)}."
    text = f"About {fmt.seconds(estimate.seconds)}"
    if estimate.bound_by is not None:
        text += f", limited by {estimate.bound_by} ({estimate.bound_pool})"
    if not by_batch:
        return f"{text}."
    # Two clocks: a sum of them would be neither.
    return f"{text}; {counted(by_batch, 'row')} by batch: {_batch_time(estimate.batch_times)}."


def _prompt_cache(use: PromptCacheUse | None) -> list[str]:
    if use is None:
        return []
    return [*_cache_at_once(use), *_cache_of_batches(use)]


def _cache_of_batches(use: PromptCacheUse) -> list[str]:
    if not use.batch_rows:
        return []
    most, fewest = fmt.money(use.batch_most), fmt.money(use.batch_fewest)
    return [
        f"Prompt cache of batches: what {counted(use.batch_rows, 'row')} share is read by chance.",
        f"They cost {most} if 98 % is read, {fewest} if 30 %; {fmt.money(use.batch_without)} "
        "without marks.",
    ]


def _cache_at_once(use: PromptCacheUse) -> list[str]:
    if not use.rows:
        return []
    share = "share" if use.rows > 1 else "has"
    written, read = fmt.tokens(use.written_tokens), fmt.tokens(use.read_tokens)
    expected, without = fmt.money(use.expected), fmt.money(use.without)
    return [
        f"Prompt cache: {counted(use.rows, 'row')} {share} {counted(use.beginnings, 'beginning')}; "
        f"{written} tokens are written, {read} read.",
        f"They cost {expected} instead of {without}; {fmt.money(use.unread)} if nothing is read.",
    ]


def _prompt_cache_json(use: PromptCacheUse | None) -> dict[str, Any] | None:
    if use is None:
        return None
    return {
        "beginnings": use.beginnings,
        "rows": use.rows,
        "written_tokens": use.written_tokens,
        "read_tokens": use.read_tokens,
        "expected_usd": fmt.usd_string(use.expected),
        "without_usd": fmt.usd_string(use.without),
        "unread_usd": fmt.usd_string(use.unread),
        "in_batches": {
            "rows": use.batch_rows,
            "most_read_usd": fmt.usd_string(use.batch_most),
            "least_read_usd": fmt.usd_string(use.batch_fewest),
            "without_usd": fmt.usd_string(use.batch_without),
        },
    }


def _batch_time(times: BatchTimes | None) -> str:
    if times is None:
        return "unknown, up to 24 h"
    usual, slow = fmt.seconds(times.usual_s), fmt.seconds(times.slow_s)
    past = counted(times.batches, "earlier batch", "earlier batches")
    return f"usually {usual}, nine in ten within {slow} ({past})"


def _ways(estimate: Estimate, width: int) -> list[str]:
    """The same rows by each road. Where nothing can go by batch, there is one only."""
    if not any(way.batch_rows for way in estimate.ways):
        return []
    header = ("sent", "expected", "worst", "time")
    rows = [
        (
            _WAYS[way.name] + (" (as set)" if way.chosen else ""),
            fmt.money(way.expected),
            fmt.money(way.worst),
            _way_time(way, estimate.batch_times),
        )
        for way in estimate.ways
    ]
    return fitted("<>><", header, rows, width=width, drop=("worst",))


def _way_time(way: Way, times: BatchTimes | None) -> str:
    if not way.batch_rows:
        return fmt.seconds(way.seconds)
    if times is None:
        return "unknown, up to 24 h"
    return f"usually {fmt.seconds(max(times.usual_s, way.seconds))}"


def _way_json(way: Way) -> dict[str, Any]:
    return {
        "way": way.name,
        "chosen": way.chosen,
        "live_rows": way.live_rows,
        "batch_rows": way.batch_rows,
        "expected_usd": fmt.usd_string(way.expected),
        "worst_usd": fmt.usd_string(way.worst),
        "live_seconds": round(way.seconds, 1),
    }


def _batch_times_json(times: BatchTimes | None) -> dict[str, Any] | None:
    if times is None:
        return None
    return {
        "batches": times.batches,
        "usual_seconds": round(times.usual_s, 1),
        "slow_seconds": round(times.slow_s, 1),
    }


def _sources(estimate: Estimate) -> list[str]:
    """What the tokens of each line of the table rest on."""
    lines = [line for line in estimate.lines if line.input_tokens]
    several = len({line.outputs.sample for line in lines if line.outputs.sample}) > 1
    found = dict.fromkeys(
        (f"{line.model}: " if several else "") + what for line in lines for what in _measured(line)
    )
    if any(line.outputs.method == "rule" for line in lines):
        found[_no_history(estimate)] = None
    return list(found)


def _measured(line: EstimateLine) -> Iterator[str]:
    basis = line.outputs
    if basis.method == "history":
        spread = f"{fmt.tokens(basis.low or 0)}–{fmt.tokens(basis.high or 0)} tokens each"
        off = f", total ± {basis.error * 100:.0f} %" if basis.error else ""
        yield f"Measured on {counted(basis.sample, 'earlier answer')}: {spread}{off}."
    if basis.method == "configured":
        yield "Answers are as long as the configuration says."


def _no_history(estimate: Estimate) -> str:
    text = "No history yet: may be off by 2×."
    if estimate.rows - estimate.finished < _WORTH_A_SAMPLE:
        return text
    return f"{text} Run -n {_SAMPLE} first for a better estimate."


def _details(estimate: Estimate, width: int) -> list[str]:
    """The same with every basis, as a table."""
    lines = [line for line in estimate.lines if line.input_tokens]
    if not lines:
        return []
    header = ("tokens of", "rule", "bytes for a token", "answers")
    rows = [(line.model, line.rule, _input(line), _output(line)) for line in lines]
    found = fitted("<<<<", header, rows, width=width, drop=("rule",))
    if any(line.outputs.method == "rule" for line in lines):
        found.append(_no_history(estimate))
    return found


def _input(line: EstimateLine) -> str:
    what = f"{_bytes_per_token(line):.2f}"
    basis = line.inputs
    match basis.method:
        case "counted":
            return f"{what}{_error(basis)}, {counted(basis.sample, 'row')} counted"
        case "history":
            return f"{what}, from {counted(basis.sample, 'answer')}"
        case _:
            return f"{what}, a guess"


def _output(line: EstimateLine) -> str:
    basis = line.outputs
    match basis.method:
        case "history":
            low, high = fmt.tokens(basis.low or 0), fmt.tokens(basis.high or 0)
            return f"{low}–{high}{_error(basis)}, from {counted(basis.sample, 'answer')}"
        case "configured":
            return "as configured"
        case _:
            return "a guess"


def _error(basis: Basis) -> str:
    return f" (total ± {basis.error * 100:.1f} %)" if basis.error else ""


def _bytes_per_token(line: EstimateLine) -> float:
    return line.request_bytes / line.input_tokens if line.input_tokens else 0.0


def _elsewhere(estimate: Estimate, width: int) -> list[str]:
    """The cost of the same rows elsewhere: at the newest model of each line, and by the
    rules as they are.
    """
    if not any(other.expected for other in estimate.elsewhere):
        return []
    rows = [
        (other.model, fmt.money(other.expected), fmt.money(other.batch))
        for other in _newest(estimate)
    ]
    if _prices_known(estimate):
        live = next((way.expected for way in estimate.ways if way.name == "live"), None)
        at_once = estimate.expected if live is None else live
        rows.insert(0, ("as it is", fmt.money(at_once), fmt.money(estimate.batch)))
    # What is finished stays so, whichever model the others are asked of: it is in none
    # of these sums.
    header = (
        "the other rows on" if estimate.finished else "all rows on",
        "expected",
        "Batches API",
    )
    kept = any(line.cached for line in estimate.lines)
    found = fitted("<>>", header, rows, width=width, drop=("Batches API",))
    return [*found, *([_KEPT] if kept else [])]


def _newest(estimate: Estimate) -> list[Elsewhere]:
    used = {line.model for line in estimate.lines}
    return [other for other in estimate.elsewhere if other.newest or other.model in used]


def _against_cap(estimate: Estimate) -> str:
    if estimate.cap is None:
        return "No cap is set: --budget USD sets one."
    cap = fmt.money_exact(estimate.cap)
    if not _prices_known(estimate):
        return f"Your cap of {cap} cannot be kept: a model has no known price. The run will refuse."
    # Exact: rounded, a worst case a little above the cap would read as equal to it.
    worst = fmt.money(estimate.worst)
    if estimate.worst > estimate.cap:
        shown = worst if worst != fmt.money(estimate.cap) else fmt.money_exact(estimate.worst)
        above = f"Worst case {shown} is above your cap of {cap}"
        return f"{above}: the run may stop early (resumable); it never spends more."
    return f"Your cap of {cap} covers the worst case of {worst}."


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
        "output_tokens_low": line.output_low,
        "output_tokens_worst": line.output_worst,
        "bytes_per_token": round(_bytes_per_token(line), 3),
        "input_basis": _basis_json(line.inputs),
        "output_basis": _basis_json(line.outputs),
    }


def _basis_json(basis: Basis) -> dict[str, Any]:
    facts = {
        "sample": basis.sample or None,
        "factor": None if basis.factor is None else round(basis.factor, 4),
        "standard_error": None if basis.error is None else round(basis.error, 4),
        "low": basis.low,
        "high": basis.high,
    }
    return {
        "method": basis.method,
        **{name: fact for name, fact in facts.items() if fact is not None},
    }
