"""Whole runs whose limits stand in a real Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from claudebatch.simulator.settings import SimulatedAllowance
from tests.e2e.world import prompts
from tests.support.redis_servers import OwnServer, needs_redis_server

pytestmark = needs_redis_server

HAIKU = "claude-haiku-5-5"
PACED = "limits: {tier: auto}\nretry: {base_s: 0.005, cap_s: 0.05}\n"


@pytest.fixture
def redis(world) -> Iterator[OwnServer]:
    """A Redis of the test's own, which its runs share."""
    server = OwnServer(world.folder)
    server.start()
    world.environment["CLAUDEBATCH_SHARED"] = server.url
    world.path("claudebatch.yaml").write_text(PACED)
    yield server
    server.stop()


def test_processes_that_share_one_limit_meet_no_429_and_waste_nothing(
    world, processes, serve, redis
):
    api = serve(limits=SimulatedAllowance(rpm=1200, burst_seconds=1.0))
    for name in "abc":
        world.write(f"{name}.jsonl", prompts(20, system=name))
    runs = [
        world.launch("run", f"{name}.jsonl", "-o", f"{name}.out", "-m", HAIKU, "--yes")
        for name in "abc"
    ]
    for run in runs:
        done = run.wait()
        assert done.code == 0, done.err
    assert api.stats()["by_status"] == {"200": 60}
    assert sum(len(world.results(f"{name}.out")) for name in "abc") == 60
    sent = [
        moment / 1000
        for name in "abc"
        for (moment,) in world.query("SELECT sent_ms FROM attempts", output=f"{name}.out")
    ]
    fullest = max(sum(at <= each < at + 1 for each in sent) for at in sent)
    assert fullest <= 20 + 3, "three times as many, did each process pace itself alone"


def test_a_server_that_is_stopped_and_started_in_mid_run_costs_no_row(world, serve, redis):
    api = serve(limits=SimulatedAllowance(rpm=3000, burst_seconds=1.0))
    world.write("in.jsonl", prompts(100))
    seen = []

    def stumble() -> None:
        while api.requests < 20:
            time.sleep(0.005)
        redis.stop()
        time.sleep(0.3)
        seen.append(api.requests)
        time.sleep(0.4)
        seen.append(api.requests)
        redis.start()

    stumbling = threading.Thread(target=stumble)
    stumbling.start()
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-m", HAIKU, "--yes")
    stumbling.join()
    assert (done.code, len(world.results())) == (0, 100), done.err
    assert seen[0] == seen[1] < 100, "nothing leaves without its admission"
    assert api.stats()["by_status"] == {"200": 100}, "no answer in flight was lost"
    assert "W128" in done.err and "nothing is sent until it answers" in done.err
    assert "N128" in done.err


def test_a_rehearsal_shares_nothing(world, redis):
    redis.stop()
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-m", HAIKU, "--simulate")
    assert (done.code, len(world.results())) == (0, 3), done.err
