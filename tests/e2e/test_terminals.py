"""Terminals that close, processes that are stopped and resumed, and signals at any
moment.
"""

from __future__ import annotations

import os
import pty
import random
import signal
import threading
import time

import pytest

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
    assert "4 requests ended without an answer and may be billed" in done.err


def test_a_run_under_nohup_goes_on_when_its_terminal_closes(processes, serve):
    world = processes
    api = serve(latency="fixed:0.05")
    world.write("in.jsonl", prompts(12))
    process = world.launch(*RUN, "-j", "2", ignore=(signal.SIGHUP,))
    world.until(lambda: api.requests >= 2)
    process.send(signal.SIGHUP)
    assert process.wait().code == 0
    assert len(world.results()) == 12


def test_a_terminal_that_closes_without_a_signal_does_not_end_the_run(processes, serve):
    world = processes
    api = serve(latency="fixed:0.05")
    world.write("in.jsonl", prompts(20))
    screen = Screen()
    process = world.launch(*RUN, "-j", "2", stdout=screen.theirs, stderr=screen.theirs)
    os.close(screen.theirs)
    world.until(lambda: api.requests >= 4)
    screen.close()
    assert process.wait().code == 0
    assert len(world.results()) == 20
    assert api.requests == 20


def test_a_run_that_stood_still_longer_than_its_deadlines_takes_the_answers_that_came_meanwhile(
    processes, serve
):
    world = processes
    world.configure("attempt_deadline: 2.5s\nidle_timeout: 2s\n")
    api = serve(latency="fixed:0.6")
    world.write("in.jsonl", prompts(8, max_tokens=50))
    process = world.launch(*RUN, "-j", "8")
    world.until(lambda: api.requests == 8)
    process.send(signal.SIGSTOP)
    time.sleep(4)
    process.send(signal.SIGCONT)
    done = process.wait()
    assert done.code == 0, done.err
    assert api.requests == 8, "no answer was thrown away and asked for again"


@pytest.mark.parametrize("seed", range(6))
def test_signals_at_any_moment_end_in_a_code_of_the_table_and_lose_nothing(processes, serve, seed):
    world, rng = processes, random.Random(seed)
    api = serve(latency="uniform:0.01,0.05")
    world.write("in.jsonl", prompts(30))
    ended = set()
    for _ in range(12):
        process = world.launch(*RUN, "-j", "4")
        number = rng.choice([*CODES])
        time.sleep(rng.uniform(0.0, 0.35))
        for _ in range(rng.choice((1, 1, 2, 3))):
            process.send(number)
            time.sleep(rng.uniform(0.0, 0.05))
        done = process.wait()
        assert done.code in {0, CODES[number], -number}, done.err
        no_traceback(done)
        ended.add(done.code)
        if done.code == 0:
            break
    assert world.claudebatch(*RUN).code == 0
    assert len(world.results()) == 30
    lost = world.query("SELECT count(*) FROM attempts WHERE state = 3")[0][0]
    assert api.requests <= 30 + lost, "only what was in flight is asked for again"
