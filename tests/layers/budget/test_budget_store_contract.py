"""What every store of the budget must do, alone and between several users.

A new store joins by a line in `PLACES`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.domain import Call, Hold, Reply
from claudebatch.core.drain import Drain
from claudebatch.core.errors import AttemptError, BudgetExhausted, Draining, StopRun
from claudebatch.layers.budget.layer import Budget
from claudebatch.layers.budget.redis_budget import RedisBudget
from claudebatch.layers.budget.run_budget import RunBudget
from claudebatch.layers.budget.store import BudgetStore
from claudebatch.layers.record.layer import Record
from tests.support.budget_stores import DAY, Run, cap
from tests.support.cancellation import cuts
from tests.support.redis_servers import VirtualServer, needs_redis, own_prefix
from tests.support.scripted import MemoryLog, ScriptedClient, make_call, make_reply, timed_out
from tests.support.sqlite_budget import SqliteBudgetStore
from tests.support.virtual import now, virtual

CAP, WORST = 1000, 100


class Memory:
    """One store in memory, which all users share."""

    def __init__(self, folder: Path) -> None:
        self.drain = Drain()
        self._store = RunBudget(CAP, spent=0, waits=self.drain)

    def open(self, user: str) -> BudgetStore:
        return self._store


class Ledger:
    """Users of a cap in the spend ledger."""

    def __init__(self, folder: Path) -> None:
        self._ledger = folder / "spend.sqlite"
        self.drain = Drain()
        self._runs: list[Run] = []

    def open(self, user: str) -> BudgetStore:
        run = Run(self._ledger, user, cap(CAP), drain=self.drain)
        self._runs.append(run)
        return run

    def breaks(self) -> None:
        for run in self._runs:
            run.book._connection.close()


class File:
    """Users of a cap in a file, each call a round trip."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "cap.sqlite"
        self.drain = Drain()
        self._stores: list[SqliteBudgetStore] = []

    def open(self, user: str) -> BudgetStore:
        self._stores.append(SqliteBudgetStore(self._path, CAP, waits=self.drain, user=user))
        return self._stores[-1]

    def breaks(self) -> None:
        for store in self._stores:
            store._file.close()


class Redis:
    """Users of a cap in a real Redis, by a virtual clock."""

    def __init__(self, folder: Path) -> None:
        self._exit = ExitStack()
        self._prefix = self._exit.enter_context(own_prefix())
        self.drain = Drain()
        # Mutable: the connections of its users.
        self._servers: list[VirtualServer] = []

    def open(self, user: str) -> BudgetStore:
        client = f"{user}-{len(self._servers)}"
        server = VirtualServer(self._prefix, client, now=now, sleep=self.drain.sleep)
        self._servers.append(server)
        return RedisBudget(
            RunBudget(None, spent=0, waits=self.drain),
            server,
            [cap(CAP)],
            run=user,
            tag=None,
            today=lambda: DAY,
            waits=self.drain,
            emit=lambda event: None,
            known=lambda: [],
        )

    def breaks(self) -> None:
        for server in self._servers:
            server.broken = True

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self._exit.close()


Place = Memory | Ledger | File | Redis
PLACES: dict[str, Callable[[Path], Place]] = {
    "memory": Memory,
    "ledger": Ledger,
    "file": File,
    "redis": Redis,
}
REAL = pytest.param("redis", marks=needs_redis)
SHARED = ("ledger", "file", REAL)


@pytest.fixture(params=["memory", "ledger", "file", REAL])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Place]]:
    """Makes places, each with a full cap of its own."""
    numbers = iter(range(10_000))
    places: list[Place] = []

    def made() -> Place:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        places.append(PLACES[request.param](folder))
        return places[-1]

    yield made
    for place in places:
        if isinstance(place, Redis):
            place.close()


async def left(store: BudgetStore) -> int:
    """What is left of the cap by what was spent; and nothing else is set aside."""
    with pytest.raises(BudgetExhausted) as refused:
        await store.hold(CAP + 1, CAP + 1)
    if refused.value.left:
        whole = asyncio.ensure_future(store.hold(refused.value.left, refused.value.left))
        assert await comes(whole), "somebody holds a part of what is left"
        await store.release(whole.result())
    return refused.value.left


async def comes(task: asyncio.Future[Any], *, within_s: float = 10.0) -> bool:
    """Whether *task* is done in a while of real time: virtual time does not wait for
    the threads of a store.
    """
    for _ in range(int(within_s / 0.002)):
        if task.done():
            return True
        await asyncio.to_thread(time.sleep, 0.002)
    task.cancel()
    return False


