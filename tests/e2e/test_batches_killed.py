"""kill -9 at what a batch leaves on disk: begun, ready, made, collected, over; and once
more while the next session takes it up.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest

from claudebatch.simulator import SimulatedBatches
from tests.e2e.moments import Moment
from tests.e2e.world import World, prompts

BATCH = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku", "--batch", "--budget", "5")
ROWS = 30
# Of the main thread, in the order in which a batch comes by; and where the session
# after the death dies.
DEATHS = {
    "upload_file.py:add": "build.py:_write",
    "upload_file.py:finish": "sender.py:_make",
    "batch_client.py:create": "find_orphans.py:look",
    "sender.py:_made": "find_orphans.py:look",
    "collect.py:_write": "collect.py:_write",
    "collect.py:_finish": "sender.py:_ask",
    "sender.py:_over": "sender.py:_over",
}


@pytest.mark.parametrize("where", DEATHS)
def test_killed_twice_it_loses_no_answer_and_pays_for_none_twice(
    processes: World, serve: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    world = processes
    # A list is believed after two seconds, not three minutes.
    monkeypatch.setattr("claudebatch.engine.batches.orphans.LAG_S", 2.0)
    world.configure("batches: {poll: 0.05s, max_requests: 20}\n")
    simulator = serve(batches=SimulatedBatches(time=1000.0, latency="fixed:1"))
    world.write("in.jsonl", prompts(ROWS))
    for place in (where, DEATHS[where]):
        reached = world.path(f"reached-{place}".replace(":", "-"))
        process = world.launch(
            *BATCH, moment=Moment((signal.SIGKILL,), place, reached=str(reached))
        )
        assert process.wait().code == -signal.SIGKILL
        assert reached.exists()
    done = world.claudebatch(*BATCH)
    assert done.code == 0, done.err
    assert len(world.results()) == ROWS
    stats = simulator.stats()
    assert stats["batches"]["billed_again"] == 0
    assert stats["batches"]["requests"] == ROWS, "no row was in two batches"
    assert world.settled() == stats["billed_pico"]
    assert world.ledger() == (stats["billed_pico"], 0)
    again = world.claudebatch(*BATCH)
    assert again.code == 0
    assert simulator.stats()["billed_pico"] == stats["billed_pico"]
