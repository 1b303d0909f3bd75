"""Senders that die, fall silent, cannot be started or reach nobody, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from claudebatch import __version__
from claudebatch.clients.senders import frames
from claudebatch.clients.senders.frames import Welcome
from claudebatch.clients.senders.spread_client import SpreadClient
from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import ApiUnavailable, AttemptError, StopRun, Unreachable
from claudebatch.core.notice import Notice
from tests.support.acting_client import ActingClient, answer, told
from tests.support.memory_links import MemoryLink, MemoryPlaces
from tests.support.virtual import now, settled, virtual

WELCOME = Welcome(__version__, None, None, 8, 15.0)
MAX_OUTAGE_S = 900.0


class Crew:
    def __init__(self, places: MemoryPlaces) -> None:
        self.places = places
        self.notices: list[Notice] = []
        self.client = SpreadClient(
            places,
            WELCOME,
            here=ActingClient,
            max_outage_s=MAX_OUTAGE_S,
            now=now,
            notify=self.notices.append,
        )

    async def say(self, text: str = "hi") -> str:
        return (await self.client(told("say", text=text))).text


@asynccontextmanager
async def crew(places: MemoryPlaces) -> AsyncIterator[Crew]:
    made = Crew(places)
    try:
        yield made
    finally:
        await made.client.close()


@virtual
async def test_a_sender_that_falls_silent_is_given_up_after_half_a_minute():
    async with crew(MemoryPlaces()) as made:
        await made.say()
        (sender,) = made.places.started
        waiting = asyncio.ensure_future(made.client(told("wait")))
        await settled()
        began = now()
        sender.of_sender.mute = True
        with pytest.raises(AttemptError, match="silent for 30 s") as lost:
            await waiting
        assert lost.value.may_be_billed
        assert 25 <= now() - began <= 30
        assert await made.say("again") == "again"


@virtual
async def test_a_sender_without_work_is_not_taken_for_dead_nor_takes_its_driver_for_it():
    async with crew(MemoryPlaces()) as made:
        await made.say()
        await asyncio.sleep(3000)
        await made.say()
        assert (len(made.places.started), made.notices) == (1, [])


@virtual
async def test_a_sender_whose_driver_is_gone_calls_off_what_it_sends_and_ends():
    clients: list[ActingClient] = []

    def connect(welcome: Welcome) -> ActingClient:
        clients.append(ActingClient(welcome))
        return clients[-1]

    async with crew(MemoryPlaces(connect=connect)) as made:
        await made.say()
        (sender,) = made.places.started
        waiting = asyncio.ensure_future(made.client(told("wait")))
        await settled()
        began = now()
        sender.cut()
        await asyncio.wait([sender.task])
        assert 25 <= now() - began <= 30
        assert (clients[0].called_off, clients[0].closed) == (1, True)
        with pytest.raises(AttemptError):
            await waiting


@virtual
async def test_requests_go_to_the_sender_with_the_least_to_do():
    async with crew(MemoryPlaces(3)) as made:
        await asyncio.gather(*(made.say() for _ in range(3)))
        await asyncio.sleep(1)
        waiting = [asyncio.ensure_future(made.client(told("wait"))) for _ in range(30)]
        await settled()
        assert [one.in_flight for one in made.client.crew.ready] == [10, 10, 10]
        for task in waiting:
            task.cancel()


@virtual
async def test_places_that_come_are_taken_and_one_that_is_gone_is_not_missed():
    async with crew(MemoryPlaces(1)) as made:
        await made.say()
        made.places.number = 3
        await asyncio.sleep(6)
        assert len(made.client.crew.ready) == 3
        made.places.number = 2
        made.places.started[0].kill()
        await asyncio.sleep(30)
        assert (len(made.client.crew.ready), len(made.places.started)) == (2, 3)
        assert [notice.text for notice in made.notices] == [
            "a process that sends is gone (killed by signal 9): it had nothing in flight"
        ]


@virtual
async def test_where_no_sender_can_be_started_the_run_stops_with_the_reason():
    places = MemoryPlaces(2)
    places.broken = True
    async with crew(places) as made:
        waiting = [asyncio.ensure_future(made.say()) for _ in range(3)]
        await asyncio.wait(waiting)
        for task in waiting:
            stop = task.exception()
            assert isinstance(stop, ApiUnavailable) and stop.id == "E885"
            assert stop.message == "no process that sends could be started: no memory"
        assert now() < 60


@virtual
async def test_where_others_send_a_start_that_fails_is_told_once_and_tried_again():
    async with crew(MemoryPlaces(1)) as made:
        await made.say()
        made.places.broken, made.places.number = True, 2
        await asyncio.sleep(60)
        assert [notice.id for notice in made.notices] == ["W141"]
        assert await made.say("still") == "still"
        made.places.broken = False
        await asyncio.sleep(10)
        assert len(made.client.crew.ready) == 2


@virtual
async def test_senders_that_die_before_their_first_answer_are_not_started_for_ever():
    async with crew(MemoryPlaces(1)) as made:

        async def kill() -> None:
            while True:
                await asyncio.sleep(0.5)
                made.places.started[-1].kill()

        killing = asyncio.ensure_future(kill())
        ended: list[str] = []
        while "E885" not in ended and len(ended) < 50:
            try:
                await made.client(told("wait"))
            except StopRun as stop:
                ended.append(stop.id)
            except AttemptError as error:
                ended.append(error.type)
        killing.cancel()
        assert ended[-1] == "E885"
        assert len(made.places.started) == 5


class _Cut(ActingClient):
    """The second host has no way to the API."""

    made = 0

    def __init__(self, welcome: Welcome | None = None) -> None:
        super().__init__(welcome)
        _Cut.made += 1
        self.cut = _Cut.made == 2
        self.asked = 0

    async def __call__(self, call: Call) -> Reply:
        self.asked += 1
        await asyncio.sleep(0 if self.cut else 1)
        if self.cut:
            raise Unreachable("E702", "no connection to the API: no route", fix="check it")
        return answer("hi")


@virtual
async def test_a_host_without_a_way_to_the_api_does_not_stop_the_others_nor_get_their_rows():
    _Cut.made = 0
    clients: list[_Cut] = []

    def connect(welcome: Welcome) -> _Cut:
        clients.append(_Cut(welcome))
        return clients[-1]

    async with crew(MemoryPlaces(2, connect)) as made:
        await asyncio.sleep(1)
        with suppress(StopRun):
            await made.say()
        with suppress(StopRun):
            await made.say()
        failures: list[BaseException] = []
        for _ in range(20):
            found = await asyncio.gather(*(made.say() for _ in range(2)), return_exceptions=True)
            failures += [one for one in found if isinstance(one, BaseException)]
        assert {type(one) for one in failures} == {AttemptError}
        assert all("no route" in str(one) for one in failures)
        assert len(failures) <= 4, "after three it is passed over for a while"


@virtual
async def test_where_nobody_reaches_the_api_the_run_stops_as_it_does_with_one_process():
    async with crew(MemoryPlaces(2)) as made:

        async def unreachable(call: Call) -> Reply:
            raise Unreachable("E702", "no connection", fix="check it")

        await made.client.crew.pick()
        for sender in made.client.crew.ready:
            sender.answer = unreachable  # type: ignore[method-assign]
        with pytest.raises(Unreachable):
            await made.say()


@virtual
async def test_a_sender_that_hangs_is_given_up_after_the_deadline_of_its_request():
    async with crew(MemoryPlaces()) as made:
        with pytest.raises(AttemptError, match="no whole answer within 60 s"):
            await made.client(told("wait"))
        assert now() <= 76


@virtual
async def test_words_that_cannot_be_read_end_the_link():
    async with crew(MemoryPlaces()) as made:
        await made.say()
        (sender,) = made.places.started
        waiting = asyncio.ensure_future(made.client(told("wait")))
        await settled()
        sender.of_sender.put(b"\xc1 no frame")
        with pytest.raises(AttemptError, match="cannot be read"):
            await waiting
        await made.say()
        sender = made.places.started[-1]
        sender.of_driver.put(frames.frame(frames.Ready()))
        await asyncio.wait([sender.task])


def test_no_traceback_shows_the_key():
    welcome = Welcome("1", None, "sk-ant-secret", 1, 1.0, {"ANTHROPIC_API_KEY": "sk-ant-secret"})
    assert "secret" not in repr(welcome)


@virtual
async def test_a_request_that_never_left_goes_to_the_next_sender_at_no_cost():
    async with crew(MemoryPlaces(2)) as made:
        await made.say()
        await asyncio.sleep(1)
        # As a pipe that breaks before its end is read.
        made.places.started[0].of_driver.closed = True
        assert [await made.say(str(n)) for n in range(3)] == ["0", "1", "2"]


class _Stuck(MemoryPlaces):
    """Places that neither start a sender nor say why."""

    async def start(self) -> MemoryLink:
        await asyncio.sleep(3600 * 24)
        raise AssertionError

    async def wanted(self) -> int:
        if self.started:
            await asyncio.sleep(3600 * 24)
        return await super().wanted()


@virtual
async def test_a_request_waits_for_a_sender_for_as_long_as_an_outage_is_borne(monkeypatch):
    monkeypatch.setattr("claudebatch.clients.senders.crew._START_S", 3600.0)
    async with crew(_Stuck()) as made:
        began = now()
        with pytest.raises(ApiUnavailable, match="was there for 900 s") as stop:
            await made.say()
        assert (stop.value.id, stop.value.exit_code, now() - began) == ("E885", 5, MAX_OUTAGE_S)
        with pytest.raises(ApiUnavailable):
            await made.say()
        assert now() - began == MAX_OUTAGE_S, "the others are told at once"


@virtual
async def test_what_the_api_has_against_a_row_is_asked_from_here_and_starts_no_sender():
    async with crew(MemoryPlaces(2)) as made:
        assert await made.client.objection(told("count")) == "too long"
        await asyncio.sleep(60)
        assert made.places.started == []
        own = made.client._own
    assert isinstance(own, ActingClient) and own.closed
