"""Estimates as text that lines up, and as JSON that is exact."""

from __future__ import annotations

from dataclasses import replace

import pytest

from claudebatch.core.domain import PICO_PER_USD
from claudebatch.core.reports import (
    Basis,
    BatchTimes,
    Elsewhere,
    Estimate,
    EstimateLine,
    PromptCacheUse,
    Way,
)
from claudebatch.ui.tables.estimate_tables import estimate_json, render_estimate

CENT = PICO_PER_USD // 100
SHORT = EstimateLine(
    "claude-haiku-5-5",
    "short",
    1500,
    90,
    1_234_567,
    345_678,
    12 * CENT,
    50 * CENT,
    210 * CENT,
    request_bytes=3_703_701,
    inputs=Basis("history", 400, 0.93),
    outputs=Basis("history", 400, error=0.05, low=80, high=12_000),
)
HARD = EstimateLine(
    "claude-opus-5-5",
    "hard",
    270,
    0,
    98_765,
    54_321,
    90 * CENT,
    120 * CENT,
    410 * CENT,
    request_bytes=276_542,
    inputs=Basis("counted", 20, 1.02, error=0.0123),
)
ELSEWHERE = (
    Elsewhere("claude-haiku-5-5", 55 * CENT, 27 * CENT),
    Elsewhere("claude-haiku-4-5", 57 * CENT, 29 * CENT, newest=False),
    Elsewhere("claude-opus-5-5", 300 * CENT, 150 * CENT),
)
ESTIMATE = Estimate(
    2000,
    200,
    30,
    (SHORT, HARD),
    5 * PICO_PER_USD,
    "out.jsonl",
    200.0,
    "requests per minute",
    "haiku-5.5",
    batch=85 * CENT,
    elsewhere=ELSEWHERE,
)


def test_an_estimate_shows_routes_totals_sources_of_its_numbers_and_the_cap() -> None:
    assert render_estimate(ESTIMATE) == [
        "2,000 rows, 200 already done, 30 duplicates (sent once)",
        "model             rule    rows  cached  input  output      low  expected  worst",
        "claude-haiku-5-5  short  1,500      90  1.23M    346k  $0.1200   $0.5000  $2.10",
        "claude-opus-5-5   hard     270       0  98.8k   54.3k  $0.9000     $1.20  $4.10",
        "total                    1,770      90  1.33M    400k    $1.02     $1.70  $6.20",
        "About 3 min 20 s, limited by requests per minute (haiku-5.5).",
        "Worst case $6.20 is above your cap of $5.00: the run may stop early (resumable); it "
        "never spends more.",
        "Nothing was sent but 20 rows to be counted, which is free. Results would go to out.jsonl",
        "",
        "Measured on 400 earlier answers: 80–12k tokens each, total ± 5 %.",
        "No history yet: may be off by 2×. Run -n 50 first for a better estimate.",
        "",
        "the other rows on  expected  Batches API",
        "as it is              $1.70      $0.8500",
        "claude-haiku-5-5    $0.5500      $0.2700",
        "claude-opus-5-5       $3.00        $1.50",
        "Cached answers are free as it is; another model is asked for answers of its own.",
    ]


def test_with_details_every_number_says_what_it_rests_on() -> None:
    lines = render_estimate(ESTIMATE, details=True)
    start = lines.index("") + 1
    assert lines[start : start + 4] == [
        "tokens of         rule   bytes for a token                      answers",
        "claude-haiku-5-5  short  3.00, from 400 answers                 "
        "80–12k (total ± 5.0 %), from 400 answers",
        "claude-opus-5-5   hard   2.80 (total ± 1.2 %), 20 rows counted  a guess",
        "No history yet: may be off by 2×. Run -n 50 first for a better estimate.",
    ]


@pytest.mark.parametrize(("width", "gone"), [(80, []), (70, ["input"]), (40, ["input", "output"])])
def test_a_narrow_terminal_drops_columns_and_keeps_lines_whole(width: int, gone: list[str]) -> None:
    lines = render_estimate(ESTIMATE, width=width)
    header = next(line for line in lines if line.startswith("model"))
    assert len(header) <= width and "expected" in header and "worst" in header
    assert not [name for name in gone if f" {name} " in header]


