"""Tables, folders and patterns from the command line to the results: typed columns come
back, places are those of the file, and the same command resumes.
"""

from __future__ import annotations

import json
import stat

import pytest

from tests.support.input_writers import FILES, write_input

ROWS = [{"id": f"r{number}", "review": f"review {number}", "stars": number} for number in range(12)]
ASK = ("-t", "Praise? {review}")


def asked(api) -> list[str]:
    return sorted(body["messages"][-1]["content"] for body in api.bodies)


@pytest.mark.parametrize(("name", "first"), [("in.parquet", 1), ("in.arrows", 1), ("in.xlsx", 2)])
def test_typed_columns_come_back_with_the_places_of_their_rows(world, api, name, first):
    write_input(world.work, name, ROWS)
    run = ("run", name, *ASK, "-o", "out.jsonl", "--ordered", "-q")
    assert world.claudebatch(*run).code == 0
    found = list(world.results().values())
    assert [(row["file"], row["line"]) for row in found] == [
        (name, first + number) for number in range(len(ROWS))
    ]
    assert [row["input"]["stars"] for row in found] == list(range(len(ROWS)))
    write_input(world.work, name, [*ROWS, {"id": "new", "review": "new", "stars": 5}])
    assert world.claudebatch(*run).code == 0
    assert (api.requests, len(world.results())) == (13, 13)
    told = world.claudebatch("estimate", name, *ASK, "--json")
    assert json.loads(told.out)["rows"] == 13


@pytest.mark.parametrize("name", FILES)
def test_each_format_can_be_piped_in_and_resumed(world, api, name):
    data = FILES[name](ROWS)
    run = ("run", "-", *ASK, "-o", "out.jsonl", "-q")
    assert world.claudebatch(*run, "-n", "5", stdin=data).code == 0
    assert (api.requests, len(world.results())) == (5, 5)
    done = world.claudebatch(*run, stdin=data)
    assert (done.code, api.requests, len(world.results())) == (0, 12, 12), done.err
    assert {row["file"] for row in world.results().values()} == {"stdin"}
    # What was piped in is kept for a later session, for nobody else.
    kept = list(world.path("out.jsonl.claudebatch").glob("input*"))
    assert kept and all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept)
    assert world.claudebatch(*run, terminal=True).code == 0
    assert api.requests == 12


def test_a_pattern_reads_every_file_and_never_what_runs_wrote(world, api):
    for number in (2, 1):
        world.path(f"part-{number}.csv").write_text(f"review\nfrom {number}\n")
    run = ("run", "*.csv", *ASK, "-o", "part-all.csv", "-q")
    assert world.claudebatch(*run).code == 0
    assert asked(api) == ["Praise? from 1", "Praise? from 2"]
    table = world.path("part-all.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in table[1:]] == ["from 1", "from 2"]
    done = world.claudebatch(*run)
    assert (done.code, api.requests) == (0, 2), done.err
    assert "E604" in world.claudebatch("run", "part-[12].csv", *ASK).err
    assert "error[E360]: no file fits *.tsv" in world.claudebatch("run", "*.tsv", *ASK).err
    assert api.requests == 2


def test_a_folder_of_texts_is_asked_file_by_file(world, api):
    notes = world.path("notes")
    (notes / "sub").mkdir(parents=True)
    (notes / "b.txt").write_text("second")
    (notes / "sub" / "a.md").write_bytes("drittens é".encode("utf-16"))
    (notes / ".secret").write_text("no")
    run = ("run", "notes", "--each-file", "--ordered")
    done = world.claudebatch(*run)
    assert done.code == 0
    assert "W020" in done.err and "such as notes/.secret" in done.err
    assert asked(api) == ["drittens é", "second"]
    (notes / "a.txt").write_text("first")
    assert world.claudebatch(*run, "-q").code == 0
    assert (api.requests, list(world.results("notes.results.jsonl"))) == (
        3,
        ["a.txt", "b.txt", "sub/a.md"],
    )
    inputs = world.results("notes.results.jsonl")["sub/a.md"]["input"]
    assert (inputs["file_name"], inputs["path"]) == ("a.md", "notes/sub/a.md")


def test_a_folder_that_is_called_by_a_dot_has_its_results_beside_it(world, api):
    world.path("claudebatch.yaml").unlink()
    world.path("a.txt").write_text("first")
    assert world.claudebatch("run", ".", "--each-file", "-q").code == 0
    assert world.claudebatch("run", ".", "--each-file", "-q").code == 0
    assert api.requests == 1
    assert (world.work.parent / "work.results.jsonl").exists()


def test_bad_rows_of_a_workbook_send_nothing_unless_they_are_skipped(world, api):
    world.path("in.xlsx").write_bytes(FILES["in.xlsx"]([*ROWS[:2], {**ROWS[2], "review": ""}]))
    columns = ("--drop", "stars")
    run = ("run", "in.xlsx", "-t", "{review}", "-o", "out.jsonl", *columns)
    done = world.claudebatch(*run)
    assert (done.code, api.requests) == (2, 0)
    assert "in.xlsx:4: E341" in done.err
    done = world.claudebatch(*run, "--on-bad-row", "skip")
    assert (done.code, api.requests) == (1, 2)


def test_one_workbook_has_several_sheets(world, api):
    import openpyxl

    book = openpyxl.Workbook()
    for name in ("Cups", "Pots"):
        sheet = book.create_sheet(name)
        sheet.append(["review"])
        sheet.append([f"about {name}"])
    del book["Sheet"]
    book.save(world.path("in.xlsx"))
    done = world.claudebatch("run", "in.xlsx", *ASK, "-o", "cups.jsonl")
    assert "the sheet Cups is read; --sheet NAME reads another one (Pots)" in done.err
    assert world.claudebatch("run", "in.xlsx", *ASK, "-o", "b.jsonl", "--sheet", "Pots").code == 0
    assert asked(api) == ["Praise? about Cups", "Praise? about Pots"]
    done = world.claudebatch("render", "in.xlsx", *ASK, "--sheet", "Pots")
    assert "Praise? about Pots" in done.out
