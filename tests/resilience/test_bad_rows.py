"""Rows that always fail come to their end, and hold up nobody.

Of 500 rows at 64 in flight, by how many always fail; before this, in virtual time
and with the same seed:

| bad | before | now |
|---|---|---|
| 10 | exit 5 after 903 s, 3 failed, up to 24 requests for one row | 87 s |
| 32 | exit 5 after 903 s, none failed, up to 12 | 101 s |
| 160 | exit 5 after 1,225 s, 171 of 340 good rows done, 2 failed | 108 s |
| the first 30, 8 in flight | exit 5 after 900 s, none done or failed | 126 s |
| the last 10 | exit 5 after 904 s, none failed, up to 15 | 96 s |
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from claudebatch.clients import error_table
from claudebatch.clients.headers import HeaderFacts
from claudebatch.core.domain import Call
from claudebatch.core.tries import RowTries
from claudebatch.engine.earlier_tries import earlier_tries
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy
from claudebatch.storage.journal.failed_attempts import FailedAttempt
from tests.resilience.driver import Happening, Ran, refused, reset, run, status_error
from tests.support.virtual import now, virtual

ROWS = 500
HAIKU = "claude-haiku-5-5"
# Seven waits of at most 1, 2, 4 … 60 s.
LONGEST_WAITS_S = 123.0
NO_HEADERS = HeaderFacts(None, None, None, None, False)
KINDS = {
    "500": lambda: status_error(500),
    "reset": reset,
    "empty": lambda: error_table.bad_answer("empty", 200, NO_HEADERS),
    "garbage": lambda: error_table.connection_failed("garbage", sent=True),
}


async def run_with(bad: set[int], kind: str, rows: int = ROWS, **config: object) -> Ran:
    rng = random.Random(2)

    def fate(call: Call, before: int, at: float) -> Happening:
        if call.row in bad:
            return 0.1 * rng.uniform(0.9, 1.1), KINDS[kind]()
        return 0.3 * rng.uniform(0.5, 1.5), None

    return await run(rows, fate, **config)


def spread(count: int, rows: int = ROWS) -> set[int]:
    return set(random.Random(2).sample(range(rows), count))


def requests_of(ran: Ran) -> Counter[int]:
    return Counter(call.row for _, call in ran.api.came)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [10, 32, 160])
@virtual
async def test_every_bad_row_fails_after_its_attempts_and_the_good_ones_keep_their_pace(
    share, kind
):
    bad = spread(share)
    ran = await run_with(bad, kind)
    assert ran.ended.stop is None
    assert {outcome.call.row for outcome in ran.failed} == bad
    assert {outcome.attempts for outcome in ran.failed} == {8}
    assert {count for row, count in requests_of(ran).items() if row in bad} == {8}
    good = [at for at, outcome in ran.outcomes if outcome.call.row not in bad]
    assert len(good) == ROWS - share and max(good) - min(ran.api.times) <= 5
    assert ran.wall_s <= 1.5 * LONGEST_WAITS_S


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [10, 32, 160])
@virtual
async def test_a_session_that_starts_with_bad_rows_only_goes_on_counting(share, kind):
    ran = await run_with(
        set(range(share)),
        kind,
        share,
        earlier=lambda row: RowTries({HAIKU: 3}, {HAIKU}),
    )
    assert ran.ended.stop is None and len(ran.failed) == share
    assert set(requests_of(ran).values()) == {5}, "three of eight were made before"
    assert ran.states() == [] and ran.wall_s <= 1.5 * LONGEST_WAITS_S


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [10, 160])
@virtual
async def test_a_session_with_bad_rows_and_new_ones_goes_on_counting(share, kind):
    bad = spread(share)
    ran = await run_with(
        bad, kind, earlier=lambda row: RowTries({HAIKU: 6}, {HAIKU}) if row in bad else None
    )
    assert ran.ended.stop is None and {outcome.call.row for outcome in ran.failed} == bad
    assert {count for row, count in requests_of(ran).items() if row in bad} == {2}
    good = [at for at, outcome in ran.outcomes if outcome.call.row not in bad]
    assert len(good) == ROWS - share and max(good) - min(ran.api.times) <= 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("workers", "takes_s"), [(8, 60), (64, 30)])
@virtual
async def test_where_the_first_thirty_rows_are_the_bad_ones_the_others_are_answered(
    workers, takes_s, kind
):
    bad = set(range(30))
    ran = await run_with(bad, kind, workers=workers)
    good = [at for at, outcome in ran.outcomes if outcome.call.row not in bad]
    assert ran.ended.stop is None and {outcome.call.row for outcome in ran.failed} == bad
    assert len(good) == ROWS - 30 and max(good) - min(ran.api.times) <= takes_s


@pytest.mark.parametrize("workers", [1, 8, 64])
@virtual
async def test_an_outage_of_five_minutes_loses_no_row_and_takes_no_attempts(workers):
    rng = random.Random(3)

    def fate(call: Call, before: int, at: float) -> Happening:
        out = 20.0 <= at < 320.0
        return (0.2, status_error(500)) if out else (rng.uniform(0.5, 1.5), None)

    ran = await run(60 * workers, fate, workers=workers)
    assert (len(ran.succeeded), ran.failed, ran.ended.stop) == (60 * workers, [], None)


@virtual
async def test_an_outage_beside_bad_rows_is_still_one():
    rng, bad = random.Random(3), spread(60, 2000)

    def fate(call: Call, before: int, at: float) -> Happening:
        if call.row in bad or at >= 30.0:
            return 0.2, status_error(500)
        return rng.uniform(0.5, 1.5), None

    ran = await run(2000, fate, max_outage="5m")
    assert ran.ended.stop is not None and ran.ended.stop.exit_code == 5
    assert {outcome.call.row for outcome in ran.failed} <= bad


@pytest.mark.parametrize("workers", [1, 8, 64])
@pytest.mark.parametrize("kind", KINDS)
@virtual
async def test_bad_rows_at_the_end_of_a_file_come_to_their_end(kind, workers):
    bad = set(range(ROWS - 20, ROWS))
    ran = await run_with(bad, kind, workers=workers)
    assert ran.ended.stop is None and {outcome.call.row for outcome in ran.failed} == bad
    assert {count for row, count in requests_of(ran).items() if row in bad} == {8}
    # A single worker finds out late that no more rows are to come.
    longest_s = LONGEST_WAITS_S * (1.5 if workers > 1 else 4)
    assert ran.wall_s - max(ran.api.times[: ROWS - 20]) <= longest_s


OUTAGES = {
    "529": lambda: status_error(529),
    "503": lambda: status_error(503),
    "502": lambda: status_error(502),
    "refused": refused,
    "hangs": lambda: error_table.timed_out(0.2),
}


@pytest.mark.parametrize("workers", [8, 64])
@pytest.mark.parametrize("kind", OUTAGES)
@virtual
async def test_an_outage_at_the_end_of_a_file_is_still_one(kind, workers):
    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.2, OUTAGES[kind]()) if call.row >= ROWS - 20 else (0.3, None)

    ran = await run(ROWS, fate, workers=workers, max_outage="5m")
    assert ran.ended.stop is not None and ran.ended.stop.exit_code == 5
    assert ran.failed == []


@pytest.mark.parametrize("kind", KINDS)
@virtual
async def test_an_outage_before_the_last_third_of_a_file_is_one_however_it_shows(kind):
    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.2, KINDS[kind]()) if call.row >= ROWS * 3 // 5 else (0.3, None)

    ran = await run(ROWS, fate, max_outage="5m")
    assert ran.ended.stop is not None and ran.ended.stop.exit_code == 5
    assert ran.failed == []


@pytest.mark.parametrize("place", ["anywhere", "first", "last"])
@pytest.mark.parametrize("seed", range(12))
@virtual
async def test_no_row_gets_more_requests_than_max_attempts(seed, place):
    rng = random.Random(seed)
    rows, count = rng.choice([60, 200, 500]), rng.choice([10, 32, 160])
    count = min(count, rows // 3)
    places = {
        "anywhere": rng.sample(range(rows), count),
        "first": range(count),
        "last": range(rows - count, rows),
    }
    bad, most = set(places[place]), rng.choice([3, 5, 8])

    def fate(call: Call, before: int, at: float) -> Happening:
        if call.row in bad:
            return 0.1 * rng.uniform(0.5, 5), KINDS[rng.choice(list(KINDS))]()
        return 0.3 * rng.uniform(0.5, 1.5), None

    ran = await run(
        rows, fate, workers=rng.choice([4, 8, 64]), retry={"max_attempts": most}, max_outage="1h"
    )
    assert ran.ended.stop is None and {outcome.call.row for outcome in ran.failed} == bad
    (_, requests), *_ = requests_of(ran).most_common(1)
    assert requests <= most


def draw(rng: random.Random) -> tuple[int, set[int], int]:
    """Rows of a short file, the bad ones of them, of any share, and `max_attempts`."""
    rows = rng.choice([12, 40, 80])
    count = max(1, round(rows * rng.choice([0.1, 0.3, 0.5, 0.8])))
    places = (rng.sample(range(rows), count), range(count), range(rows - count, rows))
    return rows, set(rng.choice(places)), rng.choice([2, 3, 5, 8])


@pytest.mark.parametrize("chain", [[], ["claude-sonnet-5-5"]], ids=["alone", "with a fallback"])
@pytest.mark.parametrize("seed", range(16))
@virtual
async def test_not_even_where_most_rows_are_bad_and_pass_for_an_outage(seed, chain):
    rng = random.Random(seed)
    rows, bad, most = draw(rng)

    def fate(call: Call, before: int, at: float) -> Happening:
        if call.row in bad:
            return 0.1 * rng.uniform(0.5, 5), KINDS[rng.choice(list(KINDS))]()
        return rng.lognormvariate(0, 1), None

    workers = rng.choice([1, 2, 4, 16, 64])
    policy = {"max_attempts": most}
    ran = await run(rows, fate, workers=workers, retry=policy, fallbacks={HAIKU: chain})
    requests = Counter((call.row, call.model) for _, call in ran.api.came)
    assert max(requests.values()) <= most
    assert {outcome.call.row for outcome in ran.failed} <= bad


@pytest.mark.parametrize("seed", range(8))
@virtual
async def test_nor_in_three_sessions_that_were_cut_short_or_took_them_for_an_outage(seed):
    rng = random.Random(seed)
    rows, bad, most = draw(rng)
    left = list(range(rows))
    failures: list[FailedAttempt] = []
    answers: list[int] = []

    def fate(call: Call, before: int, at: float) -> Happening:
        row, takes_s = left[call.row], 0.1 * rng.uniform(0.5, 5)
        ended_ms = round(1000 * (now() + takes_s))
        if row in bad:
            failures.append(FailedAttempt(row, HAIKU, ended_ms, False, True))
            return takes_s, KINDS[rng.choice(list(KINDS))]()
        answers.append(ended_ms)
        return takes_s, None

    for _ in range(3):
        tries = earlier_tries(
            [(sorted(failures, key=lambda failure: failure.at_ms), sorted(answers))],
            policy=BreakerPolicy(),
            left=len(left),
        )
        told = [tries.get(row) for row in left]
        ran = await run(
            len(left),
            fate,
            workers=rng.choice([2, 16, 64]),
            retry={"max_attempts": most},
            max_outage=rng.choice(["1m", "3m", "15m"]),
            earlier=told.__getitem__,
        )
        done = {left[outcome.call.row] for _, outcome in ran.outcomes}
        left = [row for row in left if row not in done]
        if not left:
            break
    assert max(Counter(failure.row for failure in failures).values()) <= most


@pytest.mark.parametrize("kind", KINDS)
@virtual
async def test_the_last_attempt_of_a_row_is_saved_for_five_minutes_of_an_outage(kind):
    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.2, KINDS[kind]()) if at < 290.0 else (0.4, None)

    # Of so few, each is asked twice before the breaker can open.
    ran = await run(16, fate, workers=16, retry={"max_attempts": 3})
    assert (len(ran.succeeded), ran.failed, ran.ended.stop) == (16, [], None)
    assert max(requests_of(ran).values()) <= 3
