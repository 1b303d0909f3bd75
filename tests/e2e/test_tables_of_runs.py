"""`run -o labelled.csv`: the table is made from the journal when a session ends,
however it ends, and is never the truth.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import sqlite3
import stat

import pytest

from tests.e2e.moments import Moment
from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "x.csv", "-q")
BAD = {"prompt": "[[simulate: error 400]]"}
FINISHED = [f"row-{n}" for n in range(5)]


@pytest.fixture
def rows(world):
    """Five rows with a field of their own, in the input."""
    world.write("in.jsonl", [row | {"stars": n} for n, row in enumerate(prompts(5))])


@pytest.fixture
def done(world, api, rows):
    """A finished run; the table's bytes."""
    assert world.claudebatch(*RUN).code == 0
    return world.path("x.csv").read_bytes()


def read(world, name="x.csv"):
    with world.path(name).open(newline="") as file:
        return list(csv.DictReader(file))


def ids(world, name="x.csv"):
    return [row["id"] for row in read(world, name)]


def events(told):
    return [json.loads(line) for line in told.out.splitlines()]


def test_a_run_ends_with_a_table_in_the_order_of_the_input(world, api, rows):
    told = world.claudebatch("run", "in.jsonl", "-o", "x.csv")
    assert told.code == 0, told.err
    assert ids(world) == FINISHED
    assert [row["stars"] for row in read(world)] == list("01234")
    assert {row["status"] for row in read(world)} == {"succeeded"}
    assert stat.S_IMODE(world.path("x.csv").stat().st_mode) == 0o600
    assert "claudebatch export x.csv -o - --output-format text" in told.err
    shown = world.claudebatch("export", "x.csv", "-o", "-", "--output-format", "text")
    assert shown.out.startswith("==> row-0 <==\n")
    assert not list(world.work.glob("x.csv.new*")) and not list(world.work.glob("*scratch*"))


def test_the_suffix_says_what_it_is_and_nothing_is_written_twice(world, api, rows):
    for name in ("x.tsv", "x.db", "x.md", "x.txt", "x.csv.gz", "x.jsonl.gz"):
        assert world.claudebatch("run", "in.jsonl", "-o", name, "-q").code == 0
        data = world.path(name).read_bytes()
        if name == "x.db":
            database = sqlite3.connect(world.path(name))
            found = [found for (found,) in database.execute("SELECT id FROM results")]
            database.close()
            assert found == FINISHED
        else:
            text = gzip.decompress(data) if name.endswith(".gz") else data
            assert text.count(b"row-4") >= 1
    before = world.path("x.db").stat()
    assert world.claudebatch("run", "in.jsonl", "-o", "x.db", "-q").code == 0
    assert world.path("x.db").stat().st_mtime_ns == before.st_mtime_ns
    assert api.requests == 5, "the others are from the cache"


def test_nothing_is_in_the_table_while_the_run_goes_on_and_all_of_it_after_ctrl_c(
    processes, serve, rows
):
    world, api = processes, serve(held_after=2)
    process = world.launch("run", "in.jsonl", "-o", "x.csv")
    path = world.path("x.csv.claudebatch") / "journal.sqlite"
    world.until(lambda: path.exists() and api.requests == 5)
    world.until(lambda: world.query("SELECT count(*) FROM results", output="x.csv") == [(2,)])
    assert not world.path("x.csv").exists()
    process.send(signal.SIGINT)
    world.until(lambda: "may finish" in process.err)
    process.send(signal.SIGINT)
    assert process.wait().code == 130
    assert len(ids(world)) == 2
    api.release()
    assert world.claudebatch(*RUN).code == 0
    assert ids(world) == FINISHED


def test_it_is_written_when_the_cap_stops_the_run(world, api, rows):
    told = world.claudebatch(*RUN, "--budget", "0.02", "--json")
    assert told.code == 3, told.err
    (end,) = [event for event in events(told) if event["event"] == "done"]
    assert end["output"] == "x.csv" and end["succeeded"] == len(ids(world)) < 5
    assert world.claudebatch(*RUN, "--budget", "5").code == 0
    assert ids(world) == FINISHED


