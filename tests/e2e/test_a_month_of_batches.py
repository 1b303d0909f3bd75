"""A month with batches, by the commands of it, each a process of its own: sent and
left, killed, asleep for a night, collected, forgotten until the results are gone.
"""

from __future__ import annotations

import signal
from typing import Any

from claudebatch.simulator import SimulatedBatches
from tests.e2e.processes import Process
from tests.e2e.served import Served
from tests.e2e.world import World, prompts

# Of a clock that is a hundred times as fast: the API asks for waits of ten seconds.
PACE = 100.0
HOUR_S, DAY_S = 3600 / PACE, 86_400 / PACE
# Longer than a test takes, by far.
BATCHES = SimulatedBatches(time=PACE, latency=f"fixed:{7 * 3600}")
RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku", "--batch", "--budget", "5")


def states(world: World) -> list[str]:
    """The batches of this machine, the newest first."""
    done = world.launch("batches", "list", "--json").wait()
    assert done.code == 0, done.err
    return [batch["state"] for batch in done.lines[0]["batches"]]


def waiting(world: World, simulator: Served) -> Process:
    """The command, once it asks about its batches."""
    asked = simulator.stats()["other_requests"]
    process = world.launch(*RUN)
    world.until(lambda: simulator.stats()["other_requests"] > asked, what="a question")
    return process


def test_sent_killed_slept_through_and_collected_each_answer_is_paid_for_once(
    processes: World, serve: Any
) -> None:
    world = processes
    world.configure("batches: {poll: 0.05s, max_requests: 20}\n")
    simulator = serve(batches=BATCHES)
    world.write("in.jsonl", prompts(45))
    sent = world.launch(*RUN, "--detach").wait()
    assert sent.code == 0, sent.err
    assert "3 batches with 45 rows are with the API" in sent.err
    killed = waiting(world, simulator)
    killed.send(signal.SIGKILL)
    assert killed.wait().code == -signal.SIGKILL
    assert states(world) == ["open"] * 3
    assert simulator.stats()["billed_pico"] == 0, "nothing has come of it yet"

    asleep = waiting(world, simulator)
    asleep.send(signal.SIGSTOP)
    simulator.pass_time(8 * HOUR_S)
    asleep.send(signal.SIGCONT)
    done = asleep.wait()
    assert done.code == 0, done.err
    assert len(world.results()) == 45
    bill = simulator.stats()["billed_pico"]
    assert (world.settled(), world.ledger()) == (bill, (bill, 0))
    assert states(world) == ["collected"] * 3
    again = world.launch(*RUN).wait()
    stats = simulator.stats()
    assert (again.code, stats["batches"]["made"], stats["billed_pico"]) == (0, 3, bill)


def test_what_is_collected_after_a_month_is_lost_and_said_to_be(
    processes: World, serve: Any
) -> None:
    world = processes
    world.configure("batches: {poll: 0.05s, max_requests: 20}\n")
    simulator = serve(batches=BATCHES)
    world.write("in.jsonl", prompts(25))
    assert world.launch(*RUN, "--detach").wait().code == 0
    simulator.pass_time(2 * DAY_S)
    # Days later all is there still.
    assert world.launch("batches", "collect", "out.jsonl").wait().code == 0
    assert len(world.results()) == 25
    spent = world.settled()

    world.write("in.jsonl", prompts(30))
    assert world.launch(*RUN, "--detach").wait().code == 0
    simulator.pass_time(30 * DAY_S)
    assert states(world) == ["open", "collected", "collected"], "nobody has asked"
    late = world.launch("batches", "collect", "out.jsonl").wait()
    assert (late.code, "5 pending" in late.err) == (1, True)
    assert "is lost: the API keeps results for 29 days" in late.err
    assert "its 5 rows may have been billed, and are to be done again" in late.err
    assert states(world)[0] == "lost"
    assert len(world.results()) == 25
    settled, unknown = world.ledger()
    assert settled == spent
    assert settled + unknown >= simulator.stats()["billed_pico"] > spent

    # The same command sends those five again, and nothing else.
    assert world.launch(*RUN, "--detach").wait().code == 0
    simulator.pass_time(8 * HOUR_S)
    assert world.launch(*RUN).wait().code == 0
    assert len(world.results()) == 30
    assert simulator.stats()["batches"]["requests"] == 25 + 5 + 5
    assert sum(world.ledger()) >= simulator.stats()["billed_pico"]
