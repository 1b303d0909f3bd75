"""The plan for a deadline, as a run says it and as its events have it."""

from __future__ import annotations

from dataclasses import replace

from claudebatch.ui.live.plan_text import plan_event_json, plan_news
from tests.ui.screens.samples import CENT, LATER, PLAN


def test_it_says_what_goes_where_what_it_costs_and_when_batches_are_given_up() -> None:
    first, second = plan_news(PLAN)
    assert first == (
        "plan for 2026-11-22 18:00: 900 rows by batch, about $4.10; 100 rows at once, about "
        "$0.9500 and 4 min"
    )
    assert "by 2026-11-22 16:02 are canceled" in second
    assert second.endswith("71 in 100 end before, by 14 earlier batches")


def test_without_history_the_odds_are_unknown() -> None:
    unknown = replace(PLAN, plan=replace(PLAN.plan, past_batches=0))
    assert "the odds are unknown" in list(plan_news(unknown))[1]


def test_where_no_batch_can_be_waited_for_all_goes_at_once() -> None:
    none = replace(PLAN.plan, give_up_s=None, parts=(replace(PLAN.plan.parts[1], live_rows=7),))
    (line,) = plan_news(replace(PLAN, plan=none, give_up_ms=None))
    assert line.startswith("plan for 2026-11-22 18:00: 7 rows at once")
    assert line.endswith("no batch can be waited for")
    # What an earlier session sent is given up, all the same.
    assert len(list(plan_news(replace(PLAN, plan=none)))) == 2


def test_of_no_rows_nothing_is_said() -> None:
    assert list(plan_news(replace(PLAN, plan=replace(PLAN.plan, parts=())))) == []


def test_a_cap_that_does_not_pay_for_all_at_once_is_told() -> None:
    poor = replace(PLAN, plan=replace(PLAN.plan, left=500 * CENT))
    line = list(plan_news(poor))[1]
    assert line.startswith("plan: $5.00 are left of the cap, and all at once would take about $9")
    enough = replace(PLAN, plan=replace(PLAN.plan, left=915 * CENT))
    assert len(list(plan_news(enough))) == 2


def test_a_revised_plan_tells_the_new_moment() -> None:
    (line,) = plan_news(LATER)
    assert line.endswith("the other 300 rows have until 2026-11-22 16:50")
    found = plan_event_json(LATER)
    assert (found["revised"], found["waiting_rows"]) == (True, 300)
    assert found["give_up_at"] > str(plan_event_json(PLAN)["give_up_at"])
    assert plan_event_json(PLAN)["waiting_rows"] == 900