ENDINGS: dict[str, tuple[Callable[[BudgetStore, Hold], Coroutine[Any, Any, None]], int]] = {
    "settle": (lambda store, hold: store.settle(hold, 30), 30),
    "release": (lambda store, hold: store.release(hold), 0),
    "forfeit": (lambda store, hold: store.forfeit(hold), WORST),
}


@pytest.mark.parametrize("name", ENDINGS)
@virtual
async def test_an_ending_charges_exactly_its_cost_and_frees_the_rest(name, make):
    store, (end, cost) = make().open("me"), ENDINGS[name]
    hold = await store.hold(WORST, WORST)
    assert (hold.amount, hold.worst) == (WORST, WORST)
    await end(store, hold)
    assert await left(store) == CAP - cost
    with pytest.raises(RuntimeError, match="twice"):
        await store.settle(hold, 1)
    assert await left(store) == CAP - cost
    await store.close(complete=True)


@virtual
async def test_what_fits_exactly_is_granted_and_what_can_never_fit_is_refused_with_the_facts(make):
    store = make().open("me")
    await store.settle(await store.hold(400, 400), 400)
    with pytest.raises(BudgetExhausted) as refused:
        await store.hold(601, 601)
    assert (refused.value.left, refused.value.limit, refused.value.needed) == (600, CAP, 1001)
    await store.settle(await store.hold(600, 600), 600)
    assert await left(store) == 0
    await store.close(complete=True)


@virtual
async def test_holds_are_granted_in_the_order_in_which_they_were_asked_for(make):
    store, order = make().open("me"), list[int]()

    async def one(number: int, worst: int, takes_s: float) -> None:
        hold = await store.hold(worst, worst)
        order.append(number)
        await asyncio.sleep(takes_s)
        await store.settle(hold, 1)

    asked = [asyncio.ensure_future(one(0, 600, 5))]
    for number, worst in ((1, 900), (2, 50), (3, 50)):
        await asyncio.sleep(0.1)
        asked.append(asyncio.ensure_future(one(number, worst, 1)))
    await asyncio.gather(*asked)
    assert order == [0, 1, 2, 3], "there was room for the small ones, but the large one came first"
    await store.close(complete=True)


@virtual
async def test_a_hold_cancelled_at_any_wait_leaves_nothing_set_aside(make):
    tried = 0
    for cut in cuts():
        store = make().open("me")
        other = await store.hold(950, 950)

        async def ends(store: BudgetStore = store, other: Hold = other) -> None:
            await asyncio.sleep(1)
            await store.settle(other, 100)

        ending = asyncio.ensure_future(ends())
        result = await cut.run(store.hold(WORST, WORST))
        await ending
        if isinstance(result, Hold):
            await store.release(result)
        else:
            assert isinstance(result, asyncio.CancelledError), (cut, result)
            tried += 1
        assert await left(store) == CAP - 100, cut
        await store.close(complete=True)
    assert tried >= 2


@pytest.mark.parametrize("name", ENDINGS)
@virtual
async def test_an_ending_cancelled_at_any_wait_is_carried_out_once(name, make):
    end, cost = ENDINGS[name]
    for cut in cuts():
        store = make().open("me")
        hold = await store.hold(WORST, WORST)
        await cut.run(end(store, hold))
        assert await left(store) == CAP - cost, cut
        await store.close(complete=True)


@pytest.mark.parametrize("answer", ["answer", "unknown"])
@virtual
async def test_an_attempt_cancelled_at_any_wait_is_charged_as_its_log_has_it(answer, make):
    tried = 0
    for cut in cuts():
        store, log = make().open("me"), MemoryLog(takes_s=0.5)
        record = Record(
            log,
            worst=lambda call: WORST,
            cost=lambda call, usage: 30,
            pool_of=lambda model: "haiku",
            now=asyncio.get_running_loop().time,
            emit=lambda event: None,
        )
        script = {"answer": make_reply(), "unknown": timed_out()}
        client = ScriptedClient([script[answer]], takes_s=1)

        async def below(call: Call, record: Any = record, client: Any = client) -> Reply:
            await asyncio.sleep(1)
            try:
                return await record(call, client)
            except AttemptError:
                await asyncio.sleep(1)
                raise

        await cut.run(Budget(store, worst=lambda call: WORST)(make_call(), below))
        written = sum(entry.cost + (WORST if entry.unknown else 0) for entry in log.entries)
        assert await left(store) == CAP - written, (cut, log.entries)
        await store.close(complete=True)
        tried += cut.reached
    assert tried >= 6, "before the request, while it was out, and after it"


