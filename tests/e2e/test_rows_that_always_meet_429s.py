"""Three of thirty rows meet a 429 whenever they are sent: they fail after a bounded
time, also where a session has nothing but such rows (once, no row was ever given up).
"""

from __future__ import annotations

import signal

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "--json")
LIMITED = "SELECT count(*) FROM attempts WHERE status = 429 GROUP BY row"
ROWS = [
    *prompts(12),
    *({"id": f"bad-{n}", "prompt": f"[[simulate: error 429]] {n}"} for n in range(3)),
    *({"id": f"late-{n}", "prompt": f"hello {n}"} for n in range(15)),
]


def test_a_session_after_a_kill_gives_up_rows_that_always_meet_a_429(processes, serve):
    world, api = processes, serve()
    world.write("in.jsonl", ROWS)
    world.configure("concurrency: 8\n")
    process = world.launch(*RUN)

    # All others are answered by then.
    world.until(lambda: api.requests >= 27 + 12 or not process.running)
    process.send(signal.SIGKILL)
    process.wait()
    assert world.query("SELECT count(*) FROM results") == [(27,)]
    done = world.launch(*RUN).wait()
    assert done.code == 1, done.err
    assert (done.lines[-1]["succeeded"], done.lines[-1]["failed"]) == (27, 3)
    for number in range(3):
        error = world.results()[f"bad-{number}"]["error"]
        assert error["type"] == "rate_limit_error" and "while other rows" in error["message"]
    assert min(count for (count,) in world.query(LIMITED)) >= 8
