"""A server may name any time to wait: no run waits for longer than it bears an outage,
and no row for ever.
"""

from __future__ import annotations

import asyncio

import pytest

from claudebatch.core.domain import Call
from claudebatch.core.errors import ExitCode
from claudebatch.layers.retry.server_waits import ServerWaits
from tests.resilience.driver import Fate, Happening, run, status_error
from tests.support.virtual import virtual

BORNE_S = 15.0


def asks(status: int, *, after: int = 0, rows: range | None = None, takes_s: float = 0.5) -> Fate:
    """Serves *after* requests, and all rows but *rows*; the others are asked to wait
    for thirty years.
    """

    def fate(call: Call, before: int, at: float) -> Happening:
        if before < after or (rows is not None and call.row not in rows):
            return takes_s, None
        return takes_s, status_error(status, retry_after=1e9)

    return fate


@pytest.mark.parametrize(
    ("status", "rows", "fate"),
    [
        (503, 1, {}),
        (500, 10, {}),
        (529, 70, {}),
        (503, 40, {"after": 21}),
        (503, 10, {"rows": range(3, 4)}),
    ],
)
def test_all_that_wait_for_a_server_wait_no_longer_than_the_outage_that_is_borne(
    status, rows, fate
):
    @virtual
    async def waits() -> None:
        ran = await run(rows, asks(status, **fate), max_outage=f"{BORNE_S:.0f}s")
        assert ran.ended.stop is not None and ran.ended.stop.exit_code == ExitCode.UNAVAILABLE
        answered_at = max((at for at, _ in ran.outcomes), default=0.0)
        assert BORNE_S <= ran.wall_s - answered_at <= BORNE_S + 2
        assert ran.failed == []
        assert len(ran.api.came) <= rows + 40, "nobody is asked over and over"

    waits()


@virtual
async def test_a_row_that_is_asked_to_wait_is_given_up_while_others_are_served():
    ran = await run(
        200, asks(503, rows=range(3, 4), takes_s=5.0), workers=4, max_outage=f"{BORNE_S:.0f}s"
    )
    assert ran.ended.stop is None
    ((at, failed),) = [one for one in ran.outcomes if one[1] in ran.failed]
    assert failed.attempts == 8
    assert 7 * BORNE_S <= at <= 7 * BORNE_S + 170, "its waits, and the usual backoff"
    assert len(ran.succeeded) == 199


@virtual
async def test_a_row_whose_answer_takes_long_is_not_cut_off_by_one_that_waits():
    def fate(call: Call, before: int, at: float) -> Happening:
        if call.row == 0:
            return 60.0, None
        return (0.2, status_error(503, retry_after=1e9)) if at < 61 else (0.2, None)

    ran = await run(2, fate, max_outage=f"{BORNE_S:.0f}s")
    assert ran.ended.stop is None
    assert len(ran.succeeded) == 2


@virtual
async def test_a_model_that_asks_to_wait_for_long_is_passed_by_on_the_row_s_way():
    def fate(call: Call, before: int, at: float) -> Happening:
        if "haiku" in call.model:
            return 0.2, None
        return 0.2, status_error(503, retry_after=1e9)

    ran = await run(
        5,
        fate,
        model="claude-sonnet-5-5",
        fallbacks={"claude-sonnet-5-5": ["claude-haiku-5-5"]},
        max_outage=f"{BORNE_S:.0f}s",
    )
    assert ran.ended.stop is None and len(ran.succeeded) == 5


@virtual
async def test_time_in_which_nobody_was_asked_is_no_outage():
    # As after a wait for money, or for batches: its own wait of a second is short.
    now = asyncio.get_running_loop().time
    waits = ServerWaits(BORNE_S)
    waits.sent()
    waits.is_back()
    waits.answered(now())
    await asyncio.sleep(100 * BORNE_S)
    waits.sent()
    waits.is_back()
    waits.failed(7, now())
    assert await waits.passed(1.0, now=now, sleep=asyncio.sleep)
    waits.left(7)
    await asyncio.sleep(100 * BORNE_S)
    waits.failed(8, now())
    assert await waits.passed(1.0, now=now, sleep=asyncio.sleep)
    assert not await waits.passed(2 * BORNE_S, now=now, sleep=asyncio.sleep)
