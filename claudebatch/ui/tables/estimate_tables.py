"""An estimate as aligned text, and the same as JSON."""

from __future__ import annotations

from typing import Any

from claudebatch.core.reports import Basis, Elsewhere, Estimate, EstimateLine
from claudebatch.ui import format as fmt
from claudebatch.ui.tables.table import table

_BY_RULE = (
    "Rules of thumb may be off by a factor of two; after a first run its answers count instead."
)

_KEPT = "Cached answers are free as it is; another model is asked for answers of its own."


def render_estimate(estimate: Estimate) -> list[str]:
    """The text of `--dry-run`: the rows, a table of routes, the worst case beside the
    cap, then the details.
    """
    header = ("model", "rule", "rows", "cached", "input", "output", "low", "expected", "worst")
    body = [_estimate_row(line) for line in estimate.lines]
    # A total of one line is that line.
    if len(body) > 1:
        body.append(_estimate_total(estimate))
    lines = [_estimate_rows(estimate)]
    if body:
        lines += table("<<>>>>>>>", header, body)
        lines.append(_time(estimate))
    lines += [_against_cap(estimate), f"{_sent(estimate)} Results would go to {estimate.output}"]
    for more in (_sources(estimate), _elsewhere(estimate)):
        lines += ["", *more] if more else []
    return lines


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
    counted = sum(
        {
            line.model: line.inputs.sample
            for line in estimate.lines
            if line.inputs.method == "counted"
        }.values()
    )
    # A count is a request, though a free one: "nothing was sent" would be untrue.
    if not counted:
        return "Nothing was sent."
    return f"Nothing was sent but {fmt.counted(counted, 'row')} to be counted, which is free."


def _estimate_rows(estimate: Estimate) -> str:
    text = fmt.counted(estimate.rows, "row")
    if estimate.finished:
        text += f", {fmt.count(estimate.finished)} finished before"
    if estimate.asked_otherwise:
        text += f" ({fmt.count(estimate.asked_otherwise)} of them with other settings)"
    if estimate.duplicates:
        text += f", {fmt.counted(estimate.duplicates, 'duplicate')} (sent once)"
    if estimate.bad_rows:
        text += f", {fmt.counted(estimate.bad_rows, 'bad line')} left out"
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
    what = f"About {fmt.seconds(estimate.seconds)}"
    if estimate.bound_by is None:
        return f"{what}, waiting for answers only."
    return f"{what}, bound by {estimate.bound_by} of {estimate.bound_pool}."


def _sources(estimate: Estimate) -> list[str]:
    """The sources of the tokens of each route."""
    lines = [line for line in estimate.lines if line.input_tokens]
    if not lines:
        return []
    # All by rule: one sentence says more than a table of equal cells.
    if all(line.inputs.method == line.outputs.method == "rule" for line in lines):
        return [_BY_RULE]
    header = ("tokens of", "rule", "input", "output")
    found = table(
        "<<<<", header, [(line.model, line.rule, _input(line), _output(line)) for line in lines]
    )
    if any(line.outputs.method == "rule" for line in lines):
        found.append(_BY_RULE)
    return found


def _input(line: EstimateLine) -> str:
    what = f"{_bytes_per_token(line):.2f} bytes each"
    basis = line.inputs
    match basis.method:
        case "counted":
            return f"{what}{_error(basis)}, {fmt.counted(basis.sample, 'row')} counted"
        case "history":
            return f"{what}, learned from {fmt.count(basis.sample)}"
        case _:
            return f"{what}, a rule of thumb"


def _output(line: EstimateLine) -> str:
    basis = line.outputs
    match basis.method:
        case "history":
            low, high = fmt.tokens(basis.low or 0), fmt.tokens(basis.high or 0)
            spread = f"{low} to {high} in 8 of 10{_error(basis)}"
            return f"{spread}, learned from {fmt.counted(basis.sample, 'answer')}"
        case "configured":
            return "as configured"
        case _:
            return "a rule of thumb"


def _error(basis: Basis) -> str:
    return f" (sum ± {basis.error * 100:.1f} %)" if basis.error else ""


def _bytes_per_token(line: EstimateLine) -> float:
    return line.request_bytes / line.input_tokens if line.input_tokens else 0.0


def _elsewhere(estimate: Estimate) -> list[str]:
    """The cost of the same rows elsewhere: at the newest model of each line, and by the
    routes as they are.
    """
    if not any(other.expected for other in estimate.elsewhere):
        return []
    rows = [
        (other.model, fmt.money(other.expected), fmt.money(other.batch))
        for other in _newest(estimate)
    ]
    if _prices_known(estimate):
        rows.insert(0, ("as it is", fmt.money(estimate.expected), fmt.money(estimate.batch)))
    # What is finished stays so, whichever model the others are asked of: it is in none
    # of these sums.
    header = (
        "the other rows on" if estimate.finished else "all rows on",
        "expected",
        "Batches API",
    )
    kept = any(line.cached for line in estimate.lines)
    return [*table("<>>", header, rows), *([_KEPT] if kept else [])]


def _newest(estimate: Estimate) -> list[Elsewhere]:
    used = {line.model for line in estimate.lines}
    return [other for other in estimate.elsewhere if other.newest or other.model in used]


def _against_cap(estimate: Estimate) -> str:
    if estimate.cap is None:
        return "No cap is set: --budget USD sets one."
    cap = f"The cap of {fmt.money_exact(estimate.cap)}"
    if not _prices_known(estimate):
        return f"{cap} cannot be kept: a model has no known price. The run would refuse to start."
    if estimate.worst > estimate.cap:
        over = fmt.money(estimate.worst - estimate.cap)
        below = f"{cap} is {over} below the worst case"
        return f"{below}: the run may stop early, and would never pass it."
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
