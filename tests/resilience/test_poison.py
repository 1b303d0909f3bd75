"""R19: a row that always fails, or that takes ten minutes, is its own trouble and
nobody else's.
"""

from __future__ import annotations

import random
from collections.abc import Collection

import pytest

from claudebatch.core.domain import Call
from tests.resilience.driver import Fate, Happening, Ran, hangs, latency, run, status_error
from tests.support.virtual import virtual

ROWS = 3000


def poisoned(bad: Collection[int], how: str) -> Fate:
    """Serves every row but the *bad* ones; a row's answers take as long whatever
    happens to the others.
    """

    def fate(call: Call, before: int, at: float) -> Happening:
        if call.row not in bad:
            return latency(random.Random(call.row)), None
        return (
            hangs(call)
            if how == "hangs"
            else (600.0, None)
            if how == "slow"
            else (0.3, status_error(500))
        )

    return fate


def throughput(ran: Ran, good: int) -> float:
    """Good rows a second until nine in ten of them were done: the end of a run is as
    long as its last row.
    """
    ends = sorted(at for at, outcome in ran.outcomes if outcome.call.row < good)
    return 0.9 * good / ends[int(0.9 * good) - 1]


@pytest.mark.parametrize("how", ["fails", "hangs", "slow"])
@virtual
async def test_one_bad_row_costs_the_others_nothing(how):
    usual = throughput(await run(ROWS, poisoned((), how)), ROWS)
    ran = await run(ROWS, poisoned({70}, how), attempt_deadline="15m")
    others = [outcome for outcome in ran.succeeded if outcome.call.row != 70]
    assert len(others) == ROWS - 1
    ends = sorted(at for at, outcome in ran.outcomes if outcome.call.row != 70)
    began = min(ran.api.times)
    assert 0.9 * ROWS / (ends[int(0.9 * ROWS)] - began) >= 0.98 * usual
    assert ran.states() == [], "one row says nothing about its pool"
    assert [outcome.call.row for outcome in ran.failed] == ([] if how == "slow" else [70])


@virtual
async def test_a_bad_row_is_given_up_after_its_attempts():
    ran = await run(200, poisoned({7}, "fails"))
    (failed,) = ran.failed
    assert (failed.attempts, failed.failure.type, failed.failure.retryable) == (
        8,
        "api_error",
        True,
    )
    assert len([call for _, call in ran.api.came if call.row == 7]) == 8


@virtual
async def test_bad_rows_among_good_ones_all_come_to_their_end():
    bad = set(range(0, ROWS, 50))
    ran = await run(ROWS, poisoned(bad, "fails"))
    assert {outcome.call.row for outcome in ran.failed} == bad
    assert len(ran.succeeded) == ROWS - len(bad)
