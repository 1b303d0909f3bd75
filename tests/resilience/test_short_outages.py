"""A short outage with few rows left costs little time, and no row more requests than
`max_attempts`.

Seconds beyond the outage, before and now, of 20 rows that are left of 80 (8 in flight,
529s); in brackets the rows that failed for it:

| outage | 2 attempts | 3 | 8 |
|---|---|---|---|
| 2 s | 24 → 7 | 24 → 4 | 24 → 4 |
| 5 s | 21 → 4 | 21 → 5 | 21 → 5 |
| 20 s | 20 → 9 (2) | 20 → 9 | 20 → 9 |
| 60 s | 15 → 56 (4) | 15 → 16 | 15 → 11 |
| 200 s | 23 → 35 (5) | 23 → 21 | 23 → 9 |

Before, rows had up to 4 requests where they had 2 attempts. Of 16 rows with three, all
500s from the start, an outage of 5 s took 308 s; now 11 s.
"""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from claudebatch.clients import error_table
from claudebatch.core.domain import Call
from tests.resilience.driver import Happening, Ran, refused, reset, run, status_error
from tests.resilience.test_bad_rows import KINDS
from tests.support.virtual import virtual

OUTAGES = {"500": lambda: status_error(500), "529": lambda: status_error(529), "reset": reset}


async def cut_short(
    make: object, *, lasts_s: float, before: int, left: int, attempts: int
) -> tuple[Ran, float]:
    """A run whose last *left* rows meet an outage; and when it began."""
    rng, began = random.Random(0), [math.inf]

    def fate(call: Call, earlier: int, at: float) -> Happening:
        if call.row >= before:
            began[0] = min(began[0], at)
        if began[0] <= at < began[0] + lasts_s:
            return 0.1 * rng.uniform(0.5, 1.5), make()  # type: ignore[operator]
        return 0.3 * rng.uniform(0.5, 1.5), None

    policy = {"max_attempts": attempts}
    return await run(before + left, fate, workers=8, retry=policy), began[0]


@pytest.mark.parametrize("attempts", [2, 3, 8])
@pytest.mark.parametrize("left", [1, 3, 20])
@pytest.mark.parametrize("before", [0, 60])
@pytest.mark.parametrize("kind", OUTAGES)
@virtual
async def test_five_seconds_of_outage_lose_no_row_and_little_time(kind, before, left, attempts):
    ran, began = await cut_short(
        OUTAGES[kind], lasts_s=5, before=before, left=left, attempts=attempts
    )
    assert (len(ran.succeeded), ran.failed, ran.ended.stop) == (before + left, [], None)
    assert max(Counter(call.row for _, call in ran.api.came).values()) <= attempts
    assert ran.wall_s - began <= 5 + 12


@pytest.mark.parametrize("lasts_s", [20, 60, 200])
@pytest.mark.parametrize("attempts", [2, 3, 5, 8])
@virtual
async def test_an_outage_costs_no_more_than_its_own_time_again(attempts, lasts_s):
    ran, began = await cut_short(
        OUTAGES["529"], lasts_s=lasts_s, before=60, left=20, attempts=attempts
    )
    assert ran.wall_s - began <= 2 * lasts_s + 8
    assert max(Counter(call.row for _, call in ran.api.came).values()) <= attempts
    # Only where no row has more than its last attempt, one is made in each doubling.
    assert len(ran.failed) <= (math.log2(lasts_s / 6) + 1 if attempts == 2 else 0)


@pytest.mark.parametrize("left", [1, 20])
@pytest.mark.parametrize("attempts", [1, 3])
@virtual
async def test_what_never_left_uses_up_no_attempt(attempts, left):
    ran, began = await cut_short(refused, lasts_s=200, before=20, left=left, attempts=attempts)
    assert (len(ran.succeeded), ran.failed, ran.ended.stop) == (20 + left, [], None)
    assert ran.wall_s - began <= 200 + 15


@virtual
async def test_where_nobody_listens_the_longest_outage_is_over_in_time_and_no_row_failed():
    ran, _ = await cut_short(refused, lasts_s=math.inf, before=0, left=1, attempts=2)
    assert ran.ended.stop is not None and ran.ended.stop.exit_code == 5
    assert ran.failed == [] and 899 <= ran.wall_s <= 902


@pytest.mark.parametrize("kind", KINDS)
@virtual
async def test_slow_answers_to_what_was_sent_after_the_failures_undo_the_breaker(kind):
    """Twelve of fifteen fail at once, again and again, before the first answer."""
    bad = set(range(0, 15, 2)) | {1, 3, 5, 7}

    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.1, KINDS[kind]()) if call.row in bad else (4.0, None)

    ran = await run(15, fate, workers=16)
    assert ran.ended.stop is None and {outcome.call.row for outcome in ran.failed} == bad
    assert ran.wall_s <= 185, "before: ended with 5 after 903 s"


@pytest.mark.parametrize("kind", KINDS)
@virtual
async def test_rows_that_fail_before_an_answer_and_right_after_it_are_bad(kind):
    """Four of five, first in the file; the good one is served as a probe."""

    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.02, KINDS[kind]()) if call.row < 4 else (1.0, None)

    ran = await run(5, fate, workers=4, max_outage="1m")
    assert ran.ended.stop is None and len(ran.succeeded) == 1 and len(ran.failed) == 4


@pytest.mark.parametrize("seed", range(12))
@virtual
async def test_a_real_outage_of_a_short_file_fails_none_of_its_rows(seed):
    rng = random.Random(seed)
    rows, served = rng.choice([5, 8, 15, 30]), rng.choice([1, 2])
    make = rng.choice([*OUTAGES.values(), refused, lambda: error_table.timed_out(0.2)])
    count = 0

    def fate(call: Call, before: int, at: float) -> Happening:
        nonlocal count
        count += 1
        out = count > served and at < 150.0
        return (rng.uniform(0.02, 0.5), make()) if out else (rng.uniform(0.2, 2), None)

    ran = await run(rows, fate, workers=rng.choice([4, 16, 64]))
    assert (len(ran.succeeded), ran.failed, ran.ended.stop) == (rows, [], None)
    assert ran.wall_s <= 310
