"""Attacks on what was paid for: it must reach the results, once, and never be paid for
again.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import tempfile

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


def journal(world, sql, *values, output="out.jsonl"):
    with sqlite3.connect(world.path(output + ".claudebatch") / "journal.sqlite") as connection:
        connection.execute(sql, values)
    connection.close()


def test_an_answer_without_its_result_line_is_shown_and_not_asked_again(world, serve):
    """The moment between an attempt's commit and its result's, with no response cache
    to hide it.
    """
    api = serve()
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN, "--no-cache").code == 0
    journal(world, "DELETE FROM results")
    world.path("out.jsonl").write_bytes(b"")
    assert world.claudebatch(*RUN, "--no-cache").code == 0
    assert api.requests == 3
    assert len(world.results()) == 3


def test_an_answer_without_its_result_line_that_is_also_kept_has_one_line(world, serve):
    api = serve()
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN).code == 0
    journal(world, "DELETE FROM results")
    world.path("out.jsonl").write_bytes(b"")
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 3
    assert len(world.results()) == 3


def test_a_reader_that_leaves_costs_no_answer_in_flight(processes, serve):
    world = processes
    api = serve(held_after=1)
    world.write("in.jsonl", prompts(40))
    reading, writing = os.pipe()
    process = world.launch("run", "in.jsonl", "-o", "-", "-j", "16", "--no-cache", stdout=writing)
    os.close(writing)
    os.read(reading, 100)
    os.close(reading)
    api.release()
    done = process.wait()
    assert done.code == 6, done.err
    done = world.claudebatch("run", "in.jsonl", "-o", "-", "--no-cache")
    assert done.code == 0
    assert len(done.lines) == 40
    assert api.requests == 40


@pytest.mark.parametrize("count", [1, 30])
def test_results_that_cannot_be_written_end_with_6(processes, serve, count):
    world = processes
    api = serve()
    world.write("in.jsonl", prompts(count))
    with open("/dev/full", "wb") as full:
        done = world.launch("run", "in.jsonl", "-o", "-", stdout=full.fileno()).wait()
    assert done.code == 6, done.err
    done = world.claudebatch("run", "in.jsonl", "-o", "-", "--no-cache")
    assert (done.code, len(done.lines)) == (0, count)
    with open("/dev/full", "wb") as full:
        done = world.launch("run", "in.jsonl", "-o", "-", stdout=full.fileno()).wait()
    assert done.code == 6
    assert "error[E610]: the results cannot be written: no space is left" in done.err
    assert api.requests == count


def test_a_retry_that_died_leaves_one_line_a_row(processes, serve):
    world = processes
    serve(script=("404",) * 20, latency="fixed:0.05")
    world.write("in.jsonl", prompts(20))
    assert world.claudebatch(*RUN, "--stop-after", "0").code == 1
    process = world.launch(*RUN, "--retry-failed", "-j", "2")
    world.until(lambda: world.query("SELECT count(*) FROM results")[0][0] > 24)
    process.send(signal.SIGKILL)
    process.wait()
    world.claudebatch(*RUN)
    assert len(world.results()) == 20
    assert world.claudebatch(*RUN, "--retry-failed").code == 0
    assert len(world.results()) == 20
    assert {line["status"] for line in world.results().values()} == {"succeeded"}


def test_the_next_command_after_a_fresh_run_does_not_start_over(world, serve):
    serve(script=("404",))
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch(*RUN, "--fresh")
    assert done.code == 1
    assert "next      jq -c" in done.err, "the API would refuse it again"
    assert "--fresh" not in done.err[done.err.index("next ") :]


def test_piped_input_goes_to_results_on_another_disk(world, serve):
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat(world.home).st_dev:
        pytest.skip("no second disk")
    serve()
    elsewhere = tempfile.mkdtemp(dir="/dev/shm")
    try:
        done = world.claudebatch(
            "run", "-", "-o", f"{elsewhere}/out.jsonl", stdin=b'{"prompt": "x"}\n'
        )
        assert done.code == 0, done.err
    finally:
        shutil.rmtree(elsewhere)


def test_a_run_begun_under_a_cap_is_asked_about_when_the_cap_goes(world, api):
    world.configure("confirm_above: 0.01\n")
    world.write("in.jsonl", prompts(100, max_tokens=1000))
    assert world.claudebatch(*RUN, "--budget", "0.02").code == 3
    seen = api.requests
    done = world.claudebatch(*RUN)
    assert done.code == 2, done.err
    assert api.requests == seen


def test_tools_without_bound_are_refused_when_a_cap_comes_later(world, serve):
    api = serve()
    rows = prompts(2, tools=[{"type": "web_search_20250305", "name": "web_search"}])
    world.write("in.jsonl", rows)
    api.set_faults({"402": 1.0})
    assert world.claudebatch(*RUN).code == 4
    done = world.claudebatch(*RUN, "--budget", "5")
    assert done.code == 2, done.err
    assert "max_uses" in done.err
