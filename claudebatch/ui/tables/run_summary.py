"""The end of a run in at most twelve lines, the next command last; and the same as
JSON.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from claudebatch.core.domain import PromptSavings, Usage
from claudebatch.core.plurals import counted
from claudebatch.core.reports import RestOfRun, RunSummary
from claudebatch.core.reports.shared_waits import SharedWaits
from claudebatch.ui import format as fmt
from claudebatch.ui.format import limit_text
from claudebatch.ui.wrapping import wrapped, wrapped_command

# Many kinds of failure at once are a fault of the run, and a few are enough to see it.
_FAILURES_SHOWN = 5
_MOST_LINES = 12
# Characters of one message; more of it is in the results.
_EXAMPLE = 150
# A pool that stood still for less, or for less of the run, did not bind it.
_BOUND_FROM_S = 5.0
_BOUND_FROM_SHARE = 0.1
_BOUND_BY = {
    "first answer": "a slow start, until the API states its limits",
    "gentle start": "a slow start, until the API states its limits",
    "rate limited": "429s",
    "circuit open": "an API that did not answer",
    "retry budget": "too many retries at once",
    "shared server": "a shared server that did not answer",
    "money": "money reserved for requests in flight",
    "spending paused": "the pause after a spike of spending",
}
# Less is a moment here and there.
_WAITED_FROM_S = 1.0
# Of fewer answers an estimate of means says nothing.
_ESTIMATED_FROM = 10
_LABEL = 10


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """A line of the summary: a label, or the beginning of a sentence, and its text."""

    label: str
    text: str
    style: str | None = None
    """As of `Terminal.say`."""

    def shown(self, width: int = 0) -> list[str]:
        """In lines of at most *width* columns; 0: in one."""
        # A sentence goes on where its first words end.
        first = f"{self.label} " if " " in self.label else f"{self.label:<{_LABEL}}"
        fold = wrapped_command if self.label == "next" else wrapped
        return fold(self.text, width, first=first, indent=" " * _LABEL)


def summary_lines(summary: RunSummary) -> list[SummaryLine]:
    """At most twelve lines, the next command last."""
    lines = [
        *_headline(summary),
        SummaryLine("rows", _rows(summary), _rows_style(summary)),
        *_sent(summary),
        *_answers(summary),
        SummaryLine("spent", _spent(summary)),
        *_maybe_billed(summary),
        *_rest(summary.rest),
        *_tokens(summary),
        *_requests(summary),
        *_limited_by(summary),
        SummaryLine("output", summary.output),
    ]
    if summary.next_command:
        lines.append(SummaryLine("next", summary.next_command, "hint"))
    # Above the output and the next command.
    place = len(lines) - (2 if summary.next_command else 1)
    lines[place:place] = _failures(summary, room=max(1, _MOST_LINES - len(lines)))
    return lines


def final_line(summary: RunSummary) -> str:
    """The whole summary in one line, for `-q`."""
    mark = "SIMULATED: " if summary.simulated else ""
    parts = [f"{fmt.count(summary.succeeded)} of {counted(summary.rows, 'row')} answered"]
    parts += [f"{fmt.count(summary.failed)} failed"] if summary.failed else []
    parts += _pending(summary)
    if summary.lines_left_out:
        parts.append(f"{counted(summary.lines_left_out, 'line')} left out")
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
        **_money_json(summary),
        **_tokens_json(summary),
        "requests": summary.requests,
        "retries": summary.retries,
        "prewarms": summary.prewarms,
        "p50_ms": summary.p50_ms,
        "p95_ms": summary.p95_ms,
        "wall_s": round(summary.wall_s, 3),
        "bound_by": [
            {
                "pool": bound.pool,
                "reason": bound.reason,
                "seconds": round(bound.seconds, 3),
                "limit": bound.limit,
            }
            for bound in summary.bound_by
        ],
        "endings": dict(summary.endings),
        "failures": dict(summary.failures),
        "failure_examples": dict(summary.failure_examples),
        "failures_accepted": summary.failures_accepted,
        "output": summary.output,
        "stop_reason": summary.stop_reason,
        "stop_id": summary.stop_id,
        "reader_left": summary.reader_left,
        "next_command": summary.next_command,
        "rest": None if summary.rest is None else _rest_json(summary.rest),
        **_batches_json(summary),
        "shared": None if summary.shared is None else _shared_json(summary.shared),
    }


def _money_json(summary: RunSummary) -> dict[str, Any]:
    return {
        "spent_usd": fmt.usd_string(summary.spent),
        "spent_now_usd": fmt.usd_string(summary.spent_now),
        "expected_now_usd": fmt.usd_string(summary.expected_now),
        "unknown_usd": fmt.usd_string(summary.unknown),
        "unknown_attempts": summary.unknown_attempts,
        "cap_usd": None if summary.cap is None else fmt.usd_string(summary.cap),
        "overshoot_usd": fmt.usd_string(summary.overshoot),
        "saved_usd": fmt.usd_string(summary.saved),
        "cost_known": summary.cost_known,
    }


def _tokens_json(summary: RunSummary) -> dict[str, Any]:
    return {
        "usage": usage_json(summary.usage),
        "prompt_cache_saved_usd": fmt.usd_string(summary.prompt_cache.saved),
        "prompt_cache_writes_usd": fmt.usd_string(summary.prompt_cache.writes),
    }


def _batches_json(summary: RunSummary) -> dict[str, Any]:
    return {
        "by_batch_now": summary.by_batch_now,
        "in_batches": summary.in_batches,
        "open_batches": summary.open_batches,
        "held_usd": fmt.usd_string(summary.held),
    }


def _shared_json(waited: SharedWaits) -> dict[str, Any]:
    return {
        "round_trips": waited.round_trips,
        "server_s": round(waited.server_s, 3),
        "away_s": round(waited.away_s, 3),
        "line_s": round(waited.line_s, 3),
        "money_s": round(waited.money_s, 3),
        "answers_s": round(waited.answers_s, 3),
    }


def _rest_json(rest: RestOfRun) -> dict[str, Any]:
    return {
        "rows": rest.rows,
        "cost_usd": fmt.usd_string(rest.cost),
        "low_usd": fmt.usd_string(rest.low),
        "high_usd": fmt.usd_string(rest.high),
        "seconds": None if rest.seconds is None else round(rest.seconds, 1),
    }


def usage_json(usage: Usage) -> dict[str, int]:
    """The token counts of *usage* under the API's own names."""
    return usage.reported()


