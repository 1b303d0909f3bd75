"""What answers were expected to cost, and what says that they cost otherwise."""

from __future__ import annotations

from dataclasses import replace

from claudebatch.core.events import AttemptFinished
from claudebatch.engine.cost_drift import DriftWatch
from claudebatch.engine.expected_cost import ExpectedCost
from tests.support.scripted import make_call, make_reply

LIVE = AttemptFinished("haiku", "p", None, 100, None, False, call=make_call(), reply=make_reply())
BATCH = replace(LIVE, call=None, pool="batches", via="batch", cost=50, expected=60)


def test_answers_of_batches_are_expected_at_what_they_cost_there():
    expected = ExpectedCost(lambda call: 120)
    for event in (LIVE, BATCH, replace(BATCH, reply=None, expected=0)):
        expected(event)
    assert expected.so_far == 180


def test_rows_that_went_by_batch_say_nothing_of_those_that_are_sent_at_once():
    told = []
    sample = {"rows": 20, "weight": 2000, "ratio": 1.0, "spread": 0.0, "cost": 2000}
    rest = {"rest_rows": 100, "rest_weight": 10_000}
    watch = DriftWatch({**sample, **rest}, lambda call: 100, told.append)
    # Without their rows their cost would look as if the others had become dearer.
    for event in [BATCH] * 50 + [LIVE] * 50:
        watch(event)
    watch.look()
    assert told == []
    for _ in range(200):
        watch(replace(LIVE, cost=200))
    assert [event.id for event in told if hasattr(event, "id")] == ["W071"]
