"""A plan for a deadline as text: its parts, its odds, and three commands."""

from __future__ import annotations

from dataclasses import replace

from claudebatch.core.domain import PICO_PER_USD
from claudebatch.core.reports import DeadlinePlan, Estimate, PlanPart, Way
from claudebatch.ui.tables.plan_table import PlanCommands, plan_json, render_plan

HAIKU = "claude-haiku-5-5"
PLAN = DeadlinePlan(
    21_600.0,
    (PlanPart(HAIKU, "short", 0, 900), PlanPart(HAIKU, "urgent", 100, 0)),
    give_up_s=7200.0,
    chance=0.625,
    past_batches=0,
    latest_s=14_400.0,
    expected=7 * PICO_PER_USD,
    live_s=5400.0,
    live=10 * PICO_PER_USD,
)
BATCH = Way(
    "batch",
    live_rows=0,
    batch_rows=1000,
    expected=5 * PICO_PER_USD,
    worst=9 * PICO_PER_USD,
    seconds=0.0,
    chosen=False,
)
ESTIMATE = Estimate(1000, 0, 0, (), None, "o", ways=(BATCH,))
COMMANDS = PlanCommands("NOW", "TONIGHT", "MIXED")


def test_the_split_says_what_goes_when_it_is_given_up_and_what_each_way_costs() -> None:
    assert render_plan(PLAN, ESTIMATE, COMMANDS) == [
        "Within 6 h, with a tenth of it to spare:",
        "part      model             rule    rows",
        "by batch  claude-haiku-5-5  short    900",
        "at once   claude-haiku-5-5  urgent   100",
        "Batches that have not ended after 2 h are given up: canceled, and sent at once.",
        "62 in 100 batches end before, by what the API says of batches: this machine has seen "
        "none end.",
        "",
        "         expected  time         command",
        "now        $10.00  1 h 30 min   NOW",
        "tonight     $5.00  up to 24 h   TONIGHT",
        "mixed       $7.00  4 h at most  MIXED",
    ]


def test_history_is_named() -> None:
    lines = render_plan(replace(PLAN, past_batches=12), ESTIMATE, COMMANDS)
    said = "62 in 100 batches end before, by 12 earlier batches of this machine and what the API"
    assert any(line.startswith(said) for line in lines)


def test_without_time_for_a_batch_there_are_two_ways() -> None:
    none = replace(PLAN, give_up_s=None, parts=(PlanPart(HAIKU, "short", 1000, 0),))
    lines = render_plan(none, ESTIMATE, COMMANDS)
    assert lines[1] == "all rows at once: no batch can be waited for."
    assert not any(line.startswith("mixed") for line in lines)
    late = render_plan(replace(none, live_s=30_000.0), ESTIMATE, COMMANDS)
    assert late[0] == "Within 6 h: not even all at once, which takes about 8 h 20 min."


def test_as_json_it_has_its_parts() -> None:
    found = plan_json(PLAN)
    assert found is not None
    assert (found["batch_rows"], found["live_rows"], found["give_up_seconds"]) == (900, 100, 7200.0)
    assert [part["batch_rows"] for part in found["parts"]] == [900, 0]
    assert plan_json(None) is None