def test_failed_rows_are_in_it_until_they_have_an_answer(world, api):
    world.write("in.jsonl", [*prompts(2), BAD])
    told = world.claudebatch("run", "in.jsonl", "-o", "x.csv", "--stop-after", "0")
    assert told.code == 1
    good, _, bad = sorted(read(world), key=lambda row: row["status"] == "failed")
    assert (good["error"], bad["answer"], bad["cost_usd"]) == ("", "", "")
    assert bad["error"].startswith("invalid_request_error: ")
    assert "claudebatch export x.csv -o - --output-format jsonl | jq -c" in told.err
    assert world.claudebatch(*RUN, "--retry-failed").code == 1
    assert len(read(world)) == 3, "a row that is asked again has one line"
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN, "--yes").code == 0
    assert [row["status"] for row in read(world)] == ["succeeded"] * 3


def test_it_comes_back_and_nothing_is_sent(world, api, done):
    path = world.path("x.csv")
    for command in (RUN, ("runs", "rebuild", "x.csv")):
        for damaged in (None, done[:-7], b""):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            assert world.claudebatch(*command).code == 0
            assert (path.read_bytes(), api.requests) == (done, 5)


def test_what_somebody_wrote_into_it_is_kept_beside_it(world, api, done):
    commands = (("run", "in.jsonl", "-o", "x.csv"), ("runs", "rebuild", "x.csv"))
    for number, command in enumerate(commands, 1):
        world.path("x.csv").write_text("my labels\n")
        told = world.claudebatch(*command)
        assert told.code == 0 and f"x.csv.edited-{number}" in told.out + told.err
        assert world.path("x.csv").read_bytes() == done
        assert world.path(f"x.csv.edited-{number}").read_text() == "my labels\n"


def test_it_is_told_apart_from_what_was_written_and_repaired(world, api, done):
    assert world.claudebatch("runs", "check", "x.csv").code == 0
    world.path("x.csv").write_text("my labels\n")
    told = world.claudebatch("runs", "check", "x.csv")
    assert told.code == 6 and "was changed after it was written" in told.out
    assert world.claudebatch("runs", "check", "x.csv", "--repair").code == 0
    assert world.path("x.csv").read_bytes() == done
    world.path("x.csv").unlink()
    told = world.claudebatch("runs", "check", "x.csv")
    assert told.code == 6 and "is not there" in told.out


def test_starting_over_keeps_the_old_table(world, api, done):
    assert world.claudebatch(*RUN, "--fresh", "--no-cache").code == 0
    assert world.path("x.csv.previous").read_bytes() == done
    assert ids(world) == FINISHED and api.requests == 10


def test_a_rehearsal_is_replaced_before_anything_is_asked(processes, serve, rows):
    world = processes
    assert world.claudebatch(*RUN, "--simulate").code == 0
    assert {row["simulated"] for row in read(world)} == {"true"}
    api = serve(held_after=0)
    process = world.launch(*RUN)
    world.until(lambda: api.requests > 0)
    assert read(world) == []
    api.release()
    assert process.wait().code == 0
    assert ids(world) == FINISHED and "simulated" not in read(world)[0]
    assert not world.path("x.csv.edited-1").exists()


def test_what_changes_in_the_input_changes_in_the_table(world, api, done):
    world.write("in.jsonl", [row | {"stars": 9 - n} for n, row in enumerate(prompts(4))])
    assert world.claudebatch(*RUN, "--yes").code == 0
    assert [(row["id"], row["stars"]) for row in read(world)] == [
        (f"row-{n}", str(9 - n)) for n in range(4)
    ]
    assert api.requests == 5


def test_another_format_or_other_columns_cost_nothing(world, api, done):
    assert world.claudebatch(*RUN, "--columns", "stars,id").code == 0
    assert world.path("x.csv").read_text().splitlines()[0] == "stars,id"
    assert world.claudebatch(*RUN, "--output-format", "jsonl").code == 0
    assert sorted(world.results("x.csv")) == FINISHED
    assert world.claudebatch(*RUN).code == 0
    assert world.path("x.csv").read_bytes() == done
    assert not world.path("x.csv.edited-1").exists() and api.requests == 5


