"""Five of fifty rows always draw a 500: they fail after their attempts, wherever they
stand, in one session and in two (once, every session ended with 5 after `max_outage`).
"""

from __future__ import annotations

import signal

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "--json")
FAILURES = "SELECT count(*) FROM attempts WHERE error IS NOT NULL GROUP BY row"
ROWS = [
    *prompts(45),
    *({"id": f"bad-{n}", "prompt": f"[[simulate: error 500]] {n}"} for n in range(5)),
]
PLACES = {"among the others": [ROWS[n * 11 % 50] for n in range(50)], "at the end": ROWS}
MORE = "concurrency: 8\nmax_outage: 20s\n"


def check(world, done):
    assert done.code == 1, done.err
    assert (done.lines[-1]["succeeded"], done.lines[-1]["failed"]) == (45, 5)
    assert {count for (count,) in world.query(FAILURES)} == {8}


@pytest.mark.parametrize("place", PLACES)
def test_bad_rows_fail_after_their_attempts_and_the_run_ends_with_1(world, api, place):
    world.write("in.jsonl", PLACES[place])
    world.configure(MORE)
    check(world, world.claudebatch(*RUN))


@pytest.mark.parametrize("place", PLACES)
def test_a_session_after_a_kill_goes_on_counting(processes, serve, place):
    world, api = processes, serve()
    world.write("in.jsonl", PLACES[place])
    world.configure(MORE)
    process = world.launch(*RUN)
    world.until(lambda: api.requests >= 60 or not process.running)
    process.send(signal.SIGKILL)
    process.wait()
    check(world, world.launch(*RUN).wait())
