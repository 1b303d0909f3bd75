"""Ctrl-C and its relatives: once lets what is in flight finish, twice stops now, and
nothing received is lost.
"""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.e2e.moments import Moment
from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "--no-cache")


def no_traceback(done):
    assert "Traceback" not in done.err
    assert "Error" not in done.err.replace("InternalServerError", "")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=lambda value: str(value),
)
def test_one_signal_drains_and_the_same_command_goes_on(processes, serve, number, code):
    world = processes
    api = serve(held_after=0)
    world.write("in.jsonl", prompts(20))
    process = world.launch(*RUN, "-j", "4")
    world.until(lambda: api.requests == 4)
    process.send(number)
    world.until(lambda: "may finish" in process.err)
    api.release()
    done = process.wait()
    assert done.code == code
    no_traceback(done)
    assert "requests in flight may finish" in done.err
    by = {2: "Ctrl-C", 15: "kill (SIGTERM)", 1: "its closed terminal (SIGHUP)"}[number]
    assert f"stopped by {by}; 4 of 20 done, nothing lost" in done.err
    assert "4 of 20 done: 4 ok · 16 pending" in done.err
    assert "next      claudebatch run in.jsonl -o out.jsonl --no-cache -j 4" in done.err
    assert len(world.results()) == 4
    assert api.requests == 4, "nothing new was sent"
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 20
    assert api.stats()["billed_pico"] == world.settled() == world.ledger()[0]


def test_a_second_signal_does_not_wait_and_counts_what_was_in_flight_as_unknown(processes, serve):
    world = processes
    api = serve(script=("ok",) * 2 + ("hang",) * 4)
    world.write("in.jsonl", prompts(20))
    process = world.launch(*RUN, "-j", "4")
    world.until(lambda: api.requests == 6)
    world.until(lambda: len(world.path("out.jsonl").read_bytes().splitlines()) == 2)
    process.send(signal.SIGINT)
    world.until(lambda: "may finish" in process.err)
    assert process.running
    process.send(signal.SIGINT)
    done = process.wait()
    assert done.code == 130
    no_traceback(done)
    assert "the cost of 4 requests is not known" in done.err
    assert len(world.results()) == 2
    unknown = world.query("SELECT coalesce(sum(worst), 0) FROM attempts WHERE state = 3")[0][0]
    assert world.settled() <= api.stats()["billed_pico"] <= world.settled() + unknown
    assert world.ledger() == (world.settled(), unknown)
    assert world.claudebatch(*RUN).code == 0
    assert len(world.results()) == 20


def test_a_signal_while_the_input_is_read_loses_nothing_either(processes, api):
    world = processes
    world.write("in.jsonl", prompts(20_000))
    moment = Moment((signal.SIGINT,), "index_input.py:index_input", calls=5000)
    done = world.launch(*RUN, moment=moment).wait()
    assert done.code == 130
    no_traceback(done)
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN).code == 0
    assert len(world.results()) == 3


def test_a_signal_while_everybody_waits_for_the_rate_limit_ends_the_wait(processes, serve):
    world = processes
    world.path("claudebatch.yaml").write_text(
        "limits: {tier: none, pools: {sonnet-5.5: {requests_per_minute: 1}}}\n"
    )
    api = serve()
    world.write("in.jsonl", prompts(8))
    process = world.launch(*RUN)
    world.until(lambda: api.requests == 1)
    process.send(signal.SIGINT)
    done = process.wait()
    assert done.code == 130
    no_traceback(done)
    assert "7 pending" in done.err
    assert api.requests == 1


def test_a_signal_during_an_outage_ends_the_wait_for_the_next_probe(processes, serve):
    world = processes
    world.configure("breaker: {minimum_calls: 4, wait_open_s: 600}\n")
    serve(faults={"529": 1.0})
    world.write("in.jsonl", prompts(20))
    process = world.launch(*RUN)
    world.until(lambda: "does not answer" in process.err)
    process.send(signal.SIGTERM)
    done = process.wait()
    assert done.code == 143
    no_traceback(done)
    assert "0 of 20 done: 0 ok · 20 pending" in done.err


def test_a_reader_that_leaves_ends_the_run_in_good_order(processes, serve):
    """`claudebatch run … -o - | head -1`"""
    world = processes
    api = serve(held_after=1)
    world.write("in.jsonl", prompts(200))
    reading, writing = os.pipe()
    process = world.launch("run", "in.jsonl", "-o", "-", "-j", "4", "--no-cache", stdout=writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        first = json.loads(pipe.readline())
    api.release()
    done = process.wait()
    assert first["status"] == "succeeded"
    assert done.code not in (0, 1, 2, 70)
    assert done.code > 0
    no_traceback(done)
    assert api.requests < 200, "it does not go on for nobody"

    again = world.claudebatch("run", "in.jsonl", "-o", "-", "--no-cache")
    assert again.code == 0
    assert len(again.lines) == 200
    assert first in again.lines
    # What was in flight when the reader left may be asked twice; what was received is
    # not.
    assert api.stats()["by_status"]["200"] <= 200 + 4
