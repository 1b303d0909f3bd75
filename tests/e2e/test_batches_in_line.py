"""A batch that the API does not take now: others are collected meanwhile, and the run
ends where it must not wait any longer.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from claudebatch.simulator import SimulatedBatches
from tests.e2e.world import World, prompts

BATCH = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku", "--batch")


@pytest.fixture
def batches(world: World, serve: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An API that has room for 20 rows of batches; batches last as many milliseconds
    as given.
    """
    world.configure("batches: {poll: 0.05s, max_requests: 20}\n")
    world.write("in.jsonl", prompts(30))

    def start(ms: int, first_wait_s: float) -> Any:
        monkeypatch.setattr("claudebatch.engine.batches.to_make._FIRST_WAIT_S", first_wait_s)
        return serve(batches=SimulatedBatches(time=1000.0, latency=f"fixed:{ms}", queue=20))

    return start


def test_while_one_waits_for_room_others_are_collected(world: World, batches: Any) -> None:
    # It comes back long before the next try.
    simulator = batches(500, 1.5)
    done = world.claudebatch(*BATCH, "--budget", "5", "--json")
    assert done.code == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    told = [(event["batch"], event["state"]) for event in events if event["event"] == "batch"]
    states = [one for one in told if one[1] in ("submitted", "collected")]
    assert states == [(1, "submitted"), (1, "collected"), (2, "submitted"), (2, "collected")]
    assert simulator.stats()["batches"]["made"] == 2
    assert len(world.results()) == 30
    assert world.ledger() == (simulator.stats()["billed_pico"], 0)


def test_an_outage_that_lasts_too_long_ends_the_run(world: World, batches: Any) -> None:
    simulator = batches(1_000_000, 0.2)
    world.configure("max_outage: 0.3s\n")
    # It goes away while the second batch waits for room.
    leaves = threading.Timer(0.0, simulator.close)
    watch = threading.Thread(target=lambda: (_until_made(simulator), leaves.start()))
    watch.start()
    done = world.claudebatch(*BATCH, "--budget", "5")
    watch.join()
    leaves.join()
    assert (done.code, "E781" in done.err) == (5, True), done.err
    # Only the batch that was made holds money.
    worst = world.query("SELECT sum(worst) FROM attempts WHERE state = 6")[0][0]
    assert world.ledger() == (0, worst)
    assert world.query("SELECT state, count(*) FROM batches GROUP BY state") == [(2, 1), (4, 1)]


def _until_made(simulator: Any) -> None:
    for _ in range(2000):
        stats = simulator.stats()
        if stats["rate_limited"]:
            return
        threading.Event().wait(0.005)


def test_a_kind_of_rows_that_the_api_refuses_is_not_sent_and_others_are(
    world: World, batches: Any
) -> None:
    simulator = batches(1, 0.2)
    odd = [
        {"id": f"odd-{n}", "prompt": f"{n} [[simulate: error 400]]", "stop_sequences": ["x"]}
        for n in range(5)
    ]
    world.write("in.jsonl", [*prompts(10), *odd])
    done = world.claudebatch(*BATCH, "--budget", "5")
    assert (done.code, "E850" in done.err) == (2, True), done.err
    assert "5 requests not sent: the API refuses such ones; in.jsonl:11: " in done.err
    assert set(world.results()) == {f"row-{n}" for n in range(10)}
    assert simulator.stats()["batches"]["requests"] == 10
    # Whoever knows better says so, and pays nothing for it.
    done = world.claudebatch(*BATCH, "--no-check")
    assert done.code == 1, done.err
    assert world.results()["odd-0"]["error"]["type"] == "invalid_request_error"


def test_where_nobody_tells_of_batches_the_run_ends_and_the_next_one_collects(
    world: World, batches: Any
) -> None:
    simulator = batches(1000, 1.0)
    world.configure("max_outage: 0.4s\n")
    rows = (*BATCH, "-n", "20", "--budget", "5")
    assert world.claudebatch(*rows, "--detach").code == 0
    held = world.ledger()
    simulator.set_faults({"batch_500": 1.0})
    done = world.claudebatch(*rows)
    assert (done.code, "E782" in done.err) == (5, True), done.err
    assert world.ledger() == held, "what is with the API is held as before"
    simulator.set_faults({})
    done = world.claudebatch(*rows)
    assert done.code == 0, done.err
    assert len(world.results()) == 20
    assert simulator.stats()["batches"]["made"] == 1
    assert world.ledger() == (simulator.stats()["billed_pico"], 0)
