"""Message batches of a run with several processes: they leave from the one that was
started, and rows that go at once from the others; every answer once.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

from claudebatch.clients.senders.process_links import ProcessPlaces
from claudebatch.simulator import SimulatedBatches
from tests.e2e.moments import Moment
from tests.e2e.test_kill import check_money
from tests.e2e.world import World, prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "--processes", "2", "-j", "8")
ROWS, AT_ONCE = 40, 15
IN_FLIGHT = 8


@pytest.fixture
def batches(world: World, serve: Any) -> Any:
    """Serves batches whose time flies, to runs that ask often."""
    world.configure(
        "batches: {poll: 0.05s, max_requests: 20}\nexpected_output_tokens: 1\n"
        "routes:\n  - {name: now, when: {tags: [now]}, model: claude-haiku-5-5, via: live}\n"
    )
    # Processes are started by their own interpreter, which must find this checkout.
    world.environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    urgent = [{**row, "tags": ["now"]} for row in prompts(AT_ONCE)]
    world.write("in.jsonl", [*urgent, *prompts(ROWS)[AT_ONCE:]])
    return serve(batches=SimulatedBatches(time=1000.0, latency="fixed:1"))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that runs of the test start."""
    found: list[int] = []
    start = ProcessPlaces.start

    async def noted(places: ProcessPlaces) -> Any:
        link = await start(places)
        assert link._process is not None
        found.append(link._process.pid)
        return link

    monkeypatch.setattr(ProcessPlaces, "start", noted)
    return found


def via(world: World) -> dict[str, int]:
    roads = [line["via"] for line in world.results().values()]
    return {road: roads.count(road) for road in set(roads)}


def test_where_all_goes_by_batch_no_process_is_started(
    world: World, batches: Any, started: list[int]
) -> None:
    world.write("in.jsonl", prompts(ROWS))
    done = world.claudebatch(*RUN, "--batch", "--budget", "5")
    assert done.code == 0, done.err
    assert via(world) == {"batch": ROWS}
    assert (started, batches.requests) == ([], 0)
    assert world.settled() == batches.stats()["billed_pico"]
    assert world.ledger() == (batches.stats()["billed_pico"], 0)


def test_where_all_goes_by_batch_no_cluster_is_joined(
    world: World, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    command = ("run", "in.jsonl", "-o", "out.jsonl", "--budget", "5", "--engine", "ray")
    live = world.claudebatch(*command)
    assert (live.code, "E882" in live.err) == (2, True), "it would be needed"
    world.write("in.jsonl", prompts(ROWS))
    done = world.claudebatch(*command, "--fresh", "--batch", "--yes")
    assert done.code == 0, done.err
    assert via(world) == {"batch": ROWS}


def test_rows_that_go_at_once_beside_a_batch_leave_from_the_processes(
    world: World, batches: Any, started: list[int]
) -> None:
    done = world.claudebatch(*RUN, "--via", "auto", "--deadline", "1h", "--budget", "5")
    assert done.code == 0, done.err
    assert len(world.results()) == ROWS
    found, stats = via(world), batches.stats()
    assert found == {"batch": ROWS - AT_ONCE, "live": AT_ONCE}
    assert (stats["batches"]["requests"], batches.requests) == (ROWS - AT_ONCE, AT_ONCE)
    assert len(started) == 2
    assert (stats["batches"]["billed_again"], stats["duplicates"]) == (0, 0)
    assert world.ledger() == (stats["billed_pico"], 0)
    assert world.settled() == stats["billed_pico"]


@pytest.mark.parametrize(
    "where", ["batch_client.py:create", "sender.py:_made", "collect.py:_write", "sender.py:_over"]
)
def test_killed_in_mid_batch_the_same_command_loses_nothing_and_pays_for_nothing_twice(
    processes: World, batches: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    world = processes
    # A list is believed after two seconds, not three minutes.
    monkeypatch.setattr("claudebatch.engine.batches.orphans.LAG_S", 2.0)
    command = (*RUN, "--via", "auto", "--deadline", "1h", "--budget", "5")
    reached = world.path("reached")
    driver = world.launch(*command, moment=Moment((signal.SIGKILL,), where, reached=str(reached)))
    assert driver.wait().code == -signal.SIGKILL
    assert reached.exists()
    done = world.claudebatch(*command)
    assert done.code == 0, done.err
    assert len(world.results()) == ROWS
    assert {line["status"] for line in world.results().values()} == {"succeeded"}
    stats = batches.stats()
    assert stats["batches"]["billed_again"] == 0
    assert stats["batches"]["requests"] == via(world)["batch"], "no row was in two batches"
    (unknown,) = world.query("SELECT count(*) FROM attempts WHERE state = 3")[0]
    assert unknown <= IN_FLIGHT and stats["duplicates"] <= unknown
    check_money(world, batches)
    before = stats["billed_pico"]
    assert world.claudebatch(*command).code == 0
    assert batches.stats()["billed_pico"] == before