def _headline(summary: RunSummary) -> Iterator[SummaryLine]:
    if summary.simulated:
        what = "every answer is made up; nothing was sent, nothing was paid"
        yield SummaryLine("SIMULATED", what, "warning")
    if summary.stop_reason is None:
        return
    by = summary.stop_reason.removeprefix("stopped by ")
    if by == summary.stop_reason:
        named = f" [{summary.stop_id}]" if summary.stop_id else ""
        yield SummaryLine("stopped", by + named, "warning")
        return
    done = f"{fmt.count(summary.succeeded + summary.failed)} of {fmt.count(summary.rows)} done"
    # Where an answer may have been on its way, it may be lost.
    lost = "" if summary.unknown_attempts else ", nothing lost"
    yield SummaryLine("stopped by", f"{by}; {done}{lost}", "warning")


def _rows(summary: RunSummary) -> str:
    rows, incomplete = fmt.count(summary.rows), _incomplete(summary)
    parts = [_endings(summary)] if incomplete else [f"{fmt.count(summary.succeeded)} ok"]
    accepted = " (accepted)" if summary.failures_accepted else ""
    parts += [f"{fmt.count(summary.failed)} failed{accepted}"] if summary.failed else []
    parts += _pending(summary)
    ended = " · ".join(parts)
    if not summary.rows:
        text = "none in the input"
    elif incomplete:
        # Where answers are of no use, "ok" would be untrue.
        text = "nothing to do: " if _nothing_to_do(summary) else ""
        text += f"{fmt.count(summary.succeeded)} of {rows} answered: {ended}"
    elif _nothing_to_do(summary):
        done = "the row is" if summary.rows == 1 else f"all {rows} rows are"
        text = f"nothing to do: {done} done" + (f": {ended}" if summary.failed else "")
    else:
        text = f"{fmt.count(summary.succeeded + summary.failed)} of {rows} done: {ended}"
    if summary.finished_before and not _nothing_to_do(summary):
        text += f" ({fmt.count(summary.finished_before)} already done)"
    if summary.lines_left_out:
        text += f"; {counted(summary.lines_left_out, 'line')} left out"
    if summary.removed:
        text += f"; {counted(summary.removed, 'answered row')} no longer in the input"
    return text


