"""What every store of rate limits must do. A new store joins by a line in `PLACES`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.domain import Reply, Usage
from claudebatch.core.drain import Drain
from claudebatch.core.errors import StopRun
from claudebatch.core.events import Event, Waiting
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.layer import RateLimit
from claudebatch.layers.rate_limit.local_pool import LocalPool, open_local_pool
from claudebatch.layers.rate_limit.redis_pool import RedisPool
from claudebatch.layers.rate_limit.settings import PoolLimits
from claudebatch.layers.rate_limit.store import Admitted, Delayed, PoolStart
from tests.support.cancellation import cuts
from tests.support.limiting import AsStated
from tests.support.redis_servers import VirtualServer, needs_redis, own_prefix
from tests.support.scripted import ScriptedClient, make_call, rate_limited
from tests.support.sqlite_pool import SqliteLimiterStore
from tests.support.virtual import now, virtual

NEED = ExpectedUsage(1000, 500)
USED = Usage(input_tokens=1000, output_tokens=500)


class Local:
    """The store of one process: all its users have the same one."""

    def __init__(self, folder: Path) -> None:
        # Mutable: the pool, made by its first user.
        self._pool: LocalPool | None = None

    def open(self, start: PoolStart) -> LocalPool:
        if self._pool is None:
            self._pool = open_local_pool(start, now=now)
        return self._pool


class Sqlite:
    """A file: each user is a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "limits.sqlite"
        # Mutable: its users.
        self._opened: list[SqliteLimiterStore] = []

    def open(self, start: PoolStart) -> SqliteLimiterStore:
        user = f"user-{len(self._opened)}"
        self._opened.append(SqliteLimiterStore(self._path, start, now=now, user=user))
        return self._opened[-1]


