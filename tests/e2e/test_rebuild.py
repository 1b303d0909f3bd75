"""`runs rebuild`: the results file is derived, and comes back byte for byte without a
request.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-q")


@pytest.fixture
def done(world, api):
    """A finished run; its results as they were written."""
    world.write("in.jsonl", prompts(5))
    assert world.claudebatch(*RUN).code == 0
    return world.path("out.jsonl").read_bytes()


@pytest.mark.parametrize("damage", ["deleted", "torn", "short", "whole"])
def test_a_results_file_comes_back_as_it_was_and_nothing_is_sent(world, api, done, damage):
    path = world.path("out.jsonl")
    match damage:
        case "deleted":
            path.unlink()
        case "torn":
            path.write_bytes(done[:-7])
        case "short":
            path.write_bytes(done[: done.index(b"\n") + 1])
    told = world.claudebatch("runs", "rebuild", "out.jsonl", "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["results"] == 5
    assert (path.read_bytes(), api.requests) == (done, 5)


def test_a_results_file_that_was_cut_at_any_byte_comes_back(world, api, done):
    for end in range(0, len(done), 97):
        world.path("out.jsonl").write_bytes(done[:end])
        assert world.claudebatch("runs", "rebuild", "out.jsonl").code == 0
        assert world.path("out.jsonl").read_bytes() == done


def test_what_somebody_wrote_into_it_is_kept_beside_it(world, api, done):
    world.path("out.jsonl").write_text("my thesis\n")
    told = world.claudebatch("runs", "rebuild", "out.jsonl")
    assert "out.jsonl.edited-1" in told.out
    assert world.path("out.jsonl").read_bytes() == done
    assert world.path("out.jsonl.edited-1").read_text() == "my thesis\n"


def test_a_file_that_still_has_the_results_of_an_earlier_run_is_left_alone(world, api, done):
    # As a crash leaves it that comes before the new run has moved the file aside.
    with closing(sqlite3.connect(world.path("out.jsonl.claudebatch/journal.sqlite"))) as run, run:
        run.execute("INSERT OR REPLACE INTO meta VALUES ('set_aside', 'true')")
    told = world.claudebatch("runs", "rebuild", "out.jsonl")
    assert told.code == 2
    assert "error[E635]: out.jsonl still contains the results of an earlier run" in told.err
    assert world.path("out.jsonl").read_bytes() == done


def test_it_needs_neither_the_input_nor_the_ledger(world, api, done):
    for path in (
        world.path("in.jsonl"),
        world.path("out.jsonl"),
        world.home / "state" / "spend.sqlite",
    ):
        path.unlink()
    assert world.claudebatch("runs", "rebuild", "out.jsonl").code == 0
    assert world.path("out.jsonl").read_bytes() == done


def test_a_run_is_found_by_its_id_too(world, api, done):
    ((run_id,),) = world.query("SELECT value FROM meta WHERE key = 'run_id'")
    world.path("out.jsonl").unlink()
    assert world.claudebatch("runs", "rebuild", json.loads(run_id)).code == 0
    assert world.path("out.jsonl").read_bytes() == done


def test_what_is_no_run_is_refused(world, api):
    told = world.claudebatch("runs", "rebuild", "nothing.jsonl")
    assert told.code == 2, told.err