def _nothing_to_do(summary: RunSummary) -> bool:
    return summary.finished_before == summary.rows > 0 and not summary.requests


def _pending(summary: RunSummary) -> list[str]:
    """The rows without a result: those that are with the API, and the others."""
    parts = []
    if summary.in_batches:
        batches = counted(summary.open_batches, "batch", "batches")
        parts.append(f"{fmt.count(summary.in_batches)} in {batches}")
    left = summary.pending - summary.in_batches
    # Of two rows in batches that ask for the same, one is there for both.
    return [*parts, f"{fmt.count(left)} pending"] if left > 0 else parts


def _sent(summary: RunSummary) -> Iterator[SummaryLine]:
    """What goes on by itself."""
    if not summary.open_batches:
        return
    what = counted(summary.open_batches, "batch", "batches")
    are = "is" if summary.open_batches == 1 else "are"
    text = f"{what} with {counted(summary.in_batches, 'row')} {are} with the API"
    which = shlex.quote(summary.output if summary.output != "-" else summary.run_id)
    follow = f"the next command collects, `claudebatch batches cancel {which}` cancels"
    yield SummaryLine("sent", f"{text}; {follow}")


def _rows_style(summary: RunSummary) -> str | None:
    if summary.failed:
        return "failed"
    return None if summary.pending or _incomplete(summary) else "good"


def _incomplete(summary: RunSummary) -> int:
    return sum(summary.endings.values()) - summary.endings.get("complete", 0)


def _endings(summary: RunSummary) -> str:
    words = {name: name.replace("_", " ") for name in summary.endings}
    return " · ".join(
        f"{fmt.count(count)} {words[name]}"
        for name, count in summary.endings.items()
        if count or name == "complete"
    )


def _answers(summary: RunSummary) -> Iterator[SummaryLine]:
    counts = (
        (
            summary.answered_now,
            "by batch" if summary.by_batch_now == summary.answered_now else "from the API",
        ),
        (summary.cached_now, "cached"),
        (summary.shared_now, "duplicate" if summary.shared_now == 1 else "duplicates"),
    )
    parts = [f"{fmt.count(count)} {what}" for count, what in counts if count]
    if summary.by_batch_now and summary.by_batch_now < summary.answered_now:
        parts[0] += f" ({fmt.count(summary.by_batch_now)} by batch)"
    parts += [f"{fmt.money(summary.saved)} saved"] if summary.saved else []
    if parts:
        yield SummaryLine("answers", " · ".join(parts))


def _spent(summary: RunSummary) -> str:
    text = _at_least(summary) + fmt.money(summary.spent)
    if summary.cap is not None:
        text += f" of {fmt.money_exact(summary.cap)}"
        if summary.overshoot:
            text += f", which {fmt.money_exact(summary.overshoot)} may pass"
    if summary.held:
        text += f", up to {fmt.money(summary.held)} reserved"
    if summary.spent_now != summary.spent:
        text += f" ({fmt.money(summary.spent_now)} now{_expected(summary)})"
    else:
        text += _expected(summary)
    return text if summary.cost_known else f"{text}; a model without a known price answered"


def _expected(summary: RunSummary) -> str:
    """The estimate beside it: of the same answers, made before they came."""
    # An estimate that lacks answers without a price would look wrong by their cost.
    if not (summary.expected_now and summary.spent_now and summary.cost_known):
        return ""
    if summary.answered_now < _ESTIMATED_FROM:
        return ""
    off = round((summary.spent_now - summary.expected_now) * 100 / summary.expected_now)
    how = f"{fmt.count(abs(off))} % {'more' if off > 0 else 'less'} than" if off else "as in"
    # Whether and how often the API finds what it kept, no estimate of a row knows.
    without = " without the prompt cache" if summary.prompt_cache != PromptSavings() else ""
    return f", {how} the estimate of {fmt.money(summary.expected_now)}{without}"


