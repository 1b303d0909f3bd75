"""What is not to be tried again fails its row at once, and stops a run in which all
rows meet it, unless the API was serving and fails: then it is waited for. No row of an
outage is charged, and no broken answer is bought twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from claudebatch.clients import error_table
from claudebatch.clients.headers import HeaderFacts
from claudebatch.core.domain import Call
from claudebatch.core.errors import ExitCode
from tests.resilience.driver import Happening, run, status_error
from tests.support.virtual import virtual

HEAD = HeaderFacts("req_1", None, None, None, simulated=False)
KINDS: dict[str, Callable[[], Exception]] = {
    "500": lambda: status_error(500, should_retry=False),
    "529": lambda: status_error(529, should_retry=False),
    "broken": lambda: error_table.broken_message("no list at `$.content`", 200, HEAD),
}


@pytest.mark.parametrize("kind", KINDS)
@virtual
async def test_a_run_in_which_all_rows_meet_it_ends_within_thirty_requests(kind):
    ran = await run(1000, lambda call, before, at: (0.5, KINDS[kind]()))
    assert ran.ended.stop is not None and ran.ended.stop.exit_code == ExitCode.UNAVAILABLE
    assert len(ran.api.came) <= 30 and ran.wall_s <= 40
    assert ran.outcomes == [], "all rows stay to be done"
    assert max(call.row for _, call in ran.api.came) == len(ran.api.came) - 1, "each once"


@pytest.mark.parametrize("kind", KINDS)
@virtual
async def test_a_row_that_alone_meets_it_fails_after_one_attempt(kind):
    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.5, KINDS[kind]()) if call.row in (3, 99) else (0.5, None)

    ran = await run(100, fate, workers=4)
    assert ran.ended.stop is None
    assert [failed.attempts for failed in ran.failed] == [1, 1]
    (first, _), (last, _) = [one for one in ran.outcomes if one[1] in ran.failed]
    assert first <= 3, "as soon as a later request is answered"
    assert len(ran.succeeded) == 98 and last == ran.wall_s


@virtual
async def test_answers_that_come_broken_all_at_once_are_not_bought_any_more():
    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.5, None) if at < 20 else (0.5, KINDS["broken"]())

    ran = await run(10_000, fate, workers=16)
    assert ran.ended.stop is not None and ran.ended.stop.exit_code == ExitCode.UNAVAILABLE
    assert ran.failed == []
    assert len([at for at in ran.api.times if at >= 20]) <= 20 + 16


# Where it is the API that fails. Before, the run ended with 5 after twenty rows: two
# minutes of it at night, and nothing was done by the morning.
OUT = ("500", "529")


@pytest.mark.parametrize("workers", [16, 64])
@pytest.mark.parametrize("kind", OUT)
@virtual
async def test_an_outage_that_says_so_is_waited_out_and_each_row_is_asked_once_more(kind, workers):
    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.1, KINDS[kind]()) if 20 <= at < 140 else (0.5, None)

    ran = await run(3000, fate, workers=workers)
    assert ran.ended.stop is None and len(ran.succeeded) == 3000
    assert len([at for at in ran.api.times if 20 <= at < 140]) <= 20 + workers + 12
    sent = Counter(call.row for _, call in ran.api.came)
    assert max(sent.values()) == 2
    assert ran.wall_s <= 120 + 3000 / workers * 0.5 + 20


@pytest.mark.parametrize("kind", OUT)
@virtual
async def test_one_that_does_not_end_is_borne_for_as_long_as_any_other(kind):
    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.5, None) if at < 20 else (0.1, KINDS[kind]())

    ran = await run(10_000, fate, workers=16, max_outage="60s")
    assert ran.ended.stop is not None and ran.ended.stop.exit_code == ExitCode.UNAVAILABLE
    assert ran.failed == [] and 80 <= ran.wall_s <= 82
    assert len([at for at in ran.api.times if at >= 20]) <= 20 + 16 + 6


@pytest.mark.parametrize("kind", OUT)
@virtual
async def test_bad_rows_that_stand_together_are_asked_twice_and_fail(kind):
    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.1, KINDS[kind]()) if 100 <= call.row < 112 else (0.5, None)

    ran = await run(500, fate, workers=16)
    assert ran.ended.stop is None and len(ran.failed) == 12
    assert ran.wall_s <= 20
