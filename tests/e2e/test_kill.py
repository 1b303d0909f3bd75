"""kill -9 at random moments, then the same command until it is done.

The simulator is the judge: it knows how often each prompt was asked and answered, and
what all of it cost.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter

import pytest

from tests.e2e.moments import Moment
from tests.e2e.world import PATIENCE_S, prompts
from tests.support.input_writers import write_input

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-q", "-j", "8")
CONCURRENCY = 8
# By the input: how often the run dies, and every how many deaths within its start,
# where files are copied.
DEATHS = {
    "in.jsonl": (20, 4),
    "in.csv": (6, 3),
    "in.parquet": (8, 2),
    "in.feather": (4, 2),
    "in.xlsx": (8, 2),
    "in.parquet.bz2": (4, 2),
    "texts": (6, 2),
}


@pytest.mark.parametrize("name", DEATHS)
def test_deaths_at_random_moments_lose_nothing_and_pay_for_nothing_twice(processes, serve, name):
    world, rng = processes, random.Random(20261122)
    deaths, start = DEATHS[name]
    rows = prompts(25 * deaths, max_tokens=500)
    api = serve(latency="uniform:0.02,0.06")
    run = (*RUN[:1], *write_input(world.work, name, rows), *RUN[2:])
    for number in range(deaths):
        code = die(world, api, rng, run, start=not number % start)
        assert code != 0, "the run was done before it had died often enough: give it more rows"
        assert code == -signal.SIGKILL
        check_output_so_far(world)

    done = world.launch(*run).wait()
    assert done.code == 0, done.err
    check_results(world, rows)
    check_requests(world, api, deaths)
    check_money(world, api)
    copies = [path.name for path in world.path("out.jsonl.claudebatch").glob("input*")]
    assert len(copies) == (name not in ("in.jsonl", "in.csv")), copies
    before, seen = world.path("out.jsonl").read_bytes(), api.requests
    assert world.launch(*run).wait().code == 0
    assert (world.path("out.jsonl").read_bytes(), api.requests) == (before, seen)


def die(world, api, rng, run, *, start):
    """The exit code of a session that is killed: in its *start*, recovery included, or
    within its first 20 requests. Counted, so that a busy machine changes nothing.
    """
    if start:
        calls = int(10 ** rng.uniform(2, 4))
        moment = Moment((signal.SIGKILL,), "main.py:run_command_line", calls=calls)
        return world.launch(*run, moment=moment).wait().code
    process = world.launch(*run)
    wanted = api.requests + rng.randrange(1, 20)
    world.until(lambda: api.requests >= wanted or not process.running)
    process.send(signal.SIGKILL)
    return process.wait().code


def check_output_so_far(world):
    """Whole lines are never wrong, not even right after a death."""
    path = world.path("out.jsonl")
    if path.exists():
        whole = path.read_bytes().split(b"\n")[:-1]
        ids = [json.loads(line)["id"] for line in whole]
        assert len(ids) == len(set(ids))


def check_results(world, rows):
    results = world.results()
    assert sorted(results) == sorted(row["id"] for row in rows)
    for id_, line in results.items():
        assert line["status"] == "succeeded"
        assert f"“{id_}”" in line["text"], "each row has its own answer"
    assert world.query("PRAGMA integrity_check") == [("ok",)]


def check_requests(world, api, deaths):
    """A prompt is asked again only for an attempt whose outcome died with the
    process.
    """
    attempts = Counter()
    for id_, state in world.query(
        "SELECT r.id, a.state FROM attempts a JOIN rows r ON r.row = a.row"
    ):
        attempts[id_, state] += 1
    assert {state for _, state in attempts} <= {1, 3}, "answered, or unknown: nothing failed"
    results = world.results()
    for id_, asked in api.asked().items():
        assert results[id_]["source"] == "api", "what is in the cache is in the journal"
        assert attempts[id_, 1] == 1, "one answer was received, kept and used"
        assert asked - 1 <= attempts[id_, 3], (
            f"{id_} was asked again although its answer had been received"
        )
    unknown = sum(count for (_, state), count in attempts.items() if state == 3)
    assert unknown <= deaths * CONCURRENCY
    assert api.requests <= len(api.asked()) + unknown
    assert api.stats()["duplicates"] <= unknown


def check_money(world, api):
    billed, settled = api.stats()["billed_pico"], world.settled()
    (unknown,) = world.query("SELECT coalesce(sum(worst), 0) FROM attempts WHERE state = 3")[0]
    assert settled <= billed <= settled + unknown
    spent, held = world.ledger()
    assert (spent, held) == (settled, unknown)


def test_a_process_started_the_usual_way_survives_its_death_too(world, serve):
    """The same, once without the zygote: `python -m claudebatch` as a user starts
    it.
    """
    api = serve(held_after=20)
    rows = prompts(120)
    world.write("in.jsonl", rows)
    command = [sys.executable, "-m", "claudebatch", *RUN]
    environment = {**world.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    with subprocess.Popen(
        command, cwd=world.work, env=environment, stdin=subprocess.DEVNULL
    ) as process:
        world.until(lambda: api.requests > 20)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
    api.release()
    assert world.claudebatch(*RUN).code == 0
    check_results(world, rows)
    check_requests(world, api, 1)
    check_money(world, api)