def _rest(rest: RestOfRun | None) -> Iterator[SummaryLine]:
    """What the rows beside a sample would take."""
    if rest is None:
        return
    text = f"{counted(rest.rows, 'more row')} for about {fmt.money(rest.cost)}"
    if rest.rows:
        text += f" ({fmt.money(rest.low)} to {fmt.money(rest.high)} at 95 %)"
    if rest.seconds is not None and rest.rows:
        text += f", about {fmt.seconds(rest.seconds)}"
    yield SummaryLine("rest", text)


def _at_least(summary: RunSummary) -> str:
    return "" if summary.cost_known else "at least "


def _maybe_billed(summary: RunSummary) -> Iterator[SummaryLine]:
    """The rows were asked again, so what the API did bill of this is paid twice."""
    if summary.unknown_attempts:
        attempts = counted(summary.unknown_attempts, "request")
        text = f"up to {fmt.money(summary.unknown)} more; the cost of {attempts} is not known"
        yield SummaryLine("maybe billed:", text, "warning")


def _tokens(summary: RunSummary) -> Iterator[SummaryLine]:
    usage = summary.usage
    if not (usage.total_input or usage.output_tokens):
        return
    cached = []
    if usage.cache_read_input_tokens:
        cached.append(f"{fmt.tokens(usage.cache_read_input_tokens)} from the prompt cache")
    if usage.cache_creation_input_tokens:
        cached.append(f"{fmt.tokens(usage.cache_creation_input_tokens)} written to it")
    inside = f" ({', '.join(cached)})" if cached else ""
    text = f"{fmt.tokens(usage.total_input)} in{inside} · {fmt.tokens(usage.output_tokens)} out"
    if summary.prompt_cache.saved or summary.prompt_cache.writes:
        text += f"; prompt caching {fmt.savings(summary.prompt_cache)}"
    yield SummaryLine("tokens", text)


def _requests(summary: RunSummary) -> Iterator[SummaryLine]:
    if not summary.requests:
        return
    ahead = f" ({fmt.count(summary.prewarms)} to fill the prompt cache)"
    parts = [fmt.count(summary.requests) + (ahead if summary.prewarms else "")]
    parts += [counted(summary.retries, "retry", "retries")] if summary.retries else []
    # Nobody sees when the API asks the rows of a batch.
    if summary.answered_now > summary.by_batch_now:
        parts.append(
            f"p50 {fmt.milliseconds(summary.p50_ms)}, p95 {fmt.milliseconds(summary.p95_ms)}"
        )
    parts.append(f"{fmt.seconds(summary.wall_s)} in all")
    yield SummaryLine("requests", " · ".join([*parts, *_waited(summary.shared)]))


def _waited(shared: SharedWaits | None) -> Iterator[str]:
    """What a run had to wait for because it is not alone."""
    if shared is None:
        return
    for seconds, what in (
        (shared.away_s, "without the shared server"),
        (shared.line_s, "behind other hosts"),
        (shared.money_s, "for shared caps"),
        (shared.answers_s, "for answers of other hosts"),
    ):
        if seconds >= _WAITED_FROM_S:
            yield f"{fmt.seconds(seconds)} {what}"


def _limited_by(summary: RunSummary) -> Iterator[SummaryLine]:
    """The limit that the run waited for, if it did for long."""
    most = summary.bound_by[0] if summary.bound_by else None
    if most is None or most.seconds < max(_BOUND_FROM_S, _BOUND_FROM_SHARE * summary.wall_s):
        return
    share = fmt.percent(round(most.seconds * 100), round(summary.wall_s * 100))
    what = _BOUND_BY.get(most.reason) or limit_text(most.reason, most.limit)
    # Money is the run's, whichever model waits for it.
    whose = "" if most.reason in ("money", "spending paused") else f" ({most.model or most.pool})"
    yield SummaryLine("limited by:", f"{what}{whose}, {share} of the time")


def _failures(summary: RunSummary, *, room: int) -> list[SummaryLine]:
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
    return [
        SummaryLine("failures" if n == 0 else "", line, "failed") for n, line in enumerate(lines)
    ]


def _example(summary: RunSummary, kind: str) -> str:
    message = " ".join(summary.failure_examples.get(kind, "").split())
    short = message if len(message) <= _EXAMPLE else f"{message[: _EXAMPLE - 1]}…"
    return f": {short}" if short else ""
