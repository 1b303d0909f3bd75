"""The end of a run in at most twelve lines, and as JSON."""

from __future__ import annotations

import io
import json
import subprocess
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.core.domain import PICO_PER_USD, PromptSavings, Usage
from claudebatch.core.errors import ExitCode
from claudebatch.core.reports import Bound, RunSummary
from claudebatch.core.reports.shared_waits import SharedWaits
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.tables.run_summary import (
    final_line,
    summary_json,
    summary_lines,
)

EVERYTHING = RunSummary(
    run_id="20261122-1",
    exit_code=ExitCode.BUDGET,
    rows=2000,
    succeeded=400,
    failed=3,
    finished_before=200,
    answered_now=150,
    cached_now=47,
    shared_now=3,
    pending=1597,
    removed=2,
    spent_now=PICO_PER_USD // 3,
    spent=4_987_654_321_000,
    unknown=12_300_000_000,
    unknown_attempts=2,
    cap=5 * PICO_PER_USD,
    saved=PICO_PER_USD // 20,
    usage=Usage(123_456, 45_678, 1000, 0, 50_000),
    requests=170,
    retries=1,
    p50_ms=900,
    p95_ms=4500,
    wall_s=192.3,
    output="out.jsonl",
    stop_reason="the cap of $5.00 leaves no room for another request",
    next_command="claudebatch run prompts.jsonl --budget 10",
    failures={"invalid_request_error": 2, "timeout": 1},
    bound_by=(
        Bound("sonnet-5.5", "output tokens per minute", 180.0, 400_000.0, "claude-sonnet-5-5"),
        Bound("haiku-5.5", "rate limited", 20.0),
    ),
    simulated=True,
    prompt_cache=PromptSavings(90_000_000_000, 2_500_000_000),
)
SIMPLE = replace(
    EVERYTHING,
    exit_code=ExitCode.OK,
    rows=5,
    succeeded=5,
    failed=0,
    finished_before=0,
    answered_now=5,
    cached_now=0,
    shared_now=0,
    pending=0,
    removed=0,
    prompt_cache=PromptSavings(),
    spent_now=12_345_000_000,
    spent=12_345_000_000,
    unknown=0,
    unknown_attempts=0,
    cap=None,
    saved=0,
    usage=Usage(500, 120),
    requests=5,
    retries=0,
    wall_s=2.0,
    stop_reason=None,
    next_command=None,
    failures={},
    bound_by=(),
    simulated=False,
)


def render_summary(summary: RunSummary) -> list[str]:
    return [line for each in summary_lines(summary) for line in each.shown()]


def test_a_run_that_has_everything_to_tell_takes_twelve_lines() -> None:
    assert render_summary(EVERYTHING) == [
        "SIMULATED every answer is made up; nothing was sent, nothing was paid",
        "stopped   the cap of $5.00 leaves no room for another request",
        "rows      403 of 2,000 done: 400 ok · 3 failed · 1,597 pending (200 already done);"
        " 2 answered rows no longer in the input",
        "answers   150 from the API · 47 cached · 3 duplicates · $0.0500 saved",
        "spent     $4.99 of $5.00 ($0.3333 now)",
        "maybe billed: up to $0.0123 more; the cost of 2 requests is not known",
        "tokens    174k in (50k from the prompt cache, 1,000 written to it) · 45.7k out; "
        "prompt caching saved $0.0900 (its writes cost $0.0025)",
        "requests  170 · 1 retry · p50 900 ms, p95 4.5 s · 3 min 12 s in all",
        "limited by: 400k output tokens a minute (claude-sonnet-5-5), 93 % of the time",
        "failures  2 invalid_request_error · 1 timeout",
        "output    out.jsonl",
        "next      claudebatch run prompts.jsonl --budget 10",
    ]


def test_a_simple_run_is_told_simply() -> None:
    assert render_summary(SIMPLE) == [
        "rows      5 of 5 done: 5 ok",
        "answers   5 from the API",
        "spent     $0.0123",
        "tokens    500 in · 120 out",
        "requests  5 · p50 900 ms, p95 4.5 s · 2 s in all",
        "output    out.jsonl",
    ]


