"""Whole runs whose limits stand in a real Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from claudebatch.core.domain import PICO_PER_USD
from claudebatch.layers.budget import redis_budget
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


@pytest.fixture
def known(monkeypatch) -> None:
    """Servers of this test have never forgotten anything: nobody waits for others."""
    monkeypatch.setattr(redis_budget, "_REPORT_S", 0)


def test_processes_that_share_one_limit_and_one_cap_meet_no_429_and_never_pass_it(
    world, processes, serve, redis, known
):
    api = serve(limits=SimulatedAllowance(rpm=1200, burst_seconds=1.0), use_all_max_tokens=True)
    cap = 0.002
    world.configure(f"budget: {{day: {cap}}}\n")
    world.write("first.jsonl", prompts(1, max_tokens=100))
    first = world.claudebatch("run", "first.jsonl", "-o", "first.out", "-m", HAIKU)
    assert first.code == 0, first.err
    for name in "abc":
        world.write(f"{name}.jsonl", prompts(20, system=name, max_tokens=100))
    runs = []
    for name in "abc":
        # Machines of their own: nothing but the server knows what the others spend.
        world.environment["CLAUDEBATCH_STATE_DIR"] = str(world.folder / name)
        runs.append(world.launch("run", f"{name}.jsonl", "-o", f"{name}.out", "-m", HAIKU, "--yes"))
    codes = {run.wait().code for run in runs}
    # One of them may have begun so early that it had enough for all of its rows.
    assert codes in ({3}, {0, 3}), "the cap of the day is used up"
    assert set(api.stats()["by_status"]) == {"200"}
    spent = sum(world.settled(f"{name}.out") for name in ("first", *"abc"))
    assert 0.9 * cap < spent / PICO_PER_USD <= cap
    sent = [
        moment / 1000
        for name in "abc"
        for (moment,) in world.query("SELECT sent_ms FROM attempts", output=f"{name}.out")
    ]
    fullest = max(sum(at <= each < at + 1 for each in sent) for at in sent)
    # What was not used for a quarter of a second is made up for.
    assert fullest <= 20 + 5 + 3, "three times as many, did each process pace itself alone"


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


def test_a_password_that_changes_in_mid_run_stops_it_and_no_answer_is_lost(world, serve, redis):
    client = pytest.importorskip("redis").Redis(port=redis.port)
    api = serve(limits=SimulatedAllowance(rpm=3000, burst_seconds=1.0), latency="fixed:0.1")
    client.execute_command("ACL", "SETUSER", "batch", "on", ">pw-1", "~*", "+@all")
    world.environment["CLAUDEBATCH_SHARED"] = redis.url.replace("//", "//batch:pw-1@")
    world.write("in.jsonl", prompts(60))
    run = ("run", "in.jsonl", "-o", "out.jsonl", "-m", HAIKU, "--yes")

    def change() -> None:
        while api.requests < 20:
            time.sleep(0.005)
        client.execute_command("ACL", "SETUSER", "batch", "resetpass", ">pw-2")
        client.client_kill_filter(_type="normal", skipme=True)

    changing = threading.Thread(target=change)
    changing.start()
    done = world.claudebatch(*run)
    changing.join()
    assert done.code == 4 and "E870" in done.err and "pw-1" not in done.err, done.err
    world.environment["CLAUDEBATCH_SHARED"] = redis.url.replace("//", "//batch:pw-2@")
    done = world.claudebatch(*run)
    assert (done.code, len(world.results())) == (0, 60), done.err
    assert set(api.asked().values()) == {1}, "what was in flight then has come, and was kept"


def test_a_rehearsal_shares_nothing(world, redis):
    redis.stop()
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-m", HAIKU, "--simulate")
    assert (done.code, len(world.results())) == (0, 3), done.err
