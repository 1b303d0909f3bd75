"""Fields beside the prompt come back in the results, with the row's place; and stay
right when the input moves.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

LINES = [
    {"id": 7, "prompt": "Is this praise? Great tea.", "product": "tea", "stars": 5},
    {"id": "b", "prompt": "Is this praise? Bad pen.", "product": "pen", "stars": 1.50},
    {"prompt": "Is this praise? Fine.", "metadata": {"plan": "gold"}},
    {"prompt": "Is this praise? Plain."},
]


EXPECTED = [
    {"product": "tea", "stars": 5},
    {"product": "pen", "stars": 1.5},
    {"metadata": {"plan": "gold"}},
    None,
]
ORDERED = ("run", "rows.jsonl", "--ordered", "-q")


def lines(world, name: str = "rows.results.jsonl") -> list[dict]:
    return [json.loads(line) for line in world.path(name).read_text().splitlines()]


def place(row: dict) -> tuple:
    return row["line"], row["file"], row.get("input")


def expected(first: int = 1) -> list[tuple]:
    return [(first + n, "rows.jsonl", one) for n, one in enumerate(EXPECTED)]


@pytest.fixture
def rows(world):
    return world.write("rows.jsonl", LINES)


def test_answers_come_with_their_columns_and_place(world, api, rows):
    assert world.claudebatch(*ORDERED).code == 0
    found = lines(world)
    assert [place(row) for row in found] == expected()
    assert [row["id"] for row in found[:2]] == [7, "b"]


def test_so_do_those_out_of_the_cache(world, api, rows):
    world.claudebatch(*ORDERED)
    world.claudebatch(*ORDERED, "-o", "again.jsonl")
    found = lines(world, "again.jsonl")
    assert {row["source"] for row in found} == {"cache"}
    assert [place(row) for row in found] == expected()
    assert found[0]["id"] == 7


def test_so_do_rows_that_failed(world, api):
    world.write("bad.jsonl", [{"id": 3, "prompt": "[[simulate: 400]]", "product": "tea"}])
    assert world.claudebatch("run", "bad.jsonl", "-q").code == 1
    (row,) = lines(world, "bad.results.jsonl")
    assert (row["status"], row["id"], place(row)) == (
        "failed",
        3,
        (1, "bad.jsonl", {"product": "tea"}),
    )


def test_an_input_that_moved_moves_its_results_and_asks_nothing(world, api, rows):
    world.claudebatch(*ORDERED)
    sent = len(api.bodies)
    changed = [dict(LINES[0], product="coffee"), *LINES[1:]]
    rows.write_text("\n\n" + "".join(json.dumps(line) + "\n" for line in changed))
    assert world.claudebatch(*ORDERED).code == 0
    found = lines(world)
    assert place(found[0]) == (3, "rows.jsonl", {"product": "coffee", "stars": 5})
    assert [place(row) for row in found[1:]] == expected(3)[1:]
    assert len(api.bodies) == sent
    assert world.claudebatch("runs", "check", "rows.results.jsonl").code == 0


def test_results_that_are_gone_are_written_again_with_their_places(world, api, rows):
    world.claudebatch(*ORDERED)
    output = world.path("rows.results.jsonl")
    whole = output.read_bytes()
    output.unlink()
    assert world.claudebatch("runs", "rebuild", "rows.results.jsonl").code == 0
    assert output.read_bytes() == whole


def test_a_damaged_place_is_found_and_comes_back_from_the_results_file(world, api, rows):
    world.claudebatch(*ORDERED)
    whole = world.path("rows.results.jsonl").read_bytes()
    journal = world.path("rows.results.jsonl.claudebatch") / "journal.sqlite"
    with closing(sqlite3.connect(journal)) as damaged, damaged:
        damaged.execute("UPDATE results SET place = x'2c' WHERE n = 2")
    assert world.claudebatch("runs", "check", "rows.results.jsonl").code == 6
    assert world.claudebatch("runs", "check", "rows.results.jsonl", "--repair").code == 0
    assert world.claudebatch("runs", "check", "rows.results.jsonl").code == 0
    assert world.path("rows.results.jsonl").read_bytes() == whole


def test_fields_are_ignored_or_refused_where_that_is_asked_for(world, api, rows):
    world.claudebatch("run", "rows.jsonl", "--extra", "ignore", "-q", "-o", "i.jsonl")
    assert not any("input" in row for row in lines(world, "i.jsonl"))
    refused = world.claudebatch("run", "rows.jsonl", "--extra", "refuse", "-o", "r.jsonl")
    assert refused.code == 2
    assert 'unknown field "product"' in refused.err


def test_a_column_that_looks_like_a_picture_is_told_once(world, api):
    world.write("p.jsonl", [{"prompt": f"What? {n}", "image": f"a{n}.png"} for n in range(3)])
    done = world.claudebatch("run", "p.jsonl")
    assert done.err.count("the field image looks like a file to be sent along") == 1


def test_rows_of_a_file_that_is_not_given_this_time_keep_their_places(world, api):
    world.write("a.jsonl", ["one", "two"])
    world.write("b.jsonl", ["three", "four"])
    assert world.claudebatch("run", "a.jsonl", "b.jsonl", "-o", "o.jsonl", "-q").code == 0
    before = world.path("o.jsonl").read_bytes()
    assert world.claudebatch("run", "a.jsonl", "-n", "1", "-o", "o.jsonl", "-q").code == 0
    assert world.path("o.jsonl").read_bytes() == before
    world.path("a.jsonl").write_text('\n"one"\n"two"\n')
    assert world.claudebatch("run", "a.jsonl", "-n", "2", "-o", "o.jsonl", "-q").code == 0
    places = {(row["file"], row["line"]) for row in lines(world, "o.jsonl")}
    assert places == {("a.jsonl", 2), ("a.jsonl", 3), ("b.jsonl", 1), ("b.jsonl", 2)}


def test_a_broken_array_sends_nothing_though_bad_rows_are_skipped(world, api):
    world.path("in.json").write_text('[{"prompt": "a"},\n{"prompt": tru},\n{"prompt": "c"}]')
    done = world.claudebatch("run", "in.json", "-o", "o.jsonl", "--on-bad-row", "skip")
    assert (done.code, api.requests) == (2, 0)
    assert "error[E314]: in.json:2: the value that begins here is not valid JSON" in done.err