def test_the_other_models_are_asked_for_all_rows_unless_some_are_finished() -> None:
    lines = render_estimate(replace(ESTIMATE, finished=0))
    assert any(line.startswith("all rows on") for line in lines)
    assert any("Cached answers" in line for line in lines)
    fresh = replace(
        ESTIMATE, finished=0, lines=tuple(replace(line, cached=0) for line in ESTIMATE.lines)
    )
    assert not any("Cached answers" in line for line in render_estimate(fresh))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (400, "No history yet: may be off by 2×. Run -n 50 first for a better estimate."),
        (399, "No history yet: may be off by 2×."),
    ],
)
def test_without_a_history_a_large_run_is_told_how_to_get_one(rows: int, says: str) -> None:
    guessed = replace(HARD, inputs=Basis("rule"))
    estimate = replace(ESTIMATE, rows=rows, lines=(guessed,), elsewhere=())
    lines = render_estimate(estimate)
    assert lines[-2:] == ["", says]
    assert len(lines) == 8


def test_no_column_is_all_zeros() -> None:
    fresh = replace(ESTIMATE, lines=tuple(replace(line, cached=0) for line in ESTIMATE.lines))
    assert " cached " not in render_estimate(fresh)[1]


def test_as_json_every_number_says_where_it_comes_from() -> None:
    found = estimate_json(ESTIMATE)
    short, hard = found["routes"]
    assert short["input_basis"] == {"method": "history", "sample": 400, "factor": 0.93}
    assert short["output_basis"] == {
        "method": "history",
        "sample": 400,
        "standard_error": 0.05,
        "low": 80,
        "high": 12_000,
    }
    assert short["bytes_per_token"] == 3.0
    assert hard["input_basis"] == {
        "method": "counted",
        "sample": 20,
        "factor": 1.02,
        "standard_error": 0.0123,
    }
    assert hard["output_basis"] == {"method": "rule"}
    assert found["batch_usd"] == "0.85"
    assert found["elsewhere"][1] == {
        "model": "claude-haiku-4-5",
        "expected_usd": "0.57",
        "batch_usd": "0.29",
    }


@pytest.mark.parametrize(
    ("cap", "says"),
    [
        (None, "No cap is set: --budget USD sets one."),
        (620 * CENT, "Your cap of $6.20 covers the worst case of $6.20."),
        (620 * CENT - 1, "Worst case $6.20 is above your cap of $6.199999999999: "),
    ],
)
def test_the_cap_is_compared_exactly(cap: int | None, says: str) -> None:
    estimate = replace(ESTIMATE, cap=cap)
    assert render_estimate(estimate)[6].startswith(says)
    assert estimate_json(estimate)["worst_exceeds_cap"] is ("above" in says)


def test_an_unknown_price_is_never_shown_as_nothing() -> None:
    estimate = replace(
        ESTIMATE, lines=(SHORT, replace(HARD, price_known=False, low=0, expected=0, worst=0))
    )
    lines = render_estimate(estimate)
    assert "unknown" in lines[3]
    assert "$2.10 + unknown" in lines[4]
    assert "cannot be kept" in lines[6]
    assert not any(line.startswith("as it is") for line in lines)
    found = estimate_json(estimate)
    assert (found["worst_usd"], found["routes"][1]["worst_usd"], found["worst_exceeds_cap"]) == (
        None,
        None,
        True,
    )


CACHE = PromptCacheUse(
    4,
    80,
    written_tokens=26_900,
    read_tokens=511_000,
    expected=105 * CENT,
    without=296 * CENT,
    unread=302 * CENT,
)


