"""A whole run on the second set of stores: each store on another host, so to speak."""

from __future__ import annotations

import pytest

from claudebatch.engine import session
from claudebatch.layers.record.journal_log import JournalLog
from claudebatch.setup import pools
from tests.e2e.world import prompts
from tests.support.round_trip import RoundTrip
from tests.support.sqlite_pool import SqliteLimiterStore


class DistantLog:
    """A log that is a round trip away. It hands on to the run's journal, which stays the
    truth of the run whatever log stands before it.
    """

    def __init__(self, log: JournalLog) -> None:
        self._log = log
        self._trips = RoundTrip(0.001)

    async def begin(self, call, worst):
        attempt = await self._log.begin(call, worst)
        await self._trips.ask(lambda: None)
        return attempt

    async def answered(self, attempt, reply):
        await self._log.answered(attempt, reply)
        await self._trips.ask(lambda: None)

    async def failed(self, attempt, error, **how):
        await self._log.failed(attempt, error, **how)
        await self._trips.ask(lambda: None)


@pytest.fixture
def second_stores(world, monkeypatch):
    """Lets runs use them; returns the stores of rate limits that were opened."""
    opened = []

    def open_pool(start, *, now):
        opened.append(
            SqliteLimiterStore(
                world.path("limits.sqlite"), start, now=now, user=f"run-{len(opened)}"
            )
        )
        return opened[-1]

    monkeypatch.setattr(pools, "open_pool", open_pool)
    open_log = session.open_attempt_log
    monkeypatch.setattr(
        session, "open_attempt_log", lambda *args, **how: DistantLog(open_log(*args, **how))
    )
    yield opened
    for store in opened:
        store.close()


def test_a_run_on_the_second_stores_answers_every_row_once_and_accounts_for_it(
    world, serve, second_stores
):
    api = serve(script=("529", "ok", "529"))
    world.write("in.jsonl", prompts(40))
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--no-cache")
    assert done.code == 0, done.err
    results = world.results()
    assert len(results) == 40 and {line["status"] for line in results.values()} == {"succeeded"}
    assert api.requests == 42
    states = world.query("SELECT state, count(*) FROM attempts GROUP BY state ORDER BY state")
    assert dict(states) == {1: 40, 2: 2}, "each attempt has one outcome"
    assert world.ledger() == (world.settled(), 0)
    (store,) = second_stores
    assert store.trips.count >= 2 * 42, "one to be admitted and one to end, at least"
