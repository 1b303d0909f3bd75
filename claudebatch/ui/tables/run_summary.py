"""The end of a run in at most twelve lines, the next command last; and the same as
JSON.
"""

from __future__ import annotations

from typing import Any

from claudebatch.core.domain import Usage
from claudebatch.core.reports import RunSummary
from claudebatch.ui import format as fmt

# Many kinds of failure at once are a fault of the run, and a few are enough to see it.
_FAILURES_SHOWN = 5
_MOST_LINES = 12
# Characters of one message; more of it is in the results.
_EXAMPLE = 150
# A pool that stood still for less, or for less of the run, did not bind it.
_BOUND_FROM_S = 5.0
_BOUND_FROM_SHARE = 0.1
_BOUND_BY = {
    "rate limited": "429s",
    "circuit open": "the open breaker",
    "retry budget": "the retry budget",
    "money": "money set aside for requests in flight",
}


def render_summary(summary: RunSummary) -> list[str]:
    """At most twelve lines of plain text, the next command last."""
    lines = [
        *_headline(summary),
        ("rows", _rows(summary)),
        ("answers", _answers(summary)),
        ("spent", _spent(summary)),
        *_unknown(summary),
        ("tokens", _tokens(summary.usage)),
        ("requests", _requests(summary)),
        *_pace(summary),
        ("output", summary.output),
        *([("next", summary.next_command)] if summary.next_command else []),
    ]
    # Above the output and the next command.
    place = len(lines) - (2 if summary.next_command else 1)
    lines[place:place] = _failures(summary, room=max(1, _MOST_LINES - len(lines)))
    return [f"{label:<9} {text}" for label, text in lines]


def final_line(summary: RunSummary) -> str:
    """The whole summary in one line, for `-q`."""
    mark = "SIMULATED: " if summary.simulated else ""
    parts = [f"{fmt.count(summary.succeeded)} of {fmt.counted(summary.rows, 'row')} answered"]
    parts += [f"{fmt.count(summary.failed)} failed"] if summary.failed else []
    parts += [f"{fmt.count(summary.pending)} pending"] if summary.pending else []
    if summary.lines_left_out:
        parts.append(f"{fmt.counted(summary.lines_left_out, 'line')} left out")
    parts.append(f"{_at_least(summary)}{fmt.money(summary.spent)} spent")
    if _incomplete(summary):
        parts[0] += f" ({_endings(summary)})"
    stopped = f"; stopped: {summary.stop_reason}" if summary.stop_reason else ""
    then = f"; next: {summary.next_command}" if summary.next_command else ""
    return f"{mark}{', '.join(parts)}: {summary.output}{stopped}{then}"


def summary_json(summary: RunSummary) -> dict[str, Any]:
    """The fields of *summary*; dollars as exact decimal strings."""
    return {
        "run_id": summary.run_id,
        "exit_code": int(summary.exit_code),
        "simulated": summary.simulated,
        "rows": summary.rows,
        "succeeded": summary.succeeded,
        "failed": summary.failed,
        "pending": summary.pending,
        "removed": summary.removed,
        "lines_left_out": summary.lines_left_out,
        "finished_before": summary.finished_before,
        "answered_now": summary.answered_now,
        "cached_now": summary.cached_now,
        "shared_now": summary.shared_now,
        "spent_usd": fmt.usd_string(summary.spent),
        "spent_now_usd": fmt.usd_string(summary.spent_now),
        "expected_now_usd": fmt.usd_string(summary.expected_now),
        "unknown_usd": fmt.usd_string(summary.unknown),
        "unknown_attempts": summary.unknown_attempts,
        "cap_usd": None if summary.cap is None else fmt.usd_string(summary.cap),
        "overshoot_usd": fmt.usd_string(summary.overshoot),
        "saved_usd": fmt.usd_string(summary.saved),
        "cost_known": summary.cost_known,
        "usage": usage_json(summary.usage),
        "requests": summary.requests,
        "retries": summary.retries,
        "p50_ms": summary.p50_ms,
        "p95_ms": summary.p95_ms,
        "wall_s": round(summary.wall_s, 3),
        "bound_by": [
            {"pool": bound.pool, "reason": bound.reason, "seconds": round(bound.seconds, 3)}
            for bound in summary.bound_by
        ],
        "endings": dict(summary.endings),
        "failures": dict(summary.failures),
        "failure_examples": dict(summary.failure_examples),
        "failures_accepted": summary.failures_accepted,
        "output": summary.output,
        "stop_reason": summary.stop_reason,
        "stop_id": summary.stop_id,
        "next_command": summary.next_command,
    }


def usage_json(usage: Usage) -> dict[str, int]:
    """The token counts of *usage* under the API's own names."""
    return usage.reported()


def _headline(summary: RunSummary) -> list[tuple[str, str]]:
    lines = []
    if summary.simulated:
        lines.append(
            (
                "SIMULATED",
                "every answer is made up; nothing was sent to the API and nothing was paid",
            )
        )
    if summary.stop_reason:
        named = f" [{summary.stop_id}]" if summary.stop_id else ""
        lines.append(("stopped", summary.stop_reason + named))
    return lines


