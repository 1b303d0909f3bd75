"""Equal prompts of several hosts, with answers in a real Redis."""

from __future__ import annotations

import pytest

from tests.e2e.world import prompts
from tests.support.redis_servers import OwnServer, needs_redis_server

HAIKU = "claude-haiku-5-5"


@needs_redis_server
@pytest.mark.parametrize("mode", ["answers", "claims"])
def test_hosts_with_the_same_rows_at_once_pay_each_of_them_once(world, processes, serve, mode):
    api = serve(latency="fixed:0.1")
    server = OwnServer(world.folder)
    server.start()
    try:
        world.environment["CLAUDEBATCH_SHARED"] = server.url
        world.configure(f"cache: {{shared: {mode}}}\n")
        world.write("in.jsonl", prompts(30))
        runs = []
        for name in "ab":
            for place in ("STATE", "CACHE"):
                world.environment[f"CLAUDEBATCH_{place}_DIR"] = str(world.folder / name / place)
            command = ("run", "in.jsonl", "-o", f"{name}.out", "-m", HAIKU, "--yes")
            runs.append(world.launch(*command))
        for run in runs:
            done = run.wait()
            assert done.code == 0, done.err
        assert set(api.asked().values()) == {1} and api.requests == 30
        answers = [
            {name_of: line["text"] for name_of, line in world.results(f"{name}.out").items()}
            for name in "ab"
        ]
        assert answers[0] == answers[1] and len(answers[0]) == 30
    finally:
        server.stop()
