"""`claudebatch export`: results in any form, out of the journal, without a request."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import stat

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-q")


@pytest.fixture
def done(world, api):
    """A finished run of rows with fields of their own; its results by id."""
    rows = [row | {"review": f"=n{n}", "stars": n} for n, row in enumerate(prompts(5))]
    world.write("in.jsonl", rows)
    assert world.claudebatch(*RUN).code == 0
    return world.results()


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def export(world, *arguments, code=0):
    told = world.claudebatch("export", *arguments)
    assert told.code == code, told.err
    return told


def test_a_table_has_every_row_in_the_order_of_the_input_and_costs_nothing(world, api, done):
    told = export(world, "out.jsonl", "-o", "x.csv")
    assert told.out == "x.csv: 5 results\n"
    found = read_csv(world.path("x.csv"))
    assert [row["id"] for row in found] == [f"row-{n}" for n in range(5)]
    assert [row["review"] for row in found] == [f"'=n{n}" for n in range(5)]
    assert [row["stars"] for row in found] == list("01234")
    assert [row["answer"] for row in found] == [done[row["id"]]["text"] for row in found]
    assert {row["cost_usd"] for row in found} == {row["cost_usd"] for row in done.values()}
    assert stat.S_IMODE(world.path("x.csv").stat().st_mode) == 0o600
    assert api.requests == 5


def test_it_needs_neither_input_nor_results_nor_ledger(world, api, done):
    for path in ("in.jsonl", "out.jsonl", "../home/state/spend.sqlite"):
        world.path(path).unlink()
    export(world, "out.jsonl", "-o", "x.db")
    database = sqlite3.connect(world.path("x.db"))
    assert database.execute("SELECT count(*), sum(stars) FROM results").fetchone() == (5, 10)
    database.close()


def test_json_lines_are_those_of_the_results_file(world, api, done):
    export(world, "out.jsonl", "-o", "copy.jsonl")
    assert world.path("copy.jsonl").read_bytes() == world.path("out.jsonl").read_bytes()
    told = export(world, "out.jsonl", "-o", "-", "--ordered")
    assert [json.loads(line)["id"] for line in told.out.splitlines()] == [
        f"row-{n}" for n in range(5)
    ]


def test_a_run_is_found_by_its_id_and_chosen_columns_are_written(world, api, done):
    ((run_id,),) = world.query("SELECT value FROM meta WHERE key = 'run_id'")
    told = export(
        world, json.loads(run_id), "-o", "-", "--output-format", "tsv", "--columns", "stars, id"
    )
    assert told.out.splitlines()[:2] == ["stars\tid", "0\trow-0"]


def test_only_the_newest_result_of_a_row_is_in_it(world, api, done):
    # As a session with --retry-failed leaves it that died at its end.
    journal = sqlite3.connect(world.path("out.jsonl.claudebatch") / "journal.sqlite")
    names = [name for (name,) in journal.execute("SELECT name FROM pragma_table_info('results')")]
    same = ", ".join(name for name in names if name != "n")
    journal.execute(f"INSERT INTO results (n, {same}) SELECT n + 100, {same} FROM results")
    assert journal.execute("SELECT count(*) FROM results").fetchone() == (10,)
    journal.commit()
    journal.close()
    export(world, "out.jsonl", "-o", "x.csv")
    assert [row["id"] for row in read_csv(world.path("x.csv"))] == [f"row-{n}" for n in range(5)]


def test_what_is_there_is_replaced_only_on_purpose(world, api, done):
    world.path("x.csv").write_text("mine")
    told = export(world, "out.jsonl", "-o", "x.csv", code=2)
    assert "E662" in told.err and world.path("x.csv").read_text() == "mine"
    export(world, "out.jsonl", "-o", "x.csv", "--replace")
    assert len(read_csv(world.path("x.csv"))) == 5


def test_the_results_file_of_a_run_is_never_written_over(world, api, done):
    before = world.path("out.jsonl").read_bytes()
    told = export(world, "out.jsonl", "-o", "out.jsonl", "--replace", code=2)
    assert "E661" in told.err and world.path("out.jsonl").read_bytes() == before


def test_it_goes_through_no_link(world, api, done):
    world.path("target").write_text("mine")
    os.symlink(world.path("target"), world.path("x.csv"))
    told = export(world, "out.jsonl", "-o", "x.csv", "--replace", code=2)
    assert "E639" in told.err and world.path("target").read_text() == "mine"


def test_a_mistake_is_told_and_nothing_is_written(world, api, done):
    for code, *arguments in (
        ("E652", "out.jsonl", "-o", "x.csv", "--output-format", "xls"),
        ("E654", "out.jsonl", "-o", "x.csv", "--columns", "id,reviw"),
        ("E653", "out.jsonl", "-o", "x.csv", "--columns", "id,id"),
        ("E063", "out.jsonl", "-o", "x.csv", "--columns", " , "),
        ("E658", "out.jsonl", "-o", "-", "--output-format", "openai-batch", "--columns", "id"),
        ("E623", "nothing.jsonl", "-o", "x.csv"),
    ):
        told = export(world, *arguments, code=2)
        assert code in told.err
        assert told.out == "" and not world.path("x.csv").exists()


def test_a_run_at_work_is_read_as_it_is_now(processes, serve):
    world = processes
    api = serve(held_after=2)
    world.write("in.jsonl", prompts(4))
    process = world.launch(*RUN)
    path = world.path("out.jsonl")
    world.until(lambda: path.exists() and path.read_bytes().count(b"\n") == 2)
    told = export(world, "out.jsonl", "-o", "x.csv", "--json")
    assert json.loads(told.out) == {
        "output": "x.csv",
        "format": "csv",
        "results": 2,
        "going_on": True,
        "unshown": 0,
    }
    api.release()
    assert process.wait().code == 0
    export(world, "out.jsonl", "-o", "x.csv", "--replace")
    assert len(read_csv(world.path("x.csv"))) == 4


def test_damage_in_the_journal_is_never_written(world, api, done):
    journal = sqlite3.connect(world.path("out.jsonl.claudebatch") / "journal.sqlite")
    journal.execute("UPDATE results SET head = replace(head, 'row-3', 'row-4')")
    journal.commit()
    journal.close()
    told = export(world, "out.jsonl", "-o", "x.csv", code=6)
    assert "E614" in told.err and not world.path("x.csv").exists()
    assert not world.path("x.csv.new").exists()
