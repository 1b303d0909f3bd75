"""Estimates, spend and the cache as text that lines up, and as JSON that is exact."""

from __future__ import annotations

from dataclasses import replace

import pytest

from claudebatch.domain import PICO_PER_USD
from claudebatch.reports import CacheStats, Estimate, EstimateLine, SpendLine
from claudebatch.ui.table import cell_width, table
from claudebatch.ui.tables import (
    cache_json,
    estimate_json,
    render_cache,
    render_estimate,
    render_spend,
    spend_json,
)

CENT = PICO_PER_USD // 100
SHORT = EstimateLine("claude-haiku-5-5", "short", 1500, 90, 1_234_567, 345_678, 12 * CENT, 50 * CENT, 210 * CENT)
HARD = EstimateLine("claude-opus-5-5", "hard", 270, 0, 98_765, 54_321, 90 * CENT, 120 * CENT, 410 * CENT)
ESTIMATE = Estimate(
    2000, 200, 30, (SHORT, HARD), 5 * PICO_PER_USD, "out.jsonl", 200.0, "requests per minute", "haiku-5.5"
)


def test_an_estimate_shows_the_routes_the_totals_and_where_the_cap_stands() -> None:
    assert render_estimate(ESTIMATE) == [
        "2,000 rows, 200 finished before, 30 duplicates (sent once)",
        "model             rule    rows  cached  input  output      low  expected  worst",
        "claude-haiku-5-5  short  1,500      90  1.23M    346k  $0.1200   $0.5000  $2.10",
        "claude-opus-5-5   hard     270       0  98.8k   54.3k  $0.9000     $1.20  $4.10",
        "total                    1,770      90  1.33M    400k    $1.02     $1.70  $6.20",
        "About 3 min 20 s, bound by requests per minute of haiku-5.5.",
        "The cap of $5.00 is $1.20 below the worst case: the run may stop early, and would never pass it.",
        "Nothing was sent. Results would go to out.jsonl",
    ]


@pytest.mark.parametrize(
    ("cap", "says"),
    [
        (None, "No cap is set: --budget USD sets one."),
        (620 * CENT, "The cap of $6.20 covers the worst case."),
        (620 * CENT - 1, "The cap of $6.199999999999 is $0.000000000001 below the worst case"),
    ],
)
def test_the_cap_is_compared_exactly(cap: int | None, says: str) -> None:
    estimate = replace(ESTIMATE, cap=cap)
    assert render_estimate(estimate)[-2].startswith(says)
    assert estimate_json(estimate)["worst_exceeds_cap"] is ("below" in says)


def test_an_unknown_price_is_never_shown_as_nothing() -> None:
    estimate = replace(ESTIMATE, lines=(SHORT, replace(HARD, price_known=False, low=0, expected=0, worst=0)))
    lines = render_estimate(estimate)
    assert "unknown" in lines[3]
    assert "$2.10 + unknown" in lines[4]
    assert "cannot be kept" in lines[6]
    found = estimate_json(estimate)
    assert (found["worst_usd"], found["routes"][1]["worst_usd"], found["worst_exceeds_cap"]) == (None, None, True)


def test_the_time_is_told_with_what_it_is_spent_on() -> None:
    assert "About 12 s, waiting for answers only." in render_estimate(replace(ESTIMATE, seconds=12.0, bound_by=None))
    found = estimate_json(ESTIMATE)
    assert (found["seconds"], found["bound_by"], found["bound_pool"]) == (200.0, "requests per minute", "haiku-5.5")


def test_an_estimate_of_nothing_has_no_table() -> None:
    assert render_estimate(Estimate(0, 0, 0, (), None, "o")) == [
        "0 rows",
        "No cap is set: --budget USD sets one.",
        "Nothing was sent. Results would go to o",
    ]


SPEND = [
    SpendLine("20261120-1", 1200, 1180, 2_000_000, 1000, 50_000, 300_000, 12_345 * CENT // 10, 0, "2026-11-20 a.jsonl"),
    SpendLine("20261122-1", 5, 4, 900, 0, 0, 80, CENT // 3, CENT, "2026-11-22 b.jsonl"),
]


def test_spend_is_a_line_each_and_a_total() -> None:
    assert render_spend(SPEND, "run") == [
        "run         requests  answers  input  cache write  cache read  output    spent  unknown",
        "20261120-1     1,200    1,180     2M        1,000         50k    300k   $12.35        -  2026-11-20 a.jsonl",
        "20261122-1         5        4    900            0           0      80  $0.0033  $0.0100  2026-11-22 b.jsonl",
        "total          1,205    1,184     2M        1,000         50k    300k   $12.35  $0.0100",
    ]


def test_one_line_needs_no_total_and_none_needs_no_table() -> None:
    assert len(render_spend(SPEND[:1], "day")) == 2
    assert render_spend([], "day") == ["Nothing is in the spend ledger yet."]


def test_spend_as_json_is_exact() -> None:
    found = spend_json(SPEND, "run")
    assert found["by"] == "run"
    assert found["lines"][1]["spent_usd"] == "0.003333333333"
    assert found["lines"][1]["unknown_usd"] == "0.01"


def test_the_cache_says_what_it_holds() -> None:
    stats = CacheStats("/home/me/.cache/claudebatch", 1234, 12_900_000, 2**31, 30 * 86400.0)
    assert render_cache(stats) == [
        "path     /home/me/.cache/claudebatch",
        "answers  1,234, kept for 30 d",
        "size     12.3 MiB of 2 GiB (0 %)",
    ]
    assert render_cache(replace(stats, ttl_s=None))[1] == "answers  1,234, kept for ever"
    assert cache_json(stats)["entries"] == 1234


def test_wide_and_hostile_labels_keep_the_columns_straight() -> None:
    lines = table("<>", ("x", "n"), [("日本語", "1"), ("\x1b[2J", "22"), ("e\u0301", "3")])
    assert {cell_width(line) for line in lines} == {len(r"\x1b[2J") + 4}
    assert r"\x1b[2J" in lines[2]
