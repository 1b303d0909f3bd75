"""Two commands at one batch: one collects while another collects, cancels, deletes or
attaches it. Every row once, and the books are the bill.
"""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from claudebatch.simulator import SimulatedBatches
from claudebatch.simulator.latency import parse_latency
from tests.e2e.moments import Moment
from tests.e2e.test_batches_attached import made_elsewhere
from tests.e2e.world import Process, World, prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku")
BATCH = (*RUN, "--batch")
ROWS = 10


@pytest.fixture
def batches(processes: World, serve: Any) -> Any:
    """Serves batches that last for so many of their seconds, a thousand in one."""
    processes.configure("batches: {poll: 0.05s, max_requests: 20}\n")

    def start(ends_after: int, **settings: Any) -> Any:
        processes.write("in.jsonl", prompts(ROWS))
        return serve(
            batches=SimulatedBatches(time=1000.0, latency=f"fixed:{ends_after}"), **settings
        )

    return start


def stopped(world: World, where: str, *command: str) -> Process:
    """*command* in a process of its own that stands still where it calls *where*."""
    reached = world.path("reached")
    process = world.launch(*command, moment=Moment((signal.SIGSTOP,), where, reached=str(reached)))
    world.until(reached.exists, what=where)
    return process


def goes_on(process: Process) -> int:
    process.send(signal.SIGCONT)
    done = process.wait()
    print(done.err)
    return done.code


def paid_once(world: World, simulator: Any, output: str = "out.jsonl") -> None:
    stats = simulator.stats()
    lines = world.results(output).values()
    assert [line["status"] for line in lines] == ["succeeded"] * ROWS
    assert stats["batches"]["billed_again"] == 0
    assert world.settled(output) == stats["billed_pico"]
    assert world.ledger() == (stats["billed_pico"], 0)


@pytest.mark.parametrize("where", ["sender.py:_ask", "collect.py:_write", "sender.py:_over"])
def test_while_one_collects_another_is_refused_and_takes_nothing(
    processes: World, batches: Any, where: str
) -> None:
    world, simulator = processes, batches(1)
    first = stopped(world, where, *BATCH)
    for command in ((*RUN, "--collect"), BATCH, ("batches", "collect", "out.jsonl")):
        done = world.claudebatch(*command)
        assert done.code == 7, done.err
    assert goes_on(first) == 0
    paid_once(world, simulator)


@pytest.mark.parametrize("where", ["sender.py:_ask", "collect.py:_write", "sender.py:_over"])
def test_what_is_collected_now_is_neither_deleted_nor_canceled(
    processes: World, batches: Any, where: str
) -> None:
    world, simulator = processes, batches(1)
    first = stopped(world, where, *BATCH)
    (name,) = world.query("SELECT id FROM batches")[0]
    time.sleep(0.01)
    done = world.claudebatch("batches", "delete", name)
    assert (done.code, "E773" in done.err) == (2, True), done.err
    done = world.claudebatch("batches", "cancel", "out.jsonl")
    assert (done.code, "has ended already" in done.out) == (0, True), done.err
    assert goes_on(first) == 0
    paid_once(world, simulator)
    assert world.claudebatch("batches", "delete", name).code == 0
    assert world.claudebatch(*BATCH).code == 0
    paid_once(world, simulator)


def test_canceled_by_another_while_a_run_waits_its_rows_go_into_the_next_batch(
    processes: World, batches: Any
) -> None:
    world, simulator = processes, batches(80_000)
    first = world.launch(*BATCH)
    world.until(lambda: world.batch_states() == ["open"])
    # From now on they end at once.
    simulator.ask(lambda one: setattr(one._batches, "_latency", parse_latency("fixed:1")))
    done = world.claudebatch("batches", "cancel", "out.jsonl")
    assert (done.code, "is being canceled" in done.out) == (0, True), done.err
    assert goes_on(first) == 0
    stats = simulator.stats()["batches"]
    assert (stats["made"], stats["requests"]) == (2, ROWS + stats["canceled"])
    paid_once(world, simulator)


def test_attached_twice_it_is_booked_once(processes: World, batches: Any) -> None:
    world, simulator = processes, batches(1)
    name = made_elsewhere(simulator, *(f"row-{n}" for n in range(ROWS)))
    attach = ("batches", "attach", name, "in.jsonl", "-m", "haiku", "-o")
    assert world.claudebatch(*attach, "out.jsonl").code == 0
    done = world.claudebatch(*attach, "out.jsonl")
    assert (done.code, "N119" in done.err) == (0, True), done.err
    done = world.claudebatch(*attach, "other.jsonl")
    assert (done.code, "E851" in done.err) == (2, True), done.err
    paid_once(world, simulator)


def test_attached_by_two_at_once_it_is_one_runs(processes: World, batches: Any) -> None:
    world, simulator = processes, batches(1)
    name = made_elsewhere(simulator, *(f"row-{n}" for n in range(ROWS)))
    attach = ("batches", "attach", name, "in.jsonl", "-m", "haiku", "-o")
    late = stopped(world, "attach.py:_take", *attach, "late.jsonl")
    assert world.claudebatch(*attach, "out.jsonl").code == 0
    assert goes_on(late) == 2
    paid_once(world, simulator)
    # What it had begun is undone: no row of that run waits for anything.
    done = world.claudebatch("run", "in.jsonl", "-m", "haiku", "-o", "late.jsonl")
    assert done.code == 0, done.err
    assert world.ledger() == (simulator.stats()["billed_pico"], 0)


@pytest.mark.parametrize("output", ["out.jsonl", "other.jsonl"])
def test_one_that_a_run_looks_for_is_nobody_elses(
    processes: World, batches: Any, output: str
) -> None:
    """Its create was not answered: attached by id, it would be answered twice."""
    world, simulator = processes, batches(1, script=("batch_504",))
    first = stopped(world, "find_orphans.py:look", *BATCH)
    first.send(signal.SIGKILL)
    first.wait()
    (name,) = simulator.ask(lambda one: list(one._batches._jobs))
    attach = ("batches", "attach", name, "in.jsonl", "-m", "haiku", "-o", output)
    done = world.claudebatch(*attach)
    assert (done.code, "E851" in done.err) == (2, True), done.err
    assert world.claudebatch(*BATCH).code == 0
    assert simulator.stats()["batches"]["made"] == 1
    paid_once(world, simulator)
