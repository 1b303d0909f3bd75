"""The end of a run in at most twelve lines, and as JSON."""

from __future__ import annotations

import io
import json
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.core.domain import PICO_PER_USD, Usage
from claudebatch.core.errors import ExitCode
from claudebatch.core.reports import Bound, RunSummary
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.tables.run_summary import final_line, render_summary, summary_json

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
        Bound("sonnet-5.5", "output tokens per minute", 180.0),
        Bound("haiku-5.5", "rate limited", 20.0),
    ),
    simulated=True,
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


def test_a_run_that_has_everything_to_tell_takes_twelve_lines() -> None:
    assert render_summary(EVERYTHING) == [
        "SIMULATED every answer is made up; nothing was sent to the API and nothing was paid",
        "stopped   the cap of $5.00 leaves no room for another request",
        "rows      400 ok · 3 failed · 1,597 pending of 2,000 (200 finished before);"
        " 2 answered rows no longer in the input",
        "answers   150 from the API · 47 cached · 3 shared · $0.0500 saved",
        "spent     $4.99 of $5.00 ($0.3333 in this session)",
        "unknown   up to $0.0123 more: nobody knows what 2 requests cost",
        "tokens    174k in (50k read from the prompt cache, 1,000 written to it) · 45.7k out",
        "requests  170 · 1 retry · p50 900 ms, p95 4.5 s · 3 min 12 s in all",
        "pace      bound by output tokens per minute of sonnet-5.5 for 3 min (93 % of the time)",
        "failures  2 invalid_request_error · 1 timeout",
        "output    out.jsonl",
        "next      claudebatch run prompts.jsonl --budget 10",
    ]


def test_a_simple_run_is_told_simply() -> None:
    assert render_summary(SIMPLE) == [
        "rows      5 ok · 0 failed · 0 pending of 5",
        "answers   5 from the API · 0 cached · 0 shared",
        "spent     $0.0123",
        "tokens    500 in · 120 out",
        "requests  5 · 0 retries · p50 900 ms, p95 4.5 s · 2 s in all",
        "output    out.jsonl",
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"expected_now": 12_345_000_000}, "spent     $0.0123, as in the estimate of $0.0123"),
        (
            {"expected_now": 10_000_000_000},
            "spent     $0.0123, 23 % more than the estimate of $0.0100",
        ),
        (
            {"expected_now": 24_690_000_000},
            "spent     $0.0123, 50 % less than the estimate of $0.0247",
        ),
        (
            {"expected_now": 10_000_000_000, "spent": PICO_PER_USD},
            "spent     $1.00 ($0.0123 in this session, 23 % more than the estimate of $0.0100)",
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
    assert says in render_summary(replace(SIMPLE, **change))


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
            "pace      bound by 429s of sonnet-5.5 for 6 s (10 % of the time)",
        ),
        (
            6.0,
            6.0,
            "circuit open",
            "pace      bound by the open breaker of sonnet-5.5 for 6 s (100 % of the time)",
        ),
        (
            6.0,
            6.0,
            "money",
            "pace      bound by money set aside for requests in flight of sonnet-5.5 for 6 s "
            "(100 % of the time)",
        ),
        (4.9, 5.0, "rate limited", None),
        (6.0, 61.0, "rate limited", None),
    ],
)
def test_a_limit_is_named_only_if_it_bound_the_run_for_long(seconds, wall_s, reason, line) -> None:
    summary = replace(SIMPLE, wall_s=wall_s, bound_by=(Bound("sonnet-5.5", reason, seconds),))
    assert [found for found in render_summary(summary) if found.startswith("pace")] == (
        [line] if line else []
    )


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
    money = {"spent", "spent_now", "expected_now", "unknown", "cap", "saved", "overshoot"}
    assert set(found) == {
        f"{f.name}_usd" if f.name in money else f.name for f in fields(RunSummary)
    }
    assert Decimal(found["spent_usd"]) * PICO_PER_USD == summary.spent
    assert found["exit_code"] == int(summary.exit_code)
    assert found["usage"]["input_tokens"] == summary.usage.input_tokens
    assert io.StringIO(json_line(found)).readlines() == [json_line(found)]