def test_a_table_goes_to_standard_output_too(world, api, rows):
    told = world.claudebatch("run", "in.jsonl", "-o", "-", "--output-format", "csv", "-q")
    assert told.code == 0, told.err
    assert [row["id"] for row in csv.DictReader(told.out.splitlines())] == FINISHED


def test_what_cannot_be_written_is_refused_before_anything_is_sent(world, api, rows, monkeypatch):
    monkeypatch.setattr("claudebatch.outputs.forms.find_spec", lambda name: None)
    for code, *arguments in (
        ("E652", "-o", "x.csv", "--output-format", "exel"),
        ("E663", "-o", "x.jsonl", "--columns", "id"),
        ("E658", "-o", "x.jsonl", "--output-format", "openai-batch", "--columns", "id"),
        ("E650", "-o", "x.parquet"),
        ("E651", "-o", "x.csv.zst"),
        ("E654", "-o", "x.csv", "--columns", "id,anwser"),
    ):
        told = world.claudebatch("run", "in.jsonl", *arguments)
        assert told.code == 2 and code in told.err
        # A dry run looks at no journal, which has the names of fields.
        told = world.claudebatch("run", "in.jsonl", *arguments, "--dry-run")
        assert told.code == 2 or code == "E654"
    assert api.requests == 0 and not list(world.work.glob("x.*v"))


def test_a_table_that_cannot_be_written_loses_nothing(world, api, rows):
    # Where the new file would grow.
    world.path("x.csv.new").mkdir()
    told = world.claudebatch("run", "in.jsonl", "-o", "x.csv")
    assert told.code == 6, told.err
    assert "5 answered" in told.err or "5 of 5" in told.err
    assert "x.csv.new" in told.err
    world.path("x.csv.new").rmdir()
    assert world.claudebatch(*RUN).code == 0
    assert ids(world) == FINISHED and api.requests == 5


def test_a_link_is_not_followed(world, api, rows):
    world.path("target").write_text("mine")
    os.symlink(world.path("target"), world.path("x.csv"))
    assert world.claudebatch(*RUN).code == 2
    assert world.path("target").read_text() == "mine" and api.requests == 0


def test_killed_at_any_moment_of_writing_it_leaves_the_old_table_or_the_new(processes, serve):
    world, api = processes, serve()
    world.write("in.jsonl", prompts(2))
    assert world.claudebatch(*RUN).code == 0
    old, both = world.path("x.csv").read_bytes(), prompts(4)
    world.write("in.jsonl", both)
    killed = 0
    for calls in range(0, 600, 60):
        moment = Moment((signal.SIGKILL,), "run_table.py:_write", calls=calls)
        process = world.launch(*RUN, moment=moment)
        code = process.wait().code
        found = world.path("x.csv").read_bytes()
        if code == 0:
            break
        killed += 1
        assert code == -signal.SIGKILL
        assert found == old or [row["id"] for row in read(world)] == [f"row-{n}" for n in range(4)]
        # As it was left, so that the next one has it all to do again.
        assert world.claudebatch("runs", "check", "x.csv").code == 0
    assert killed >= 3
    assert world.claudebatch(*RUN).code == 0
    assert ids(world) == [f"row-{n}" for n in range(4)]
    assert not list(world.work.glob("*.edited-*")) and not world.path("x.csv.new").exists()
    assert api.requests == 4


def test_a_signal_while_it_is_written_loses_nothing(processes, serve, rows):
    world, api = processes, serve()
    for signals, calls in (((signal.SIGINT,), 60), ((signal.SIGTERM, signal.SIGTERM), 150)):
        moment = Moment(signals, "run_table.py:_write", calls=calls)
        done = world.launch(*RUN, "--fresh", moment=moment).wait()
        assert "Traceback" not in done.err
        assert world.claudebatch(*RUN).code == 0
        assert ids(world) == FINISHED
    assert not list(world.work.glob("*.edited-*")) and api.requests == 5
