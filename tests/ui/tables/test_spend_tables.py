"""Spend as text that lines up, and as JSON that is exact."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from claudebatch.core.domain import PICO_PER_USD, Usage
from claudebatch.core.reports import SpendLine
from claudebatch.ui.tables.spend_data import spend_json
from claudebatch.ui.tables.spend_tables import render_spend

CENT = PICO_PER_USD // 100
SPEND = [
    SpendLine(
        "20261120-1",
        attempts=1200,
        answers=1180,
        usage=Usage(2_000_000, 300_000, 1000, cache_read_input_tokens=50_000),
        spent=12_345 * CENT // 10,
        note="2026-11-20 a.jsonl",
        models=("claude-opus-5-5", "claude-haiku-5-5"),
        output="a.jsonl",
    ),
    SpendLine(
        "20261122-1",
        attempts=5,
        answers=4,
        usage=Usage(900, 80),
        spent=CENT // 3,
        unknown=CENT,
        note="2026-11-22 b.jsonl",
        models=("claude-opus-5-5",),
        output="b.jsonl",
    ),
]


def test_spend_is_a_line_each_and_a_total() -> None:
    assert render_spend(SPEND, "run")[:4] == [
        "run         model               requests  answers  input  cache write  cache read"
        "  output    spent  maybe billed  file",
        "20261120-1  claude-opus-5-5 +1     1,200    1,180     2M        1,000         50k"
        "    300k   $12.35             -  a.jsonl",
        "20261122-1  claude-opus-5-5            5        4    900            0           0"
        "      80  $0.0033       $0.0100  b.jsonl",
        "total                              1,205    1,184     2M        1,000         50k"
        "    300k   $12.35       $0.0100",
    ]


def test_what_the_prompt_cache_saved_or_cost_is_told() -> None:
    saved = replace(SPEND[0], saved_prompt=25 * CENT, prompt_writes=3 * CENT)
    lost = replace(SPEND[0], saved_prompt=-CENT, prompt_writes=3 * CENT)
    assert "The API's prompt cache saved $0.2500 (its writes cost $0.0300)." in render_spend(
        [saved], "run"
    )
    assert "The API's prompt cache cost $0.0100 more (its writes cost $0.0300)." in render_spend(
        [lost], "run"
    )
    assert not any("prompt cache" in line for line in render_spend(SPEND, "run"))


def test_at_80_columns_the_columns_stay_that_were_asked_for() -> None:
    runs = [
        replace(line, label=f"2026112{n}T081740-0e06ac", saved_cache=CENT)
        for n, line in enumerate(SPEND)
    ]
    lines = render_spend(runs, "run", width=80)
    assert lines[:2] == [
        "run              model        answers    spent  maybe billed    saved  file",
        "20261120T081740  opus-5-5 +1    1,180   $12.35             -  $0.0100  a.jsonl",
    ]
    assert max(map(len, render_spend(runs, "run", width=40)[:4])) <= 40


def test_runs_of_one_second_keep_their_whole_names() -> None:
    runs = [replace(SPEND[0], label=f"20261120T081740-0e06a{n}") for n in range(2)]
    assert [line[:22] for line in render_spend(runs, "run", width=60)[1:3]] == [
        run.label for run in runs
    ]


def test_what_is_unknown_held_saved_or_without_a_price_is_said_in_words() -> None:
    line = SpendLine(
        "r",
        spent=CENT,
        unknown=CENT,
        unknown_attempts=2,
        held=3 * CENT,
        unpriced=1,
        cached=2,
        shared=1,
    )
    found = "\n".join(
        render_spend([replace(line, saved_cache=CENT, saved_routing=5 * CENT)], "run")
    )
    assert "$0.0100+" in found.splitlines()[1], "what has no price is missing in the sum"
    assert "up to $0.0100 for 2 requests whose cost is not known" in found
    assert (
        "Reserved: $0.0300 by runs" in found
        and "1 answer came from models without a known price" in found
    )
    assert "$0.0100 (3 rows without a request)" in found and "Routing saved $0.0500" in found


def test_one_line_needs_no_total_and_none_needs_no_table() -> None:
    assert len(render_spend(SPEND[:1], "day")) == 2
    assert render_spend([], "day") == ["Nothing was spent yet."]
    assert render_spend([], "day", since=date(2026, 11, 1)) == [
        "Nothing was spent since 2026-11-01."
    ]


def test_spend_as_json_is_exact() -> None:
    found = spend_json(SPEND, "run")
    assert found["by"] == "run"
    assert found["lines"][1]["spent_usd"] == "0.003333333333"
    assert found["lines"][1]["unknown_usd"] == "0.01"
