"""Senders on the hosts of a Ray cluster, with a stand-in for Ray; the real one goes
through the contract of all senders where it is installed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable

import pytest

from claudebatch import __version__
from claudebatch.cli.wiring.spread import Spread, spread_of
from claudebatch.clients.senders.frames import Welcome
from claudebatch.clients.senders.ray_links import RayPlaces, _Actor
from claudebatch.clients.senders.spread_client import SpreadClient
from claudebatch.core.errors import ApiUnavailable, AttemptError, ConfigError
from tests.support.acting_client import ActingClient, act, told
from tests.support.stand_in_ray import stand_in
from tests.support.virtual import now, virtual

WELCOME = Welcome(__version__, None, None, 8, 15.0)


def spread(places: RayPlaces, now: Callable[[], float] = now) -> SpreadClient:
    return SpreadClient(
        places, WELCOME, here=ActingClient, max_outage_s=900.0, now=now, notify=lambda notice: None
    )


async def on_hosts(ray, processes, *, then=lambda: None):
    """How many senders are on each host."""
    places = RayPlaces(processes, address="auto", serve=act)
    client = spread(places)
    try:
        await client(told("say"))
        await asyncio.sleep(6)
        then()
        await asyncio.sleep(20)
        return Counter(actor.host for actor in ray.actors if not actor._dead)
    finally:
        await client.close()


@virtual
async def test_each_host_that_works_has_one_sender_and_a_new_one_gets_one(monkeypatch):
    ray = stand_in(monkeypatch, "a", "b")
    found = await on_hosts(ray, None, then=lambda: ray.hosts.append("c"))
    assert found == {"a": 1, "b": 1, "c": 1}


@virtual
async def test_so_many_processes_are_spread_over_the_hosts(monkeypatch):
    ray = stand_in(monkeypatch, "a", "b")
    assert await on_hosts(ray, 5) == {"a": 3, "b": 2}


@virtual
async def test_a_host_that_is_gone_is_not_replaced_until_it_is_back(monkeypatch):
    ray = stand_in(monkeypatch, "a", "b")

    def lose() -> None:
        ray.hosts.remove("b")
        next(actor for actor in ray.actors if actor.host == "b").die()

    assert await on_hosts(ray, None, then=lose) == {"a": 1}


@virtual
async def test_senders_go_on_while_the_head_is_away(monkeypatch):
    ray = stand_in(monkeypatch, "a", "b")

    def away() -> None:
        ray.fault = ConnectionError("no head")

    assert await on_hosts(ray, None, then=away) == {"a": 1, "b": 1}


@pytest.mark.parametrize("hangs", [False, True])
@virtual
async def test_a_head_that_stays_away_ends_the_run_before_its_hosts_end(monkeypatch, hangs):
    ray = stand_in(monkeypatch, "a", "b")
    places = RayPlaces(None, address="auto", serve=act)
    client = spread(places)
    assert (await client(told("say"))).text == ""
    # It is back in time, once: that is no reason to stop.
    ray.fault, ray.hangs = (None, True) if hangs else (ConnectionError("no head"), False)
    await asyncio.sleep(30)
    ray.fault, ray.hangs = None, False
    await asyncio.sleep(30)
    ray.fault, ray.hangs = (None, True) if hangs else (ConnectionError("no head"), False)
    began = now()
    waiting = asyncio.ensure_future(client(told("wait")))
    with pytest.raises(ApiUnavailable) as stop:
        while now() - began < 3600:
            await client(told("say"))
            await asyncio.sleep(1)
    assert (stop.value.id, stop.value.exit_code) == ("E887", 5)
    assert 40 <= now() - began <= 55, "a minute, and its hosts end with all in flight"
    assert not waiting.done(), "what is in flight has still its time to come"
    began = now()
    await client.close()
    assert now() - began <= 15, "whatever hangs"
    with pytest.raises(AttemptError):
        await waiting


@virtual
async def test_a_shorter_outage_that_is_borne_ends_it_sooner(monkeypatch):
    ray = stand_in(monkeypatch, "a")
    places = RayPlaces(None, address="auto", serve=act, max_outage_s=10.0)
    assert await places.wanted() == 1
    ray.fault = ConnectionError("no head")
    assert await places.wanted() == 1, "as it was"
    await asyncio.sleep(10)
    with pytest.raises(ApiUnavailable, match="away for 10 s"):
        await places.wanted()


@virtual
async def test_letters_that_come_in_another_order_are_read_in_theirs():
    actor = _Actor(lambda code: None)
    await actor.put(1, [b"c"])
    await actor.put(0, [b"a", b"b"])
    await actor.put(2, [b"d"])
    assert [actor._in.get_nowait() for _ in range(4)] == [b"a", b"b", b"c", b"d"]


@virtual
async def test_an_actor_whose_life_is_over_leaves_its_process():
    left = []
    actor = _Actor(left.append)

    async def nothing(link):
        return

    await actor.begin(nothing)
    await asyncio.sleep(1)
    assert left == [0]


async def refusal(places: RayPlaces) -> ConfigError:
    client = SpreadClient(
        places,
        WELCOME,
        here=ActingClient,
        max_outage_s=900.0,
        now=lambda: 0.0,
        notify=lambda notice: None,
    )
    try:
        with pytest.raises(ConfigError) as refused:
            await client(told("say"))
    finally:
        await client.close()
    return refused.value


async def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    error = await refusal(RayPlaces(2, address="auto", serve=act))
    assert (error.id, error.fix) == ("E882", "pip install 'claudebatch[ray]', on all hosts")


async def test_a_cluster_that_is_not_there_is_named(monkeypatch):
    stand_in(monkeypatch, fault=ConnectionError("no cluster found\nand a long story"))
    error = await refusal(RayPlaces(None, address="10.0.0.1:6379", serve=act))
    assert error.id == "E883"
    assert "at 10.0.0.1:6379 that can be joined: no cluster found" in error.message
    assert "story" not in error.message


@pytest.mark.parametrize(
    ("engine", "spread"),
    [
        ("local", Spread(3)),
        ("ray", Spread(3, "auto")),
        ("ray://10.0.0.1:6379", Spread(3, "10.0.0.1:6379")),
    ],
)
def test_an_engine_is_on_this_host_or_a_cluster(engine, spread):
    assert spread_of(processes=3, engine=engine, simulate=False) == spread


def test_the_api_s_variables_are_told_to_other_hosts_only(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    assert Spread(2).variables() == {}
    assert Spread(2, "auto").variables()["ANTHROPIC_API_KEY"] == "k"
    assert "HTTPS_PROXY" not in Spread(2, "auto").variables()


@pytest.mark.parametrize("set_by_user", [None, "7"])
def test_ray_does_not_end_the_driver_before_it_has_stopped_in_good_order(monkeypatch, set_by_user):
    name = "RAY_gcs_rpc_server_reconnect_timeout_s"
    monkeypatch.setenv(name, set_by_user or "")
    Spread(2).places(900.0)
    assert os.environ[name] == (set_by_user or "")
    Spread(2, "auto").places(900.0)
    assert os.environ[name] == (set_by_user or "86400")
