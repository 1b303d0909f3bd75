"""What is not to be tried again fails its row at once, and stops a run in which all
rows meet it: no row of an outage is charged, and no broken answer is bought twice.
"""

from __future__ import annotations

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


@pytest.mark.parametrize("kind", KINDS)
@virtual
async def test_in_an_outage_no_row_is_charged_for_it(kind):
    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.5, None) if at < 20 else (0.5, KINDS[kind]())

    ran = await run(10_000, fate, workers=16)
    assert ran.ended.stop is not None and ran.ended.stop.exit_code == ExitCode.UNAVAILABLE
    assert ran.failed == []
    assert len([at for at in ran.api.times if at >= 20]) <= 20 + 16
