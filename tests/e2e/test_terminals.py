"""Terminals that close, processes that are stopped and resumed, and signals at any
moment.
"""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.moments import Moment
from tests.e2e.test_signals import RUN, no_traceback
from tests.e2e.world import prompts

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


class Screen:
    """A pseudo-terminal, read all the time as a real one is."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self.seen = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:
                return
            if not data:
                return
            self.seen += data

    def close(self) -> None:
        """The window is gone: every write to it fails from now on."""
        os.close(self._ours)


def test_a_drain_lasts_as_long_as_the_grace_and_what_is_left_counts_as_unknown(processes, serve):
    world = processes
    api = serve(script=("hang",) * 4)
    world.configure("grace: 0.2\n")
    world.write("in.jsonl", prompts(8))
    process = world.launch(*RUN, "-j", "4")
    world.until(lambda: api.requests == 4)
    process.send(signal.SIGINT)
    done = process.wait()
    assert done.code == 130
    no_traceback(done)
    assert "the cost of 4 requests is not known" in done.err


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_run_goes_on_through_a_signal_that_was_ignored_when_it_started(processes, serve, number):
    """Under nohup its terminal may close; in the background of a script Ctrl-C is not
    meant for it.
    """
    world = processes
    api = serve(held_after=0)
    world.write("in.jsonl", prompts(12))
    process = world.launch(*RUN, "-j", "2", ignore=(number,))
    world.until(lambda: api.requests == 2)
    process.send(number)
    api.release()
    assert process.wait().code == 0
    assert len(world.results()) == 12


def test_a_terminal_that_closes_without_a_signal_does_not_end_the_run(processes, serve):
    world = processes
    api = serve(held_after=3)
    world.write("in.jsonl", prompts(20))
    screen = Screen()
    process = world.launch(*RUN, "-j", "2", stdout=screen.theirs, stderr=screen.theirs)
    os.close(screen.theirs)
    world.until(lambda: api.requests >= 4)
    screen.close()
    api.release()
    assert process.wait().code == 0
    assert len(world.results()) == 20
    assert api.requests == 20


def test_a_run_that_stood_still_longer_than_its_deadlines_takes_the_answers_that_came_meanwhile(
    processes, serve
):
    world = processes
    world.configure("attempt_deadline: 4s\nidle_timeout: 4s\n")
    api = serve(held_after=0)
    world.write("in.jsonl", prompts(8, max_tokens=50))
    process = world.launch(*RUN, "-j", "8")
    world.until(lambda: api.requests == 8)
    process.send(signal.SIGSTOP)
    api.release()
    # Of the clock itself: only it makes a deadline pass.
    time.sleep(6)
    process.send(signal.SIGCONT)
    done = process.wait()
    assert done.code == 0, done.err
    assert api.requests == 8, "no answer was thrown away and asked for again"


@pytest.mark.parametrize("seed", range(4))
def test_signals_at_any_moment_end_in_a_code_of_the_table_and_lose_nothing(processes, serve, seed):
    world, rng = processes, random.Random(seed)
    api = serve(latency="uniform:0.01,0.05")
    world.write("in.jsonl", prompts(30))
    for _ in range(8):
        number = rng.choice([*CODES])
        # Counted in calls of the program, not in seconds: the load changes nothing.
        moment = Moment(
            (number,) * rng.choice((1, 2)),
            "main.py:run_command_line",
            calls=int(10 ** rng.uniform(1, 4.7)),
        )
        done = world.launch(*RUN, "-j", "4", moment=moment).wait()
        assert done.code in {0, CODES[number]}, done.err
        no_traceback(done)
        if done.code == 0:
            break
    assert world.claudebatch(*RUN).code == 0
    assert len(world.results()) == 30
    lost = world.query("SELECT count(*) FROM attempts WHERE state = 3")[0][0]
    assert api.requests <= 30 + lost, "only what was in flight is asked for again"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_a_command_of_alerts_hears_signals_as_any_other_program(processes, serve):
    world = processes
    serve()
    kept = world.path("kept")
    command = json.dumps(
        ["sh", "-c", f"grep ^SigIgn /proc/self/status > '{kept}'; cat > /dev/null"]
    )
    world.path("hooks.yaml").write_text(f"limits: {{tier: none}}\nalerts: {{command: {command}}}\n")
    world.write("in.jsonl", prompts(3, max_tokens=100))
    world.launch(*RUN, "-c", "hooks.yaml", "--budget", "0.004").wait()
    ignored = int(kept.read_text().split()[1], 16)
    assert not [number.name for number in CODES if ignored & 1 << number - 1]