def test_what_rows_share_is_told_with_dollars_with_it_without_it_and_unread() -> None:
    lines = render_estimate(replace(ESTIMATE, prompt_cache=CACHE))
    first = lines.index(
        "Prompt cache: 80 rows share 4 beginnings; 26.9k tokens are written, 511k read."
    )
    assert lines[first + 1] == "They cost $1.05 instead of $2.96; $3.02 if nothing is read."
    assert not any("Prompt cache" in line for line in render_estimate(ESTIMATE))
    assert estimate_json(replace(ESTIMATE, prompt_cache=CACHE))["prompt_cache"] == {
        "beginnings": 4,
        "rows": 80,
        "written_tokens": 26_900,
        "read_tokens": 511_000,
        "expected_usd": "1.05",
        "without_usd": "2.96",
        "unread_usd": "3.02",
        "in_batches": {
            "rows": 0,
            "most_read_usd": "0",
            "least_read_usd": "0",
            "without_usd": "0",
        },
    }
    assert estimate_json(ESTIMATE)["prompt_cache"] is None


def test_of_batches_the_documented_range_of_hits_is_told() -> None:
    use = replace(CACHE, rows=0, batch_rows=50, batch_most=CENT, batch_fewest=9 * CENT)
    use = replace(use, batch_without=5 * CENT)
    lines = render_estimate(replace(ESTIMATE, prompt_cache=use))
    first = lines.index("Prompt cache of batches: what 50 rows share is read by chance.")
    said = "They cost $0.0100 if 98 % is read, $0.0900 if 30 %; $0.0500 without marks."
    assert lines[first + 1] == said
    # None is sent at once.
    assert sum("Prompt cache" in line for line in lines) == 1


def test_the_time_is_told_with_what_it_is_spent_on() -> None:
    assert "About 12 s." in render_estimate(replace(ESTIMATE, seconds=12.0, bound_by=None))
    found = estimate_json(ESTIMATE)
    assert (found["seconds"], found["bound_by"], found["bound_pool"]) == (
        200.0,
        "requests per minute",
        "haiku-5.5",
    )


def test_an_estimate_of_nothing_has_no_table() -> None:
    assert render_estimate(Estimate(0, 0, 0, (), None, "o")) == [
        "0 rows",
        "No cap is set: --budget USD sets one.",
        "Nothing was sent. Results would go to o",
    ]


def way(name: str, live: int, batch: int, cents: int, *, chosen: bool = False) -> Way:
    return Way(
        name,  # type: ignore[arg-type]  # one of three
        live_rows=live,
        batch_rows=batch,
        expected=cents * CENT,
        worst=4 * cents * CENT,
        seconds=60.0 * (live > 0),
        chosen=chosen,
    )


def test_the_ways_to_send_stand_beside_each_other() -> None:
    ways = (
        way("live", 1770, 0, 170),
        way("batch", 0, 1770, 85),
        way("mixed", 270, 1500, 100, chosen=True),
    )
    lines = render_estimate(replace(ESTIMATE, ways=ways, seconds=60.0, bound_by=None))
    start = lines.index("sent                    expected  worst  time")
    assert lines[start : start + 4] == [
        "sent                    expected  worst  time",
        "at once                    $1.70  $6.80  1 min",
        "by batch                 $0.8500  $3.40  unknown, up to 24 h",
        "by your rules (as set)     $1.00  $4.00  unknown, up to 24 h",
    ]
    assert "About 1 min; 1,500 rows by batch: unknown, up to 24 h." in lines


def test_batches_that_have_ended_say_how_long_they_take() -> None:
    ways = (way("live", 1770, 0, 170), way("batch", 0, 1770, 85, chosen=True))
    estimate = replace(
        ESTIMATE, ways=ways, seconds=0.0, bound_by=None, batch_times=BatchTimes(12, 1500.0, 5400.0)
    )
    lines = render_estimate(estimate)
    said = "By batch: usually 25 min, nine in ten within 1 h 30 min (12 earlier batches)."
    assert said in lines
    found = estimate_json(estimate)
    assert found["batch_rows"] == 1770
    assert found["batch_times"] == {"batches": 12, "usual_seconds": 1500.0, "slow_seconds": 5400.0}
    assert [(one["way"], one["expected_usd"]) for one in found["ways"]] == [
        ("live", "1.7"),
        ("batch", "0.85"),
    ]


def test_where_nothing_can_go_by_batch_no_way_is_shown() -> None:
    ways = (way("live", 9, 0, 5, chosen=True), way("batch", 9, 0, 5))
    assert "at once" not in "\n".join(render_estimate(replace(ESTIMATE, ways=ways)))