NOTHING = replace(
    SIMPLE,
    rows=24,
    succeeded=24,
    finished_before=24,
    answered_now=0,
    usage=Usage(),
    requests=0,
    spent_now=0,
)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "nothing to do: all 24 rows are done"),
        ({"succeeded": 22, "failed": 2}, "nothing to do: all 24 rows are done: 22 ok · 2 failed"),
        ({"rows": 1, "succeeded": 1, "finished_before": 1}, "nothing to do: the row is done"),
        (
            {"endings": {"complete": 20, "refused": 4}},
            "nothing to do: 24 of 24 answered: 20 complete · 4 refused",
        ),
        ({"finished_before": 23, "requests": 1}, "24 of 24 done: 24 ok (23 already done)"),
        ({"rows": 0, "succeeded": 0, "finished_before": 0}, "none in the input"),
    ],
)
def test_a_run_that_finds_nothing_to_do_says_so_and_prints_no_zeros(
    change: dict[str, Any], says: str
) -> None:
    lines = render_summary(replace(NOTHING, **change))
    assert lines[0] == f"rows      {says}"
    assert [line.split()[0] for line in lines[1:]] == ["spent", "output"] or change.get("requests")
    assert " 0 " not in "".join(lines)


@pytest.mark.parametrize(
    ("unknown", "says"),
    [
        (0, "stopped by Ctrl-C; 183 of 200 done, nothing lost"),
        (2, "stopped by Ctrl-C; 183 of 200 done"),
    ],
)
def test_a_run_stopped_by_the_user_says_what_is_done_and_whether_anything_is_lost(
    unknown: int, says: str
) -> None:
    summary = replace(
        SIMPLE,
        rows=200,
        succeeded=180,
        failed=3,
        pending=17,
        unknown_attempts=unknown,
        stop_reason="stopped by Ctrl-C",
    )
    assert render_summary(summary)[0] == says


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_line_is_wider_than_the_terminal_and_the_command_can_be_copied(width: int) -> None:
    command = "claudebatch run data/prompts.jsonl -m claude-opus-5-5 -o hard.jsonl --budget 10"
    lines = [
        line
        for each in summary_lines(replace(EVERYTHING, next_command=command))
        for line in each.shown(width)
    ]
    assert max(map(len, lines)) <= width
    start = next(n for n, line in enumerate(lines) if line.startswith("next"))
    # As a shell reads it: it prints its words.
    pasted = "\n".join(lines[start:]).removeprefix("next").replace("claudebatch", "printf '%s '")
    done = subprocess.run(["sh", "-c", pasted], capture_output=True, text=True, check=True)
    assert f"claudebatch {done.stdout}".split() == command.split()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"expected_now": 12_345_000_000}, "spent     $0.0123, as in the estimate of $0.0123"),
        (
            {"expected_now": 10_000_000_000},
            "spent     $0.0123, 23 % more than the estimate of $0.0100",
        ),
        (
            {"expected_now": 24_690_000_000, "prompt_cache": PromptSavings(saved=3)},
            "spent     $0.0123, 50 % less than the estimate of $0.0247 without the prompt cache",
        ),
        (
            {"expected_now": 24_690_000_000},
            "spent     $0.0123, 50 % less than the estimate of $0.0247",
        ),
        (
            {"expected_now": 10_000_000_000, "spent": PICO_PER_USD},
            "spent     $1.00 ($0.0123 now, 23 % more than the estimate of $0.0100)",
        ),
        ({"expected_now": 10_000_000_000, "spent_now": 0, "spent": 0}, "spent     $0.00"),
        (
            {"expected_now": 10_000_000_000, "cost_known": False},
            "spent     at least $0.0123; a model without a known price answered",
        ),
    ],
)
def test_the_estimate_stands_beside_what_the_same_answers_cost(
    change: dict[str, Any], says: str
) -> None:
    assert says in render_summary(replace(SIMPLE, answered_now=10, **change))
    few = render_summary(replace(SIMPLE, answered_now=9, **change))
    assert "estimate" not in "".join(few), "too few answers for an estimate of means"


def test_spend_without_a_known_price_is_a_lower_bound() -> None:
    [line] = [
        line
        for line in render_summary(replace(SIMPLE, cost_known=False))
        if line.startswith("spent")
    ]
    assert line == "spent     at least $0.0123; a model without a known price answered"


