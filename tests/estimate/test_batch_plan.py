"""The split under a deadline: never later than it, never dearer than sending all at
once, within the cap; whatever batches do.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.estimate.batch_plan import (
    CANCEL_S,
    LONGEST_S,
    MARGIN,
    BatchChances,
    RowGroup,
    Split,
    split,
)

HOUR = 3600.0
DOLLAR = 10**12


def group(name: str = "a", **more: object) -> RowGroup:
    facts = {"rows": 1000, "seconds": 600.0, "live": 10 * DOLLAR, "batch": 5 * DOLLAR}
    facts |= {"pool": "sonnet", "batch_worst": 50 * DOLLAR, **more}
    return RowGroup(name, **facts)  # type: ignore[arg-type]  # a name for each


@st.composite
def some_groups(draw: st.DrawFn) -> list[RowGroup]:
    found = []
    for number in range(draw(st.integers(0, 5))):
        live = draw(st.integers(0, 50 * DOLLAR))
        # A batch may be dearer than half, or than the whole: searches, lost cache hits.
        batch = int(live * draw(st.floats(0.4, 1.3)))
        found.append(
            RowGroup(
                f"g{number}",
                draw(st.sampled_from(["opus", "haiku"])),
                rows=draw(st.integers(1, 100_000)),
                seconds=draw(st.floats(0, 3 * HOUR) | st.floats(0, 30 * HOUR)),
                live=live,
                batch=batch,
                batch_worst=int(batch * draw(st.floats(1, 20))),
                waits=draw(st.booleans()),
                sent=draw(st.booleans()) and draw(st.booleans()),
            )
        )
    return found


def lived(
    groups: list[RowGroup], plan: Split, batch_s: float, cancel_s: float, start_s: float
) -> tuple[float, float]:
    """(seconds, dollars) of a run by *plan*, where its batches take *batch_s*, or once
    they are given up end after *cancel_s* without any answer.
    """
    late = plan.give_up_s is not None and batch_s > plan.give_up_s
    back_at = plan.give_up_s + cancel_s if late and plan.give_up_s is not None else batch_s
    ends, dollars = dict[str, float](), 0.0
    for one in groups:
        share = plan.batch_rows.get(one.name, 0) / one.rows
        ends[one.pool] = ends.get(one.pool, start_s) + one.seconds * (1 - share)
        dollars += one.live * (1 - share) + share * (one.live if late else one.batch)
    for one in groups:
        if rows := plan.batch_rows.get(one.name, 0):
            ends[one.pool] = max(ends[one.pool], back_at)
            if late:
                ends[one.pool] += one.seconds * rows / one.rows
    return max(ends.values(), default=0.0), dollars


@settings(max_examples=400)
@given(
    some_groups(),
    st.lists(st.floats(1, LONGEST_S), max_size=40),
    st.floats(60, 6 * HOUR) | st.floats(60, 60 * HOUR),
    st.floats(0, 60),
    st.none() | st.integers(0, 300 * DOLLAR),
    st.floats(1, LONGEST_S),
    st.floats(0, CANCEL_S),
)
def test_never_late_where_all_at_once_is_not_never_dearer_and_within_the_cap(
    groups, past, deadline, start, left, batch_s, cancel_s
):
    plan = split(groups, BatchChances(past), deadline_s=deadline, start_s=start, left=left)
    at_once = replace(plan, batch_rows={}, give_up_s=None)
    live_s, live = lived(groups, at_once, 0.0, 0.0, start)
    seconds, dollars = lived(groups, plan, batch_s, cancel_s, start)
    if live_s <= deadline:
        assert seconds <= deadline * (1 + 1e-9)
    assert seconds <= plan.latest_s * (1 + 1e-9) + start
    assert dollars <= live * (1 + 1e-9)
    assert plan.expected <= plan.live
    if plan.batch_rows:
        assert plan.latest_s <= deadline * (1 - MARGIN) * (1 + 1e-9)
    # What is in batches holds its money already.
    unsent = [one for one in groups if not one.sent]
    live = sum(one.live for one in unsent)
    if left is not None and plan.batch_rows and live <= left:
        held = sum(one.batch_worst * plan.batch_rows.get(one.name, 0) / one.rows for one in unsent)
        needed = sum(one.live * (1 - plan.batch_rows.get(one.name, 0) / one.rows) for one in unsent)
        assert held + needed <= left * (1 + 1e-9) + len(groups)
    # Where not even all at once can be paid, half the price answers more of them.
    if left is not None and live > left:
        uncapped = split(groups, BatchChances(past), deadline_s=deadline, start_s=start)
        assert plan == uncapped
    by_name = {one.name: one for one in groups}
    for name, rows in plan.batch_rows.items():
        assert 0 < rows <= by_name[name].rows
        if by_name[name].sent:
            assert rows == by_name[name].rows, "they are in a batch, whatever is planned"
            continue
        assert by_name[name].waits
        assert by_name[name].batch < by_name[name].live


@given(
    st.lists(st.floats(1, LONGEST_S), max_size=40),
    st.floats(0, 2 * LONGEST_S),
    st.floats(0, LONGEST_S),
)
def test_a_batch_is_certain_after_a_day_and_never_less_likely_later(past, seconds, more):
    chances = BatchChances(past)
    assert 0 <= chances.within(seconds) <= chances.within(seconds + more) <= 1
    assert chances.within(LONGEST_S) == 1
    if seconds < LONGEST_S:
        assert chances.within(seconds) < 1


def test_with_a_day_and_time_to_spare_everything_goes_by_batch():
    plan = split([group()], BatchChances(), deadline_s=30 * HOUR)
    assert plan.batch_rows == {"a": 1000}
    assert plan.chance == 1
    assert plan.expected == 5 * DOLLAR


def test_a_short_deadline_sends_a_part_by_batch_and_leaves_time_to_give_up():
    # Fifty minutes of work within two hours: not all of it can wait for long.
    plan = split([group(seconds=3000.0)], BatchChances([900.0] * 50), deadline_s=2 * HOUR)
    assert plan.give_up_s is not None
    assert plan.give_up_s >= 900
    assert plan.batch_rows == {"a": 1000}
    assert plan.latest_s <= 2 * HOUR * (1 - MARGIN)
    tighter = split([group(seconds=3000.0)], BatchChances([900.0] * 50), deadline_s=4000)
    assert 0 < tighter.batch_rows["a"] < 1000


@pytest.mark.parametrize("deadline", [300.0, 700.0])
def test_without_time_all_is_sent_at_once(deadline):
    plan = split([group()], BatchChances(), deadline_s=deadline)
    assert (plan.batch_rows, plan.give_up_s, plan.expected) == ({}, None, 10 * DOLLAR)


def test_what_saves_most_for_its_time_goes_by_batch_first():
    dear, cheap = group("dear", live=100 * DOLLAR, batch=50 * DOLLAR), group("cheap")
    plan = split([cheap, dear], BatchChances([60.0] * 50), deadline_s=1700)
    assert plan.batch_rows.get("dear", 0) > plan.batch_rows.get("cheap", 0)


def test_a_cap_keeps_dollars_for_what_is_sent_at_once():
    free = split([group()], BatchChances(), deadline_s=30 * HOUR)
    capped = split([group()], BatchChances(), deadline_s=30 * HOUR, left=20 * DOLLAR)
    assert free.batch_rows == {"a": 1000}
    # Each holds 5 cents and costs one at once: a quarter leaves 7.50 for the others.
    assert capped.batch_rows == {"a": 250}


def test_a_cap_below_the_price_of_all_at_once_pays_for_more_of_them_by_batch():
    plan = split([group()], BatchChances(), deadline_s=30 * HOUR, left=6 * DOLLAR)
    assert plan.batch_rows == {"a": 1000}


def test_what_batches_hold_already_takes_no_dollars_from_the_plan_of_others():
    sent = group("sent", sent=True)
    plan = split([group(), sent], BatchChances(), deadline_s=30 * HOUR, left=20 * DOLLAR)
    # As without it: a quarter leaves 7.50 for the others.
    assert plan.batch_rows == {"a": 250, "sent": 1000}


def test_rows_in_batches_leave_less_time_to_others():
    free = split([group(seconds=3000.0)], BatchChances(), deadline_s=2 * HOUR)
    sent = group("sent", seconds=2500.0, sent=True)
    beside = split([group(seconds=3000.0), sent], BatchChances(), deadline_s=2 * HOUR)
    assert free.give_up_s is not None
    assert beside.give_up_s is not None
    assert beside.give_up_s < free.give_up_s or beside.batch_rows["a"] < free.batch_rows["a"]
    assert beside.batch_rows["sent"] == 1000


def test_batches_are_given_up_as_late_as_their_rows_allow():
    plan = split([group()], BatchChances([60.0] * 50), deadline_s=4 * HOUR)
    assert plan.give_up_s == pytest.approx(4 * HOUR * (1 - MARGIN) - CANCEL_S - 600)
    # But a batch that has lasted a day has ended.
    assert split([group()], BatchChances(), deadline_s=60 * HOUR).give_up_s == LONGEST_S


def test_in_a_rehearsal_a_day_of_batches_is_shorter():
    fast = BatchChances(pace=60.0)
    assert fast.longest_s == LONGEST_S / 60
    assert fast.within(60.0) == pytest.approx(BatchChances().within(HOUR))
    plan = split([group(seconds=1.0)], fast, deadline_s=0.6 * HOUR, cancel_s=CANCEL_S / 60)
    assert plan.chance == 1


@pytest.mark.parametrize("hours", [1, 2, 24, 30])
def test_rows_that_take_no_time_to_speak_of_are_planned_as_well(hours):
    groups = [group(seconds=5e-324), group("sent", sent=True), group("c", seconds=0.0)]
    plan = split(groups, BatchChances(), deadline_s=hours * HOUR)
    assert plan.batch_rows["sent"] == 1000
    assert plan.batch_rows["c"] == 1000
