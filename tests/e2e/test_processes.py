"""One run whose requests leave from several processes, any of which may die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.test_kill import check_money, check_requests, check_results
from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "--ordered", "-j", "8", "--processes", "2", "--yes")


def senders(driver: int) -> list[int]:
    """The processes that *driver* started."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True)
    pairs = (map(int, line.split()) for line in listed.stdout.splitlines())
    return [pid for pid, parent in pairs if parent == driver]


def talks_to(pid: int, url: str) -> bool:
    """Whether process *pid* has a connection to the server *url* of this host."""
    port = urlsplit(url).port
    connections = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in connections]
    inodes = {row[9] for row in fields if row[2].endswith(f":{port:04X}")}
    open_files = (os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir())
    return any(name[len("socket:[") : -1] in inodes for name in open_files)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_sender_and_then_the_driver_are_killed_and_nothing_is_lost_or_paid_twice(
    processes, serve
):
    world, rows = processes, prompts(120, max_tokens=500)
    world.write("in.jsonl", rows)
    # Processes are started by their own interpreter, which must find this checkout.
    world.environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    # Nothing more is answered until the first one is dead: a busy machine may have
    # started one long before the other, and its end must be one of a sender at work.
    api = serve(latency="uniform:0.02,0.06", held_after=20)
    driver = world.launch(*RUN)
    world.until(lambda: api.requests > 20 and len(senders(driver.pid)) == 2)
    first = next(pid for pid in senders(driver.pid) if talks_to(pid, api.url))
    second = next(pid for pid in senders(driver.pid) if pid != first)
    os.kill(first, signal.SIGKILL)
    # Those that are left go on, and another one takes its place.
    world.until(lambda: "W140" in driver.err, what="word of the one that was killed")
    api.release()
    world.until(lambda: api.requests >= 60 and first not in senders(driver.pid))
    children = senders(driver.pid)
    assert second in children
    driver.send(signal.SIGKILL)
    assert driver.wait().code == -signal.SIGKILL
    world.until(lambda: not any(map(alive, children)), what="the end of the senders")

    done = world.launch(*RUN).wait()
    assert done.code == 0, done.err
    check_results(world, rows)
    check_requests(world, api, 2)
    check_money(world, api)
    assert list(world.results()) == [row["id"] for row in rows]

    alone = world.claudebatch("run", "in.jsonl", "-o", "alone.jsonl", "--ordered", "-q")
    assert alone.code == 0, alone.err
    assert said(world, "out.jsonl") == said(world, "alone.jsonl")


def said(world, name: str) -> list[object]:
    """What a results file says of each row, but for how it came."""
    kept = ("id", "status", "text", "model", "stop_reason", "usage", "line", "file")
    lines = map(json.loads, world.path(name).read_text().splitlines())
    return [{name: line.get(name) for name in kept} for line in lines]


def test_more_processes_than_any_machine_has_are_refused(world):
    world.write("in.jsonl", prompts(1))
    refused = world.claudebatch("run", "in.jsonl", "--simulate", "--processes", "10000")
    assert refused.code == 2
    assert "E880" in refused.err


def test_engines_that_cannot_be_are_refused(world):
    world.write("in.jsonl", prompts(1))
    unknown = world.claudebatch("run", "in.jsonl", "--engine", "dask")
    assert (unknown.code, "E881" in unknown.err) == (2, True)
    rehearsal = world.claudebatch("run", "in.jsonl", "--simulate", "--engine", "ray")
    assert (rehearsal.code, "E886" in rehearsal.err) == (2, True)
