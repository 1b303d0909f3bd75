"""Whoever reads our output may leave: the run stops, loses nothing, and says so with
exit code 6.
"""

from __future__ import annotations

import json
import os

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


def reader_leaves_after(world, process, descriptor, count):
    """Read *count* lines and go."""
    with os.fdopen(descriptor, "rb") as reading:
        return [reading.readline() for _ in range(count)]


def stop_id(world):
    """The id of the message that says why the run stopped, from its log."""
    *_, last = world.path("run.log").read_text().splitlines()
    return json.loads(last)["stop_id"]


@pytest.mark.parametrize("lines", [0, 1])
def test_a_run_whose_events_nobody_reads_any_more_drains_and_ends_with_6(processes, serve, lines):
    world = processes
    api = serve(held_after=3)
    world.write("in.jsonl", prompts(400))
    reading, writing = os.pipe()
    run = (*RUN, "--json", "-j", "4", "--no-cache", "--yes", "--log", "run.log")
    process = world.launch(*run, stdout=writing)
    os.close(writing)
    reader_leaves_after(world, process, reading, lines)
    api.release()
    done = process.wait()
    assert done.code == 6, done.err
    assert "Traceback" not in done.err
    assert stop_id(world) == "E701"
    asked = api.requests
    assert asked < 400, "nothing new was sent"
    assert world.claudebatch(*RUN, "--no-cache", "--yes").code == 0
    assert (len(world.results()), api.requests) == (400, 400), "nothing is paid twice"


def test_a_run_whose_last_events_found_no_reader_says_so_too(processes, api):
    world = processes
    world.write("in.jsonl", prompts(1))
    reading, writing = os.pipe()
    os.close(reading)
    process = world.launch(*RUN, "--json", stdout=writing)
    os.close(writing)
    assert process.wait().code == 6
    assert world.claudebatch(*RUN, "--json").code == 0


@pytest.mark.parametrize("quiet", [(), ("-q",), ("--no-progress",)], ids=str)
def test_a_run_whose_results_nobody_reads_any_more_ends_as_silently_as_cat(processes, serve, quiet):
    world = processes
    api = serve(held_after=3)
    world.write("in.jsonl", prompts(200))
    reading, writing = os.pipe()
    run = ("run", "in.jsonl", "-o", "-", "-j", "4", "--no-cache", "--log", "run.log", *quiet)
    process = world.launch(*run, stdout=writing)
    os.close(writing)
    reader_leaves_after(world, process, reading, 1)
    api.release()
    done = process.wait()
    assert done.code == 6
    found_configuration = [] if quiet == ("-q",) else done.err.splitlines()[:1]
    assert done.err.splitlines() == found_configuration
    assert stop_id(world) == "E715"
    assert api.requests < 200


@pytest.mark.parametrize(
    "command", [("--help",), ("spend",), ("models",), ("models", "--json"), ("cache", "path")]
)
def test_a_report_without_a_reader_ends_quietly_with_6(processes, command):
    reading, writing = os.pipe()
    os.close(reading)
    process = processes.launch(*command, stdout=writing)
    os.close(writing)
    done = process.wait()
    assert (done.code, done.err) == (6, "")
