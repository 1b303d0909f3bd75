"""A Redis that is killed while a run with several processes shares limits and a cap
over it, and is started again with all that it knew, or with nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from claudebatch.cli.wiring.api_target import scope_of
from claudebatch.core.domain import PICO_PER_USD
from claudebatch.setup.shared_server import shared_prefix
from claudebatch.simulator.settings import SimulatedAllowance
from claudebatch.storage.shared_server.settings import SharedSettings
from tests.e2e.world import prompts
from tests.support.redis_servers import OwnServer, needs_redis_server

pytestmark = needs_redis_server

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku", "--processes", "2", "-j", "8", "--yes")
KEEPS = {"keeps its memory": ("--appendonly", "yes"), "has lost its memory": ()}
ROWS, ANSWERED = 60, 20
# Money for two thirds of the rows.
CAP_USD = 0.002


@pytest.fixture
def redis(processes) -> Iterator[OwnServer]:
    """A Redis of the test's own."""
    server = OwnServer(processes.folder)
    yield server
    server.stop()


def sums(redis: OwnServer, place: str, window: str = "total") -> list[int]:
    """What is spent and held at the server."""
    client = pytest.importorskip("redis").Redis(port=redis.port)
    found = [int(client.hget(f"{place}:{what}", window) or 0) for what in ("gone", "held")]
    client.close()
    return found


@pytest.mark.parametrize("memory", KEEPS)
def test_nothing_is_sent_without_it_nothing_is_lost_and_the_run_goes_on_by_itself(
    processes, serve, redis, memory
):
    world, limits = processes, SimulatedAllowance(rpm=3000, burst_seconds=1.0)
    api = serve(limits=limits, use_all_max_tokens=True, held_after=ANSWERED)
    redis.start(*KEEPS[memory])
    place = f"{shared_prefix(SharedSettings(redis.url, ''), scope_of(api.url))}:caps"
    world.environment |= {
        "CLAUDEBATCH_SHARED": redis.url,
        # Processes are started by their own interpreter, which must find this checkout.
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    settings = "limits: {tier: auto}\nretry: {base_s: 0.005, cap_s: 0.05}\n"
    configure(world.path("claudebatch.yaml"), f"{settings}budget: {{day: {CAP_USD}}}\n")
    world.write("in.jsonl", prompts(ROWS, max_tokens=100))

    run = world.launch(*RUN)
    # All that is in flight is held by the API: it was admitted, and nothing else was.
    world.until(lambda: len(api.bodies) == ANSWERED + 8, what="a full house")
    redis.stop()
    world.until(lambda: "W128" in run.err, what="word of the server that is away")
    api.release()
    answered = "SELECT count(*) FROM attempts WHERE state = 1"
    world.until(lambda: world.query(answered) == [(ANSWERED + 8,)], what="the answers in flight")
    assert len(api.bodies) == ANSWERED + 8, "nothing leaves without its admission"
    redis.start(*KEEPS[memory])
    done = run.wait()
    assert done.code == 3, done.err
    assert "N128" in done.err
    billed = api.stats()["billed_pico"]
    assert 0.9 * CAP_USD < billed / PICO_PER_USD <= CAP_USD, "it went on, as far as the cap goes"
    assert sums(redis, place) == [billed, 0]

    configure(world.path("claudebatch.yaml"), settings)
    done = world.launch(*RUN).wait()
    assert (done.code, len(world.results())) == (0, ROWS), done.err
    assert api.stats()["by_status"] == {"200": ROWS}
    assert set(api.asked().values()) == {1}
    assert world.settled() == api.stats()["billed_pico"]
    assert world.ledger() == (api.stats()["billed_pico"], 0)


def configure(path: Path, text: str) -> None:
    path.write_text(text)