class Redis:
    """A real Redis by a virtual clock: each user is a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._exit = ExitStack()
        self._prefix = self._exit.enter_context(own_prefix())
        # Mutable: the connections of its users.
        self.servers: list[VirtualServer] = []

    def open(self, start: PoolStart) -> RedisPool:
        user = f"user-{len(self.servers)}"
        self.servers.append(VirtualServer(self._prefix, user, now=now, sleep=asyncio.sleep))
        return RedisPool(self.servers[-1], start, now=now)

    def close(self) -> None:
        for server in self.servers:
            server.close()
        self._exit.close()


Place = Local | Sqlite | Redis
PLACES: dict[str, Callable[[Path], Place]] = {"local": Local, "sqlite": Sqlite, "redis": Redis}


@pytest.fixture(params=["local", "sqlite", pytest.param("redis", marks=needs_redis)])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """Makes places that know nothing of each other."""
    made: list[Place] = []

    def new() -> Place:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(PLACES[request.param](folder))
        return made[-1]

    yield new
    for place in made:
        for store in getattr(place, "_opened", []):
            store.close()
        if isinstance(place, Redis):
            place.close()


@pytest.fixture
def place(new_place):
    return new_place()


def start(*, in_flight: int = 64, **limits: float) -> PoolStart:
    return PoolStart("pool", PoolLimits(**limits), in_flight=in_flight, most_in_flight=in_flight)


def layer(store: Any, events: list[Event] | None = None) -> RateLimit[Any]:
    return RateLimit(
        pool_of=lambda model: store,
        estimates=AsStated(),
        waits=Drain(),
        max_pause_s=600.0,
        max_outage_s=900.0,
        rng=random.Random(1),
        emit=(events if events is not None else []).append,
    )


async def send(user: RateLimit[Any], client: Any, row: int = 1) -> Reply:
    return await user(make_call(row=row), client)


async def send_all(user: RateLimit[Any], client: Any, rows: range) -> list[Any]:
    return await asyncio.gather(*(send(user, client, row) for row in rows), return_exceptions=True)


async def admitted(store: Any, need: ExpectedUsage = NEED) -> Any:
    """A booking, after as many questions as it takes."""
    for _ in range(1000):
        answer = await store.admit(need)
        if isinstance(answer, Admitted):
            return answer.booking
        assert answer.seconds > 0, "no wait would spin"
        await asyncio.sleep(answer.seconds)
    raise AssertionError("it waits for ever")


async def free_slots(store: Any, most: int) -> int:
    """How many more requests it lets be in flight, up to *most*."""
    bookings = []
    for _ in range(most):
        answer = await store.admit(ExpectedUsage(0, 0))
        if isinstance(answer, Delayed):
            assert answer.reason == "requests in flight"
            break
        bookings.append(answer.booking)
    for booking in bookings:
        await store.cancel(booking, counted=False)
    return len(bookings)


# Order and pace


@virtual
async def test_requests_of_a_user_leave_in_the_order_in_which_they_came(place):
    client = ScriptedClient(takes_s=0.3)
    await send_all(
        layer(place.open(start(in_flight=3, requests_per_minute=600))), client, range(30)
    )
    assert [sent.call.row for sent in client.sent] == list(range(30))


@pytest.mark.parametrize(
    ("limits", "per_s"),
    [
        ({"requests_per_minute": 60}, 1),
        ({"input_tokens_per_minute": 60_000}, 1),
        ({"output_tokens_per_minute": 60_000}, 2),
    ],
    ids=["requests", "input", "output"],
)
@virtual
async def test_no_more_leaves_than_the_limit_allows_and_nearly_as_much(place, limits, per_s):
    store, times = place.open(start(**limits)), []
    for _ in range(60):
        booking = await admitted(store)
        times.append(now())
        await store.settle(booking, USED, None)
    assert (times[-1] - times[0]) * per_s == pytest.approx(59, abs=4)
    assert max(sum(at <= each < at + 10 for each in times) for at in times) <= 10 * per_s + 3


@virtual
async def test_two_users_at_once_keep_one_pace_and_none_starves(place):
    limits = start(requests_per_minute=60)
    client = ScriptedClient()
    users = [layer(place.open(limits)) for _ in range(2)]
    replies = await asyncio.gather(
        send_all(users[0], client, range(20)), send_all(users[1], client, range(100, 120))
    )
    assert all(isinstance(reply, Reply) for each in replies for reply in each)
    assert min(later - before for before, later in pairwise(client.times)) >= 0.95
    assert now() == pytest.approx(39, rel=0.1)
    rows = [sent.call.row for sent in client.sent]
    assert 5 <= sum(row < 100 for row in rows[:20]) <= 15


@virtual
async def test_two_users_at_once_share_the_requests_in_flight(place):
    client = ScriptedClient(takes_s=1.0)
    users = [layer(place.open(start(in_flight=3))) for _ in range(2)]
    await asyncio.gather(
        send_all(users[0], client, range(15)), send_all(users[1], client, range(100, 115))
    )
    assert client.most_in_flight == 3
    assert len(client.sent) == 30


# All or nothing


@virtual
async def test_an_attempt_that_must_wait_takes_nothing(place):
    store = place.open(start(in_flight=1, input_tokens_per_minute=60_000))
    await asyncio.sleep(10)
    busy = await admitted(store, ExpectedUsage(0, 0))
    for _ in range(50):
        assert isinstance(await store.admit(ExpectedUsage(400, 0)), Delayed)
    await store.cancel(busy, counted=False)
    assert isinstance(await store.admit(ExpectedUsage(400, 0)), Admitted)


@pytest.mark.parametrize("end", ["settle", "cancel", "counted", "refuse", "crowded"])
@virtual
async def test_however_an_attempt_ends_its_place_is_free(place, end):
    store = place.open(start(in_flight=2))
    for _ in range(5):
        await ended(store, await admitted(store), end)
    # After a 429 a store may ask one by one until an answer comes, and start gently
    # then.
    await store.settle(await admitted(store), USED, None)
    await asyncio.sleep(20)
    assert await free_slots(store, 10) == (1 if end == "crowded" else 2)


async def ended(store: Any, booking: Any, end: str) -> Any:
    match end:
        case "settle":
            return await store.settle(booking, USED, None)
        case "refuse":
            return await store.refuse(booking, "rate", 1.0)
        case "crowded":
            return await store.refuse(booking, "concurrency", 1.0)
        case _:
            return await store.cancel(booking, counted=end == "counted")


@virtual
async def test_tokens_that_were_not_used_can_be_used_by_others(place):
    store = place.open(start(input_tokens_per_minute=60_000))
    for _ in range(20):
        booking = await admitted(store)
        await store.settle(booking, Usage(), None)
    assert now() < 4, "twenty seconds, were they not given back"


# What its answers say


@virtual
async def test_limits_that_an_answer_states_are_in_force_for_all_users(place):
    limits = start(requests_per_minute=60, input_tokens_per_minute=60_000)
    store, other = place.open(limits), place.open(limits)
    booking = await admitted(store)
    stated = Limits(requests=LimitReading(600), input_tokens=LimitReading(30_000))
    state = await store.settle(booking, USED, stated)
    await asyncio.sleep(10)
    seen = await other.admit(ExpectedUsage(0, 0))
    for each in (state, seen.state):
        assert (each.requests_per_minute, each.input_tokens_per_minute) == (600, 30_000)
        assert (each.output_tokens_per_minute, each.in_flight, each.limited_s) == (None, 64, 0)


@virtual
async def test_a_429_stops_all_users_until_its_wait_is_over(place):
    users = [layer(place.open(start())) for _ in range(2)]
    client = ScriptedClient([rate_limited(20.0)])
    await send_all(users[0], client, range(1))
    await asyncio.gather(
        send_all(users[0], client, range(5)), send_all(users[1], client, range(100, 105))
    )
    assert len(client.times) == 11
    assert 20 <= client.times[1] <= 23


@pytest.mark.parametrize("kind", ["rate", "ramp", "concurrency"])
@virtual
async def test_a_429_that_is_its_rows_own_changes_nothing(place, kind):
    store = place.open(start())
    refused = await store.refuse(await admitted(store), kind, 20.0, blame="row")
    assert not refused.stops and (refused.state.in_flight, refused.state.limited_s) == (64, 0)
    await store.settle(await admitted(store), USED, None)
    assert now() < 2


@virtual
async def test_it_says_how_long_nothing_but_429s_has_come(place):
    store = place.open(start())
    await store.refuse(await admitted(store), "rate", 5.0)
    await asyncio.sleep(6)
    booking = await admitted(store)
    state = (await store.refuse(booking, "rate", 5.0)).state
    assert state.limited_s == pytest.approx(6, abs=0.1)
    await asyncio.sleep(6)
    assert (await store.settle(await admitted(store), USED, None)).limited_s == 0


@virtual
async def test_a_pool_that_was_away_has_saved_nothing_up(place):
    store = place.open(start(input_tokens_per_minute=600_000))
    await asyncio.sleep(100)
    await store.restart()
    times = []
    for _ in range(12):
        await admitted(store)
        times.append(now())
    assert times[-1] - times[0] >= 0.5, "ten thousand tokens a second, and twelve thousand left"


# Called off


@virtual
async def test_called_off_at_any_moment_an_admission_leaves_nothing_booked(new_place):
    # The local store waits at its gate only; the other one on both ways.
    reached = 0
    for cut in cuts():
        store = new_place().open(start(in_flight=1, requests_per_minute=6000))
        result = await cut.run(store.admit(NEED))
        assert isinstance(result, asyncio.CancelledError) is cut.reached, cut
        if cut.reached:
            await asyncio.sleep(1)
            assert isinstance(await store.admit(NEED), Admitted), cut
        reached += cut.reached
    assert reached >= 1 or isinstance(store, LocalPool)


@pytest.mark.parametrize("end", ["settle", "cancel", "refuse"])
@virtual
async def test_called_off_at_any_moment_a_booking_is_given_back(new_place, end):
    for cut in cuts():
        store = new_place().open(start(in_flight=1))
        booking = await admitted(store)
        await cut.run(ended(store, booking, end))
        await asyncio.wait_for(admitted(store), 10)


@virtual
async def test_a_row_called_off_at_any_moment_holds_nobody_up(new_place):
    for cut in cuts():
        user, client = layer(new_place().open(start(in_flight=1))), ScriptedClient(takes_s=0.1)
        others = [asyncio.ensure_future(send(user, client, row)) for row in range(2)]
        await asyncio.sleep(0.001)
        await cut.run(send(user, client, 99))
        await asyncio.gather(*others)
        await asyncio.wait_for(send_all(user, client, range(3)), 10)
        assert client.most_in_flight == 1, cut


# A store that is slow, or fails


class SlowToAdmit:
    """A store whose answers to `admit` are long on their way back."""

    def __init__(self, store: Any) -> None:
        self.name = store.name
        self._store = store
        self.settle = store.settle

    async def admit(self, need: ExpectedUsage) -> Any:
        answer = await self._store.admit(need)
        await asyncio.sleep(0.05)
        return answer


@virtual
async def test_an_attempt_that_ends_while_the_store_is_asked_makes_room_at_once(place):
    events: list[Event] = []
    user = layer(SlowToAdmit(place.open(start(in_flight=1))), events)
    await send_all(user, ScriptedClient(takes_s=0.01), range(10))
    assert now() < 2, "sixty seconds, or half a second, for each row otherwise"
    assert all(event.seconds > 0 for event in events if isinstance(event, Waiting))


class Failing:
    """A store whose connection breaks when it is asked for *method*, once."""

    def __init__(self, store: Any, method: str) -> None:
        self.name = store.name
        self._store = store
        # Mutable: what fails next.
        self._method = method

    def __getattr__(self, name: str) -> Any:
        if name != self._method:
            return getattr(self._store, name)
        self._method = ""

        async def fails(*args: Any, **how: Any) -> None:
            await asyncio.sleep(0)
            raise StopRun("E000", "the store is away")

        return fails


@pytest.mark.parametrize("method", ["admit", "settle", "refuse"])
@virtual
async def test_a_store_that_fails_stops_the_row_and_holds_up_no_other(place, method):
    user = layer(Failing(place.open(start()), method))
    client = ScriptedClient([rate_limited(1.0)] if method == "refuse" else None)
    with pytest.raises(StopRun):
        await send(user, client)
    assert len(client.sent) == (method != "admit"), "nothing leaves that was not admitted"
    assert isinstance(await asyncio.wait_for(send(user, client, 2), 10), Reply)


@virtual
async def test_an_attempt_takes_one_round_trip_to_be_admitted_and_one_to_end(tmp_path):
    store = SqliteLimiterStore(tmp_path / "limits.sqlite", start(), now=now)
    await send_all(layer(store), ScriptedClient(takes_s=1.0), range(50))
    assert store.trips.count == 100
    store.close()


def test_a_broken_file_stops_the_run(tmp_path):
    store = SqliteLimiterStore(tmp_path / "limits.sqlite", start(), now=lambda: 0.0)
    store.close()
    with pytest.raises(StopRun):
        asyncio.run(store.admit(NEED))


@virtual
async def test_users_of_one_file_are_served_in_the_order_in_which_they_first_asked(tmp_path):
    limits = start(requests_per_minute=60)
    first, second = (
        SqliteLimiterStore(tmp_path / "limits.sqlite", limits, now=now, user=user)
        for user in ("first", "second")
    )
    await admitted(first)
    assert isinstance(await first.admit(NEED), Delayed)
    asking = asyncio.ensure_future(admitted(second))
    await asyncio.sleep(1.0)
    while not isinstance(await first.admit(NEED), Admitted):
        assert not asking.done(), "it came later, and may not go first"
        await asyncio.sleep(0.005)
    await asking
    for store in (first, second):
        store.close()
