"""Attacks on the start: --fresh with an input that is refused, files that are damaged,
an empty pipe.
"""

from __future__ import annotations

import os
import sqlite3

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


def test_starting_over_with_an_input_that_is_refused_loses_nothing(world, api):
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN, "--no-cache").code == 0
    before = world.path("out.jsonl").read_bytes()
    world.path("in.jsonl").write_text("{broken\n")
    assert world.claudebatch(*RUN, "--fresh").code == 2
    kept = [path.read_bytes() for path in world.work.iterdir() if path.is_file()]
    assert before in kept


def test_a_journal_that_is_damaged_ends_with_6_and_a_hint(world, api):
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN).code == 0
    journal = world.path("out.jsonl.claudebatch/journal.sqlite")
    data = bytearray(journal.read_bytes())
    data[4096 : len(data) - 100] = os.urandom(len(data) - 4196)
    journal.write_bytes(data)
    done = world.claudebatch(*RUN)
    assert done.code == 6, (done.code, done.err)
    assert api.requests == 3


def test_a_ledger_that_is_no_database_ends_with_6_before_anything_is_sent(world, api):
    world.write("in.jsonl", prompts(3))
    ledger = world.home / "state" / "spend.sqlite"
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(b"no database" * 1000)
    done = world.claudebatch(*RUN)
    assert done.code == 6, (done.code, done.err)
    assert api.requests == 0


def test_an_empty_pipe_does_not_empty_the_results(world, api):
    assert (
        world.claudebatch(
            "run", "-", "-o", "out.jsonl", stdin=b'{"prompt": "x"}\n{"prompt": "y"}\n'
        ).code
        == 0
    )
    before = world.path("out.jsonl").read_bytes()
    world.claudebatch("run", "-", "-o", "out.jsonl", stdin=b"")
    done = world.claudebatch(
        "run", "-", "-o", "out.jsonl", stdin=b'{"prompt": "x"}\n{"prompt": "y"}\n'
    )
    assert done.code == 0
    assert api.requests == 2
    assert world.path("out.jsonl").read_bytes() == before


def test_a_journal_written_while_the_index_changed_hands_stays_whole(world, api):
    """The note that the input was seen and the rows themselves are one transaction."""
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN).code == 0
    with sqlite3.connect(world.path("out.jsonl.claudebatch/journal.sqlite")) as connection:
        connection.execute(
            "CREATE TRIGGER t BEFORE INSERT ON meta WHEN new.key = 'input' BEGIN SELECT "
            "raise(ABORT, 'x'); END"
        )
    connection.close()
    world.write("in.jsonl", prompts(2))
    assert world.claudebatch(*RUN, "--yes").code == 6
    assert world.query("SELECT count(*) FROM rows WHERE live") == [(3,)]


def test_a_refused_fresh_start_leaves_a_run_that_can_be_resumed(world, api):
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN, "--no-cache").code == 0
    before = world.path("out.jsonl").read_bytes()
    world.path("in.jsonl").write_text("{broken\n")
    assert world.claudebatch(*RUN, "--fresh", "--no-cache").code == 2
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN, "--no-cache").code == 0
    assert (world.path("out.jsonl").read_bytes(), api.requests) == (before, 3)


def test_results_that_were_set_aside_are_never_overwritten(world, api):
    world.write("in.jsonl", prompts(2))
    kept = []
    for _ in range(3):
        assert world.claudebatch(*RUN, "--fresh", "--no-cache").code == 0
        kept.append(world.path("out.jsonl").read_bytes())
    assert world.path("out.jsonl.previous").read_bytes() == kept[0]
    assert world.path("out.jsonl.previous-2").read_bytes() == kept[1]