@pytest.mark.parametrize(
    ("seconds", "wall_s", "reason", "line"),
    [
        (
            6.0,
            60.0,
            "rate limited",
            "limited by: 429s (sonnet-5.5), 10 % of the time",
        ),
        (
            6.0,
            6.0,
            "circuit open",
            "limited by: an API that did not answer (sonnet-5.5), 100 % of the time",
        ),
        (
            6.0,
            6.0,
            "money",
            "limited by: money reserved for requests in flight, 100 % of the time",
        ),
        (4.9, 5.0, "rate limited", None),
        (6.0, 61.0, "rate limited", None),
    ],
)
def test_a_limit_is_named_only_if_it_bound_the_run_for_long(seconds, wall_s, reason, line) -> None:
    summary = replace(SIMPLE, wall_s=wall_s, bound_by=(Bound("sonnet-5.5", reason, seconds),))
    assert [found for found in render_summary(summary) if found.startswith("limited")] == (
        [line] if line else []
    )


def test_waits_for_other_hosts_are_told_where_they_were_worth_it() -> None:
    waited = SharedWaits(900, 1.9, away_s=3.0, line_s=12.0, money_s=0.9, answers_s=75.0)
    (line,) = (
        each for each in summary_lines(replace(EVERYTHING, shared=waited)) if "p50" in each.text
    )
    assert line.text.endswith(
        " in all · 3 s without the shared server · 12 s behind other hosts · 1 min 15 s for "
        "answers of other hosts"
    )
    assert summary_json(replace(EVERYTHING, shared=waited))["shared"] == {
        "round_trips": 900,
        "server_s": 1.9,
        "away_s": 3.0,
        "line_s": 12.0,
        "money_s": 0.9,
        "answers_s": 75.0,
    }
    assert summary_json(EVERYTHING)["shared"] is None


def test_many_kinds_of_failures_stay_on_one_line() -> None:
    kinds = {f"kind-{number}": number + 1 for number in range(40)}
    lines = render_summary(replace(EVERYTHING, failures=kinds))
    assert len(lines) == 12
    assert (
        lines[9]
        == "failures  40 kind-39 · 39 kind-38 · 38 kind-37 · 37 kind-36 · 36 kind-35 · 630 of "
        "other types"
    )


@given(
    st.builds(
        RunSummary,
        exit_code=st.sampled_from(ExitCode),
        usage=st.builds(Usage, *(st.integers(0, 10**12) for _ in range(6))),
        failures=st.dictionaries(st.text(), st.integers(1)),
        bound_by=st.lists(st.builds(Bound, seconds=st.floats(0, 1e9)), max_size=3).map(tuple),
        wall_s=st.floats(0, 1e9),
    )
)
def test_never_more_than_twelve_lines_and_the_next_command_is_last(summary: RunSummary) -> None:
    lines = render_summary(summary)
    assert len(lines) <= 12
    if summary.next_command:
        assert lines[-1] == f"next      {summary.next_command}"


def test_quiet_says_it_in_one_line() -> None:
    assert final_line(EVERYTHING) == (
        "SIMULATED: 400 of 2,000 rows answered, 3 failed, 1,597 pending, $4.99 spent: out.jsonl"
        "; stopped: the cap of $5.00 leaves no room for another request"
        "; next: claudebatch run prompts.jsonl --budget 10"
    )
    assert final_line(SIMPLE) == "5 of 5 rows answered, $0.0123 spent: out.jsonl"


@pytest.mark.parametrize("summary", [EVERYTHING, SIMPLE])
def test_the_json_has_every_field_and_exact_dollars(summary: RunSummary) -> None:
    found = json.loads(json_line(summary_json(summary)))
    money = {"spent", "spent_now", "expected_now", "unknown", "cap", "saved", "overshoot", "held"}
    cached = {"prompt_cache_saved_usd", "prompt_cache_writes_usd"}
    assert set(found) == cached | {
        f"{f.name}_usd" if f.name in money else f.name
        for f in fields(RunSummary)
        if f.name != "prompt_cache"
    }
    assert Decimal(found["spent_usd"]) * PICO_PER_USD == summary.spent
    assert found["exit_code"] == int(summary.exit_code)
    assert found["usage"]["input_tokens"] == summary.usage.input_tokens
    assert io.StringIO(json_line(found)).readlines() == [json_line(found)]
