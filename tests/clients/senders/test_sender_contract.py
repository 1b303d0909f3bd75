"""What every way to a sender promises: one suite for senders in memory, in processes of
this host, and in actors of Ray.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec

import pytest

from claudebatch import __version__
from claudebatch.clients.senders.error_facts import SenderCrashed
from claudebatch.clients.senders.frames import Welcome
from claudebatch.clients.senders.process_links import ProcessPlaces
from claudebatch.clients.senders.ray_links import RayPlaces
from claudebatch.clients.senders.sender_link import SenderPlaces
from claudebatch.clients.senders.spread_client import SpreadClient
from claudebatch.core.domain import PromptTokens
from claudebatch.core.errors import AccountRefused, AttemptError, ConfigError, RateLimited
from claudebatch.core.notice import Notice
from tests.support import acting_client
from tests.support.acting_client import LIMITS, NO_ACCOUNT, answer, refusal, told
from tests.support.memory_links import MemoryPlaces
from tests.support.stand_in_ray import stand_in

WELCOME = Welcome(__version__, None, None, 8, 15.0)


def places_of(kind: str, number: int) -> SenderPlaces:
    if kind == "memory":
        return MemoryPlaces(number)
    if kind == "actors":
        return RayPlaces(number, address="auto", serve=acting_client.act)
    if kind == "ray":
        # A cluster of its own takes five seconds: one that stands can be named.
        address = os.environ.get("CLAUDEBATCH_TEST_RAY", "local")
        return RayPlaces(number, address=address, serve=acting_client.act)
    command = [sys.executable, acting_client.__file__]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return ProcessPlaces(number, command=command, environment=environment)


class Spread:
    """A client over senders of one kind, and what it said."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.notices: list[Notice] = []
        self.clients: list[SpreadClient] = []

    def client(self, number: int = 1, welcome: Welcome = WELCOME) -> SpreadClient:
        self.places = places_of(self.kind, number)
        self.clients.append(
            SpreadClient(
                self.places,
                welcome,
                here=acting_client.ActingClient,
                max_outage_s=900.0,
                now=time.monotonic,
                notify=self.notices.append,
            )
        )
        return self.clients[-1]

    async def death(self, client: SpreadClient) -> None:
        """A request of *client*, whose only sender is killed meanwhile."""
        here = self.kind in ("memory", "actors")
        request = asyncio.ensure_future(client(told("wait" if here else "die")))
        await asyncio.sleep(0.01)
        if isinstance(self.places, MemoryPlaces):
            self.places.started[-1].kill()
        elif here:
            self.ray.actors[-1].die()
        await request


needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed (240 MB, in no lock file)"
)


@pytest.fixture(params=["memory", "processes", "actors", pytest.param("ray", marks=needs_ray)])
async def spread(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Spread]:
    made = Spread(request.param)
    if made.kind == "actors":
        made.ray = stand_in(monkeypatch, "host-1", "host-2")
    yield made
    for client in made.clients:
        await client.close()


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(2000):
        if await true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it does not happen")


async def test_answers_counts_and_errors_arrive_with_every_fact(spread):
    client = spread.client()
    assert await client(told("say", text="Grüße \u2028 🎈")) == answer("Grüße \u2028 🎈")
    shown = await client(told("show", row=7))
    assert shown.text == "7 m ('beta-1', 'beta-2') {'speed': 'fast'}"
    assert await client.count(told("count")) == 0
    with pytest.raises(RateLimited) as limited:
        await client(told("refuse"))
    assert vars(limited.value) == vars(refusal())
    with pytest.raises(AccountRefused) as refused:
        await client(told("reject"))
    assert vars(refused.value) == vars(NO_ACCOUNT)
    with pytest.raises(SenderCrashed, match="KeyError: 'a bug'"):
        await client(told("crash"))


async def test_many_large_requests_are_under_way_at_once(spread):
    client = spread.client(2)
    calls = [client(told("long", size=300_000, padding="y" * 300_000)) for _ in range(30)]
    assert {len(reply.text) for reply in await asyncio.gather(*calls)} == {300_000}


async def test_a_watched_answer_is_seen_to_grow_in_its_order(spread):
    seen: list[object] = []

    class Watch:
        def began(self, limits: object) -> None:
            seen.append(limits)

        def read(self, prompt: PromptTokens) -> None:
            seen.append(prompt)

        def showed(self, size: int) -> None:
            seen.append(size)

        def hides(self) -> None:
            seen.append("hides")

    reply = await spread.client()(told("grow", text="done", watch=Watch()))
    assert reply.text == "done"
    assert seen == [LIMITS, PromptTokens(3, 0, 2), 18, "hides", 8]


async def test_what_is_called_off_is_called_off_at_the_sender(spread):
    client = spread.client()
    await client(told("say"))
    waiting = [asyncio.ensure_future(client(told("wait"))) for _ in range(3)]
    await asyncio.sleep(0)
    assert await client.count(told("count")) == 0
    waiting[1].cancel()

    async def stopped() -> bool:
        return await client.count(told("count")) == 1

    await until(stopped)
    assert [task.done() for task in waiting] == [False, True, False]
    for task in waiting:
        task.cancel()


async def test_a_sender_that_dies_costs_what_it_had_in_flight_and_is_replaced(spread):
    client = spread.client()
    await client(told("say"))
    waiting = asyncio.ensure_future(client(told("wait")))
    with pytest.raises(AttemptError) as lost:
        await spread.death(client)
    with pytest.raises(AttemptError):
        await waiting
    error = lost.value
    assert (error.may_be_billed, error.retryable, error.unavailable) == (True, True, False)
    assert error.message.endswith(("(killed by signal 9)", "(its actor died)"))
    assert (await client(told("say", text="again"))).text == "again"
    (notice,) = spread.notices
    assert notice.id == "W140"
    assert "2 requests in flight may have been billed and are sent again" in notice.text


async def test_a_sender_of_another_version_is_refused(spread):
    client = spread.client(welcome=Welcome("0.0.1", None, None, 8, 15.0))
    with pytest.raises(ConfigError) as refused:
        await client(told("say"))
    assert refused.value.id == "E884"


async def test_what_keeps_a_sender_from_its_client_stops_the_run(spread):
    client = spread.client(welcome=Welcome(__version__, "refused", None, 8, 15.0))
    for _ in range(2):
        with pytest.raises(ConfigError) as refused:
            await client(told("say"))
        assert (refused.value.id, refused.value.fix) == ("E219", "copy it again")


async def test_a_client_that_is_closed_leaves_no_process(spread):
    client = spread.client(2)
    await client(told("say"))
    waiting = asyncio.ensure_future(client(told("wait")))
    await asyncio.sleep(0)
    await client.close()
    spread.clients.clear()
    with pytest.raises(AttemptError):
        await waiting
    assert spread.notices == []
