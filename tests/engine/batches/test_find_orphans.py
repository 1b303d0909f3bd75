"""How long a batch is looked for whose making was not answered."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.clients.batch_records import Batch, BatchPage
from claudebatch.engine.batches.find_orphans import OrphanFinder
from claudebatch.engine.batches.orphans import LAG_S
from claudebatch.engine.batches.parts import BatchParts
from claudebatch.storage.journal.batch_places import BatchPlace
from claudebatch.storage.journal.batches import BatchRow, BatchState
from tests.engine.batches.test_orphans import INTENT, NOW, listed

SECOND = BatchRow(2, "f" * 16, BatchState.READY, 100, 5000, round(NOW.timestamp() * 1000))


class Account:
    """What a list shows, and the clock by which it is asked for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.shown: list[Batch] = []
        self.foreign: set[str] = set()
        self.places: dict[int, BatchPlace] = {}
        parts = SimpleNamespace(
            now=lambda: self.now,
            wall_ms=lambda: INTENT.intent_ms + round(self.now * 1000),
            journal=self,
            known_elsewhere=lambda: set[str](),
        )
        self.finder = OrphanFinder(cast(BatchParts, parts))

    async def read(self, query: Any) -> set[str]:
        return self.foreign

    async def page(self, **_: Any) -> BatchPage:
        return BatchPage(tuple(self.shown), has_more=False, last_id=None, server_time=None)

    async def look(self, *rows: BatchRow, unproved: tuple[str, ...] = ()) -> dict[int, str]:
        found = await self.finder.look(
            cast(BatchClient, self), rows, places=self.places, taken=(), unproved=unproved
        )
        return {number: batch.id for number, batch in found.items()}


async def test_lists_have_their_time_from_the_first_look_for_each_batch():
    """An upload takes minutes: the intent may be old when the batch was made just
    now.
    """
    account = Account()
    await account.look(INTENT)
    account.now += LAG_S
    await account.look(INTENT)
    assert account.finder.given_up(INTENT)
    await account.look(SECOND)
    assert not account.finder.given_up(SECOND), "it was looked for once"
    account.now += LAG_S
    await account.look(SECOND)
    assert account.finder.given_up(SECOND)


async def test_no_batch_is_given_up_while_a_candidate_may_be_it():
    account = Account()
    account.shown = [listed("one")]
    assert await account.look(INTENT, SECOND) == {1: "one"}
    account.now += 10 * LAG_S
    # Its results will tell whose it is.
    assert await account.look(SECOND, unproved=("one",)) == {}
    assert not account.finder.given_up(SECOND)
    account.foreign = {"one"}
    assert await account.look(SECOND) == {}
    assert account.finder.given_up(SECOND)


async def test_after_a_candidate_that_was_none_lists_have_all_their_time_again():
    account = Account()
    await account.look(INTENT)
    account.now += LAG_S
    account.finder.begin_anew(INTENT)
    await account.look(INTENT)
    assert not account.finder.given_up(INTENT)


async def test_a_clock_that_was_an_hour_ahead_and_has_been_set_finds_its_batch():
    account = Account()
    account.shown = [listed("one")]
    ahead = replace(INTENT, intent_ms=INTENT.intent_ms + 3_600_000)
    assert await account.look(ahead) == {}, "made before it was meant, as it seems"
    account.places = {ahead.batch: BatchPlace("", skew_ms=-3_600_000)}
    assert await account.look(ahead) == {1: "one"}
