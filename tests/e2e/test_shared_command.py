"""`claudebatch shared` and `doctor` beside a real Redis."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from claudebatch.cli.wiring.api_target import scope_of
from claudebatch.core.domain import PICO_PER_USD
from claudebatch.layers.budget import redis_budget
from claudebatch.setup.shared_server import shared_prefix
from claudebatch.storage.shared_server.settings import SharedSettings
from tests.e2e.world import prompts
from tests.support.redis_servers import OwnServer, needs_redis_server

pytestmark = needs_redis_server

HAIKU = "claude-haiku-5-5"
DEAD = "20261122T120400-dead"


class Server:
    """A Redis of the test's own, and what lies in it."""

    def __init__(self, own: OwnServer, prefix: str) -> None:
        import redis

        self.own = own
        self.prefix = prefix
        self.redis = redis.Redis(port=own.port)

    def plant(self, *, run: str, alive: bool = False) -> None:
        """Let *run* hold a dollar, and have it in flight."""
        day, name = time.strftime("%Y-%m-%d", time.gmtime()), f"host-9/7/ab.{run}"
        place = f"{self.prefix}:caps"
        self.redis.hset(f"{place}:holds", name, f"{PICO_PER_USD} {day} 0 {run} ")
        for window in ("total", day[:7], day):
            self.redis.hincrby(f"{place}:held", window, PICO_PER_USD)
        if alive:
            self.redis.zadd(f"{place}:heard", {run: time.time() + 50})
        for pool in self.redis.hkeys(f"{self.prefix}:pools"):
            limits = f"{self.prefix}:limits:{pool.decode()}"
            self.redis.hset(f"{limits}:booked", name, "1 1 0")
            self.redis.zadd(f"{limits}:leases", {name: time.time() + 900})


@pytest.fixture
def server(world, serve, monkeypatch) -> Iterator[Server]:
    pytest.importorskip("redis")
    api = serve()
    own = OwnServer(world.folder)
    own.start("--appendonly", "yes")
    world.environment["CLAUDEBATCH_SHARED"] = own.url
    world.configure("budget: {day: 5}\n")
    settings = SharedSettings(own.url, "")
    # It has never forgotten anything: nobody waits for others.
    monkeypatch.setattr(redis_budget, "_REPORT_S", 0)
    yield Server(own, shared_prefix(settings, scope_of(api.url)))
    own.stop()


def shared(world, *words: str) -> Any:
    done = world.claudebatch("shared", *words, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_what_stands_there_is_shown_and_what_a_dead_machine_holds_is_released(world, server):
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-m", HAIKU, "--yes", "--json")
    assert done.code == 0, done.err
    waited = json.loads(done.out.splitlines()[-1])["shared"]
    assert waited["round_trips"] >= 12 and waited["server_s"] > 0 and waited["away_s"] == 0
    server.plant(run=DEAD)
    found = shared(world, "status")
    spent = world.settled()
    day = found["caps"][0]
    assert (day["name"], day["limit_usd"], day["held_usd"]) == ("day", "5", "1")
    assert float(day["spent_usd"]) == spent / PICO_PER_USD
    (dead,) = (run for run in found["runs"] if run["run"] == DEAD)
    assert (dead["state"], dead["requests"], dead["processes"]) == ("silent", 1, ["host-9/7/ab"])
    (pool,) = found["pools"]
    assert pool["in_flight"] == {"host-9/7/ab": 1}
    told = world.claudebatch("shared", "status").out
    assert re.search(rf"{DEAD} +silent +- ", told) and "1 of 1,000" in told and "$4.00" in told

    asked = world.claudebatch("shared", "release", "host-9")
    assert asked.code == 2 and "E878" in asked.err and "add --yes" in asked.err
    assert shared(world, "status") == found, "nothing was done"
    did = world.claudebatch("shared", "release", "host-9", "--yes")
    assert (did.code, did.out.splitlines()) == (
        0,
        [
            f"{DEAD}: $1.00 reserved for 1 request counts as spent (maybe billed) until its "
            "journal says better",
            "1 request in flight makes room for others",
        ],
    )
    after = shared(world, "status")
    assert after["caps"][0]["held_usd"] == "0" and after["pools"][0]["in_flight"] == {}
    assert float(after["caps"][0]["spent_usd"]) == 1 + spent / PICO_PER_USD
    did = shared(world, "release", DEAD, "--free", "--yes")
    assert did["runs"][0]["given_back_usd"] == "1" and not did["maybe_billed"]
    assert float(shared(world, "status")["caps"][0]["spent_usd"]) == spent / PICO_PER_USD


def test_a_server_that_has_lost_its_memory_is_told_what_this_machine_has_spent(world, server):
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-m", HAIKU, "--yes")
    assert done.code == 0, done.err
    spent = world.settled() / PICO_PER_USD
    assert shared(world, "status")["untold"] == []
    assert "the server knows all that this machine has spent" in world.claudebatch("doctor").out
    server.redis.flushall()
    (lacking,) = shared(world, "status")["untold"]
    assert float(lacking["usd"]) == spent
    assert lacking["day"] == time.strftime("%Y-%m-%d", time.gmtime())
    told = world.claudebatch("shared", "status").out
    assert "of 1 run that the server does not know" in told and "shared restore" in told
    found = world.claudebatch("doctor").out
    assert "does not know of $" in found and "claudebatch shared restore" in found
    assert shared(world, "status")["untold"] == [lacking], "a look changes nothing"

    told = shared(world, "restore")["told"]
    assert told == [lacking]
    after = shared(world, "status")
    assert (after["untold"], float(after["caps"][0]["spent_usd"])) == ([], spent)
    done = world.claudebatch("shared", "restore")
    assert (done.code, done.out) == (0, "the server knows all that this machine's ledger knows\n")
    assert float(shared(world, "status")["caps"][0]["spent_usd"]) == spent, "once"
    # The next run finds its money there, and counts on.
    world.write("more.jsonl", prompts(3, max_tokens=7))
    done = world.claudebatch("run", "more.jsonl", "-o", "more.out", "-m", HAIKU, "--yes")
    assert done.code == 0, done.err
    spent += world.settled("more.out") / PICO_PER_USD
    assert float(shared(world, "status")["caps"][0]["spent_usd"]) == pytest.approx(spent, 1e-12)


def test_a_run_that_is_alive_or_unknown_is_left_alone(world, server):
    server.plant(run="alive", alive=True)
    done = world.claudebatch("shared", "release", "alive", "--yes")
    assert done.code == 7 and "E877" in done.err and "it is alive" in done.err
    assert "alive  alive" in world.claudebatch("shared", "status").out
    done = world.claudebatch("shared", "release", "nobody", "--yes")
    assert done.code == 2 and "E876" in done.err


def test_doctor_looks_at_the_server_and_a_server_that_is_away_is_told_by_both(world, server):
    found = world.claudebatch("doctor").out
    assert f"127.0.0.1:{server.own.port}: Redis" in found
    assert "appendonly yes" in found and "nothing is evicted" in found
    server.own.stop()
    done = world.claudebatch("doctor")
    assert done.code == 5 and "does not answer" in done.out
    assert "shared" not in world.claudebatch("doctor", "--offline").out
    done = world.claudebatch("shared", "status")
    assert done.code == 5 and "E890" in done.err and "claudebatch doctor" in done.err
    del world.environment["CLAUDEBATCH_SHARED"]
    done = world.claudebatch("shared", "status")
    assert done.code == 2 and "E879" in done.err