def _rows(summary: RunSummary) -> str:
    accepted = " (accepted)" if summary.failures_accepted else ""
    failed = f"{fmt.count(summary.failed)} failed{accepted}"
    pending = f"{fmt.count(summary.pending)} pending"
    if _incomplete(summary):
        # Where answers are of no use, "ok" would be untrue.
        text = f"{fmt.count(summary.succeeded)} of {fmt.count(summary.rows)} answered: "
        text += _endings(summary)
        text += f" · {failed}" if summary.failed else ""
        text += f" · {pending}" if summary.pending else ""
    else:
        text = f"{fmt.count(summary.succeeded)} ok · {failed} · {pending}"
        text += f" of {fmt.count(summary.rows)}"
    if summary.finished_before:
        text += f" ({fmt.count(summary.finished_before)} finished before)"
    if summary.lines_left_out:
        text += f"; {fmt.counted(summary.lines_left_out, 'line')} left out"
    if summary.removed:
        text += f"; {fmt.counted(summary.removed, 'answered row')} no longer in the input"
    return text


def _incomplete(summary: RunSummary) -> int:
    return sum(summary.endings.values()) - summary.endings.get("complete", 0)


def _endings(summary: RunSummary) -> str:
    words = {name: name.replace("_", " ") for name in summary.endings}
    return " · ".join(
        f"{fmt.count(count)} {words[name]}"
        for name, count in summary.endings.items()
        if count or name == "complete"
    )


def _answers(summary: RunSummary) -> str:
    text = (
        f"{fmt.count(summary.answered_now)} from the API · {fmt.count(summary.cached_now)} cached"
        f" · {fmt.count(summary.shared_now)} shared"
    )
    return f"{text} · {fmt.money(summary.saved)} saved" if summary.saved else text


def _spent(summary: RunSummary) -> str:
    text = _at_least(summary) + fmt.money(summary.spent)
    if summary.cap is not None:
        text += f" of {fmt.money_exact(summary.cap)}"
        if summary.overshoot:
            text += f", which {fmt.money_exact(summary.overshoot)} may pass"
    if summary.spent_now != summary.spent:
        text += f" ({fmt.money(summary.spent_now)} in this session{_expected(summary)})"
    else:
        text += _expected(summary)
    return text if summary.cost_known else f"{text}; a model without a known price answered"


def _expected(summary: RunSummary) -> str:
    """The estimate beside it: of the same answers, made before they came."""
    # An estimate that lacks answers without a price would look wrong by their cost.
    if not (summary.expected_now and summary.spent_now and summary.cost_known):
        return ""
    off = round((summary.spent_now - summary.expected_now) * 100 / summary.expected_now)
    how = f"{fmt.count(abs(off))} % {'more' if off > 0 else 'less'} than" if off else "as in"
    return f", {how} the estimate of {fmt.money(summary.expected_now)}"


def _at_least(summary: RunSummary) -> str:
    return "" if summary.cost_known else "at least "


def _unknown(summary: RunSummary) -> list[tuple[str, str]]:
    """The rows were asked again, so what the API did bill of this is paid twice."""
    if not summary.unknown_attempts:
        return []
    attempts = fmt.counted(summary.unknown_attempts, "request")
    most = fmt.money(summary.unknown)
    return [("unknown", f"up to {most} more: nobody knows what {attempts} cost")]


def _tokens(usage: Usage) -> str:
    cached = []
    if usage.cache_read_input_tokens:
        cached.append(f"{fmt.tokens(usage.cache_read_input_tokens)} read from the prompt cache")
    if usage.cache_creation_input_tokens:
        cached.append(f"{fmt.tokens(usage.cache_creation_input_tokens)} written to it")
    inside = f" ({', '.join(cached)})" if cached else ""
    return f"{fmt.tokens(usage.total_input)} in{inside} · {fmt.tokens(usage.output_tokens)} out"


def _requests(summary: RunSummary) -> str:
    parts = [fmt.count(summary.requests), fmt.counted(summary.retries, "retry", "retries")]
    if summary.answered_now:
        parts.append(
            f"p50 {fmt.milliseconds(summary.p50_ms)}, p95 {fmt.milliseconds(summary.p95_ms)}"
        )
    return " · ".join([*parts, f"{fmt.seconds(summary.wall_s)} in all"])


def _pace(summary: RunSummary) -> list[tuple[str, str]]:
    """The limit that the run waited for, if it did for long."""
    most = summary.bound_by[0] if summary.bound_by else None
    if most is None or most.seconds < max(_BOUND_FROM_S, _BOUND_FROM_SHARE * summary.wall_s):
        return []
    share = fmt.percent(round(most.seconds * 100), round(summary.wall_s * 100))
    what = _BOUND_BY.get(most.reason, most.reason)
    return [
        (
            "pace",
            f"bound by {what} of {most.pool} for {fmt.seconds(most.seconds)} ({share} of the time)",
        )
    ]


def _failures(summary: RunSummary, *, room: int) -> list[tuple[str, str]]:
    """At most *room* lines: the types of failure of this session by their number, each
    with one message where there is a line for it.
    """
    by_number = sorted(summary.failures.items(), key=lambda item: (-item[1], item[0]))
    lines = [f"{fmt.count(number)} {kind}{_example(summary, kind)}" for kind, number in by_number]
    if len(lines) > room:
        rest = by_number[room - 1 :]
        parts = [f"{fmt.count(number)} {kind}" for kind, number in rest[:_FAILURES_SHOWN]]
        others = sum(number for _, number in rest[_FAILURES_SHOWN:])
        parts += [f"{fmt.count(others)} of other types"] if others else []
        lines[room - 1 :] = [" · ".join(parts)]
    return [("failures" if n == 0 else "", line) for n, line in enumerate(lines)]


def _example(summary: RunSummary, kind: str) -> str:
    message = " ".join(summary.failure_examples.get(kind, "").split())
    short = message if len(message) <= _EXAMPLE else f"{message[: _EXAMPLE - 1]}…"
    return f": {short}" if short else ""
