"""`runs check`: bits that flip on the disk are found, told, and mended from copies;
never shown, never paid for.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from tests.e2e.world import World, prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-q")
CHECK = ("runs", "check", "out.jsonl", "--json")

ANSWER = (
    "UPDATE attempts SET body = CAST(replace(CAST(body AS TEXT), 'a', 'b') AS BLOB)"
    " WHERE attempt = 2"
)
AMOUNT = "UPDATE attempts SET cost = cost + 1 WHERE attempt = 3"
RESULT = (
    "UPDATE results SET head = CAST(replace(CAST(head AS TEXT), '1', '2') AS BLOB) WHERE row = 4"
)


@pytest.fixture
def done(world: World, api):
    """A finished run; its results as they were written."""
    world.write("in.jsonl", prompts(5))
    assert world.claudebatch(*RUN).code == 0
    return world.path("out.jsonl").read_bytes()


def damage(
    world: World, *statements: str, file: str = "out.jsonl.claudebatch/journal.sqlite"
) -> None:
    """Change what a disk might change."""
    with closing(sqlite3.connect(world.path(file), isolation_level=None)) as database:
        for statement in statements:
            assert database.execute(statement).rowcount == 1


def checked(world: World, *more: str, code: int) -> dict[str, object]:
    """What the one run that is checked is like."""
    told = world.claudebatch(*CHECK, *more)
    assert told.code == code, told.err
    (run,) = json.loads(told.out)["runs"]
    return run


def test_a_run_as_it_was_written_is_sound_by_any_of_its_names(world, api, done):
    ((run_id,),) = world.query("SELECT value FROM meta WHERE key = 'run_id'")
    for names in ([], ["out.jsonl"], ["out.jsonl.claudebatch"], [json.loads(run_id)]):
        told = world.claudebatch("runs", "check", *names)
        assert told.code == 0, told.err
        assert "out.jsonl: 5 requests and 5 results are intact" in told.out


@pytest.mark.parametrize(
    ("statement", "field", "numbers"),
    [
        (ANSWER, "damaged_answers", [2]),
        (AMOUNT, "damaged_records", [3]),
        (RESULT, "damaged_results", [4]),
    ],
)
def test_what_is_damaged_is_told_shown_to_nobody_and_mended(
    world, api, done, statement, field, numbers
):
    ((n,),) = world.query("SELECT n FROM results WHERE row = 4")
    damage(world, statement)
    found = checked(world, code=6)
    assert (found["sound"], found[field]) == (False, [n] if field == "damaged_results" else numbers)
    told = world.claudebatch("runs", "check", "out.jsonl")
    assert "error[E014]: 1 run is damaged\n  hint: `claudebatch runs check --repair`" in told.err
    again = world.claudebatch(*RUN)
    assert again.code == 6 and "runs check --repair" in again.err, again.err
    mended = checked(world, "--repair", code=0)
    assert (mended["restored"], mended["lost_rows"], mended["unsure_requests"]) == (1, [], [])
    assert checked(world, code=0)["sound"] is True
    assert world.path("out.jsonl").read_bytes() == done
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 5


@pytest.mark.parametrize("damage_done", ["cost = 0", "simulated = 1", "worst = 0, state = 0"])
@pytest.mark.parametrize(
    "command", [RUN, ("runs", "settle", "out.jsonl", "--as", "free")], ids=["run", "settle"]
)
def test_a_damaged_amount_never_takes_the_place_of_what_the_ledger_knows(
    world, api, done, damage_done, command
):
    before = world.ledger()
    damage(world, f"UPDATE attempts SET {damage_done} WHERE attempt = 2")
    assert world.claudebatch(*command).code == 6
    assert world.ledger() == before
    assert checked(world, "--repair", code=0)["unsure_requests"] == []
    assert world.claudebatch(*RUN).code == 0
    assert (world.ledger(), world.path("out.jsonl").read_bytes(), api.requests) == (before, done, 5)


def test_an_answer_comes_out_of_the_line_of_any_row_that_shares_it(world, api):
    rows = prompts(3)
    world.write("in.jsonl", [*rows, rows[0] | {"id": "twin"}])
    assert world.claudebatch(*RUN).code == 0
    world.write("in.jsonl", [*rows[1:], rows[0] | {"id": "twin"}])  # the row that was asked is gone
    assert world.claudebatch(*RUN, "--yes").code == 0
    shutil.rmtree(world.home / "cache")
    ((attempt,),) = world.query(
        "SELECT attempt FROM results x JOIN rows r USING (row) WHERE r.id = 'twin'"
    )
    damage(world, f"UPDATE attempts SET body = x'0000' WHERE attempt = {attempt}")
    assert checked(world, "--repair", code=0)["restored"] == 1
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 3


def test_a_row_that_fell_out_of_the_index_comes_back_with_its_answer(world, api, done):
    damage(world, "UPDATE rows SET live = 0 WHERE row = 3")
    assert world.claudebatch(*RUN).code == 0
    assert (sorted(world.path("out.jsonl").read_bytes().splitlines()), api.requests) == (
        sorted(done.splitlines()),
        5,
    )


def test_an_answer_comes_out_of_the_response_cache_where_the_results_are_gone_too(world, api, done):
    world.path("out.jsonl").unlink()
    damage(world, ANSWER)
    assert checked(world, "--repair", code=0)["restored"] == 1
    assert world.path("out.jsonl").read_bytes() == done
    assert api.requests == 5


def test_an_answer_that_is_nowhere_is_asked_again_and_stays_paid_for(world, api, done):
    world.path("out.jsonl").unlink()
    shutil.rmtree(world.home / "cache")
    damage(world, ANSWER)
    ((row,),) = world.query("SELECT row FROM attempts WHERE attempt = 2")
    assert checked(world, "--repair", code=6)["lost_rows"] == [row]
    assert checked(world, code=0)["sound"] is True
    assert len(world.path("out.jsonl").read_bytes().splitlines()) == 4
    ledger = world.ledger()
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 6
    assert len(world.results()) == 5
    assert world.ledger()[0] > ledger[0]


def test_results_that_somebody_edited_are_no_source_of_answers(world, api, done):
    shutil.rmtree(world.home / "cache")
    edited = done.replace(b"Simulated", b"Forged")
    assert edited != done
    world.path("out.jsonl").write_bytes(edited)
    damage(world, ANSWER)
    assert len(checked(world, "--repair", code=6)["lost_rows"]) == 1
    assert b"Forged" not in world.path("out.jsonl").read_bytes()
    assert world.path("out.jsonl.edited-1").read_bytes() == edited


@pytest.mark.parametrize("change", ["deleted", "torn", "edited", "longer"])
def test_a_results_file_that_differs_is_told_and_made_again(world, api, done, change):
    path = world.path("out.jsonl")
    match change:
        case "deleted":
            path.unlink()
        case "torn":
            path.write_bytes(done[:-3])
        case "edited":
            path.write_bytes(done.replace(b"Simulated", b"Forged"))
        case "longer":
            path.write_bytes(done + b"{}\n")
    assert checked(world, code=6)["results_file"]
    checked(world, "--repair", code=0)
    assert path.read_bytes() == done
    checked(world, code=0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE attempts SET cost = cost - 1 WHERE attempt = 2",
        "UPDATE attempts SET output_tokens = output_tokens + 1 WHERE attempt = 2",
        "UPDATE spend SET spent = spent + 1",
        "DELETE FROM attempts WHERE attempt = 4",
    ],
)
def test_amounts_in_the_ledger_are_compared_with_the_journal(world, api, done, statement):
    before = world.ledger()
    damage(world, statement, file=str(world.home / "state" / "spend.sqlite"))
    found = checked(world, code=6)
    assert (found["ledger_agrees"], found["damaged_records"]) == (False, [])
    checked(world, "--repair", code=0)
    assert checked(world, code=0)["ledger_agrees"] is True
    assert world.ledger() == before


def test_a_journal_that_sqlite_cannot_read_is_told_and_the_others_are_checked_all_the_same(
    world, api, done
):
    other = world.claudebatch("run", "in.jsonl", "-o", "other.jsonl", "-q")
    assert other.code == 0
    journal = world.path("out.jsonl.claudebatch/journal.sqlite")
    whole = bytearray(journal.read_bytes())
    whole[16_384 * 2 : 16_384 * 3] = bytes(16_384)
    journal.write_bytes(whole)
    told = world.claudebatch("runs", "check")
    assert told.code == 6
    assert "other.jsonl: 0 requests and 5 results are intact" in told.out
    mended = world.claudebatch("runs", "check", "out.jsonl", "--repair")
    assert mended.code == 6 and "restore the folder from a copy, or start over" in mended.err


def test_a_rehearsal_is_checked_against_books_of_its_own(world, api):
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--simulate", "-q").code == 0
    assert checked(world, code=0)["ledger_agrees"] is True
    damage(
        world,
        "UPDATE spend SET spent = spent + 1",
        file=str(world.home / "state" / "simulated" / "spend.sqlite"),
    )
    assert checked(world, code=6)["ledger_agrees"] is False


def test_rehearsals_are_among_all_runs_and_runs_that_were_moved_are_no_damage(world, api, done):
    assert world.claudebatch("run", "in.jsonl", "-o", "played.jsonl", "--simulate", "-q").code == 0
    world.path("out.jsonl.claudebatch").rename(world.path("elsewhere"))
    told = world.claudebatch("runs", "check")
    assert told.code == 0, told.err
    assert "played.jsonl: 5 requests" in told.out
    assert "1 run without a folder" in told.out


@pytest.mark.parametrize("place", ["folder", "fifo", "link"])
def test_results_that_are_no_file_are_not_repaired(world, api, done, place):
    path = world.path("out.jsonl")
    path.unlink()
    if place == "folder":
        path.mkdir()
    elif place == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(world.path("in.jsonl"))
    assert world.claudebatch("runs", "check", "out.jsonl", "--repair").code == 2


@pytest.mark.parametrize("name", ["nothing.jsonl", ".", "/", ""])
def test_what_is_no_run_is_refused(world, api, name):
    told = world.claudebatch("runs", "check", name)
    assert told.code == 2, told.err
    assert world.claudebatch("runs", "check").code == 0


def test_a_ledger_that_is_damaged_is_told_beside_the_runs_that_are_sound(world, api, done):
    path = world.home / "state" / "spend.sqlite"
    with closing(sqlite3.connect(path)) as ledger, ledger:
        # A value that its column cannot have, as a flipped bit leaves it.
        ledger.execute("CREATE TABLE bits (bit)")
        ledger.execute("INSERT INTO bits VALUES (NULL)")
        ledger.execute("PRAGMA writable_schema = ON")
        ledger.execute(
            "UPDATE sqlite_master SET sql = 'CREATE TABLE bits (bit NOT NULL)' WHERE name = 'bits'"
        )
    told = world.claudebatch("runs", "check")
    assert told.code == 6
    assert "are intact" in told.out
    assert f"error[E013]: {path}: the spend ledger is damaged" in " ".join(told.err.split())
    assert "hint: move the file away" in told.err