@pytest.mark.parametrize("seed", range(3))
@virtual
async def test_two_users_at_once_never_pass_the_cap_together_and_use_it_up(seed, make):
    place, rng = make(), random.Random(seed)
    users = [place.open("first"), place.open("second")]
    in_flight = bill = refused = 0

    async def work(store: BudgetStore) -> None:
        nonlocal in_flight, bill, refused
        for _ in range(30):
            worst = rng.randrange(1, 80)
            try:
                hold = await store.hold(worst, worst)
            except BudgetExhausted:
                refused += 1
                continue
            in_flight += worst
            assert bill + in_flight <= CAP
            await asyncio.sleep(rng.random())
            cost = rng.choice([0, worst, rng.randrange(worst + 1)])
            in_flight, bill = in_flight - worst, bill + cost
            await (store.forfeit(hold) if cost == worst else store.settle(hold, cost))

    await asyncio.gather(*(work(store) for store in users for _ in range(4)))
    assert refused and CAP - 80 < bill <= CAP
    assert {await left(store) for store in users} == {CAP - bill}
    for store in users:
        await store.close(complete=True)


@virtual
async def test_a_drain_ends_the_wait_for_money_and_leaves_nothing_set_aside(make):
    place = make()
    store = place.open("me")
    hold = await store.hold(950, 950)
    waiting = asyncio.ensure_future(store.hold(WORST, WORST))
    await asyncio.sleep(5)
    place.drain.start("stop")
    with pytest.raises(Draining):
        await waiting
    await store.settle(hold, 20)
    await store.close(complete=True)


@pytest.mark.parametrize("make", SHARED, indirect=True)
@pytest.mark.parametrize("complete", [True, False])
@virtual
async def test_closing_gives_back_what_is_free_and_keeps_what_may_still_be_billed(complete, make):
    place = make()
    store = place.open("me")
    await store.settle(await store.hold(300, 300), 100)
    if not complete:
        await store.hold(500, 500)
    await store.close(complete=complete)
    other = place.open("other")
    if complete:
        assert await left(other) == CAP - 100
    else:
        await other.release(await other.hold(400, 400))
        assert not await comes(asyncio.ensure_future(other.hold(401, 401)), within_s=0.3)
    await other.close(complete=True)


@virtual
async def test_what_an_earlier_session_set_aside_is_adopted_counts_and_ends_once(make):
    place = make()
    if not isinstance(place, Memory):
        # It left, or died, while its batch was out.
        early = place.open("me")
        await early.hold(700, 700, lasts=True)
        await early.close(complete=False)
    store, other = place.open("me"), place.open("other")
    hold = await store.adopt(700, DAY)
    assert (hold.amount, hold.worst, hold.day) == (700, 700, DAY)
    await other.release(await other.hold(300, 300))
    assert not await comes(asyncio.ensure_future(other.hold(301, 301)), within_s=0.3)
    await store.settle(hold, 100)
    with pytest.raises(RuntimeError, match="twice"):
        await store.settle(hold, 100)
    assert await left(store) == CAP - 100
    assert await left(other) == CAP - 100
    for one in (store, other):
        await one.close(complete=True)


@pytest.mark.parametrize("make", SHARED, indirect=True)
@virtual
async def test_what_is_out_for_hours_keeps_nothing_for_those_that_follow(make):
    """The money of a batch that has ended is for everybody, though another one is
    out.
    """
    place = make()
    store, other = place.open("me"), place.open("other")
    out = await store.hold(400, 400, lasts=True)
    await store.settle(await store.hold(500, 500, lasts=True), 50)
    waiting = asyncio.ensure_future(other.hold(550, 550))
    assert await comes(waiting)
    await other.release(waiting.result())
    await store.settle(out, 50)
    assert await left(other) == CAP - 100
    for one in (store, other):
        await one.close(complete=True)


@pytest.mark.parametrize("make", SHARED, indirect=True)
@virtual
async def test_a_store_that_fails_lets_nothing_pass_and_no_ending_raises(make):
    place = make()
    store = place.open("me")
    hold = await store.hold(WORST, WORST)
    place.breaks()
    await store.settle(hold, 10)
    asked = [store.hold(CAP - 200, CAP - 200) for _ in range(5)]
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(end, StopRun) for end in ends), ends
    with pytest.raises(StopRun):
        await store.hold(1, 1)
