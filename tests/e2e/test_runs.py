"""`claudebatch runs`: every run of the machine can be found, explained, settled and
purged.
"""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from datetime import date

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


def listed(world) -> list[dict]:
    return json.loads(world.claudebatch("runs", "list", "--json").out)["runs"]


@pytest.fixture
def lost(world, serve):
    """A run of which the answer of one request was lost."""
    api = serve(script=("cut",), use_all_max_tokens=True)
    world.write("in.jsonl", prompts(3, max_tokens=1000))
    assert world.claudebatch(*RUN).code == 0
    return api


@pytest.fixture
def died(processes, serve):
    """A run that was killed with requests in flight."""
    world = processes
    api = serve(latency="fixed:30")
    world.write("in.jsonl", prompts(6, max_tokens=100))
    run = world.launch(*RUN)
    world.until(lambda: api.requests == 6, what="every request")
    return run


def test_a_finished_run_is_listed_with_its_rows_its_cost_and_its_results(world, api):
    world.write("in.jsonl", prompts(4))
    assert world.claudebatch(*RUN).code == 0
    (run,) = listed(world)
    assert (run["state"], run["rows"], run["succeeded"], run["failed"], run["exit_code"]) == (
        "finished",
        4,
        4,
        0,
        0,
    )
    assert run["ended"] >= run["started"]
    assert run["folder"] == str(world.path("out.jsonl.claudebatch"))
    shown = world.claudebatch("runs", "show", "out.jsonl").out
    assert (
        run["run"] in shown and "finished (exit code 0)" in shown and "claude-sonnet-5-5" in shown
    )
    assert world.claudebatch("runs", "show", run["run"][:-3]).out == shown, (
        "a unique beginning will do"
    )


def test_a_run_stopped_by_its_cap_is_listed_as_stopped(world, api):
    world.write("in.jsonl", prompts(4, max_tokens=1000))
    assert world.claudebatch(*RUN, "--budget", "0.0001").code == 3
    assert [(run["state"], run["exit_code"]) for run in listed(world)] == [("stopped", 3)]


def test_an_unknown_request_is_shown_with_what_it_takes_to_look_it_up(world, lost):
    shown = json.loads(world.claudebatch("runs", "show", "out.jsonl", "--json").out)
    (unknown,) = shown["unknown"]
    assert unknown["id"].startswith("row-") and unknown["model"] == "claude-sonnet-5-5"
    assert unknown["worst_usd"] == shown["spend"]["unknown_usd"] != "0"
    assert (
        unknown["request_id"]
        == world.query("SELECT request_id FROM attempts WHERE state = 3")[0][0]
    )
    assert unknown["sent_at"].startswith("20")


@pytest.mark.parametrize(("verdict", "billed"), [("billed", True), ("free", False)])
def test_what_the_user_found_out_goes_into_the_journal_first_and_stays(
    world, lost, verdict, billed
):
    settled, unknown = world.ledger()
    assert unknown > 0
    done = world.claudebatch("runs", "settle", "out.jsonl", "--as", verdict)
    assert (done.code, "unknown" in done.out) == (0, False)
    expected = settled + unknown if billed else settled
    assert world.settled() == expected
    assert world.ledger() == (expected, 0)
    for other in ("billed", "free"):
        again = world.claudebatch("runs", "settle", "out.jsonl", "--as", other)
        assert (again.code, "nothing was changed" in again.out) == (0, True)
    assert "nothing was changed" not in done.out
    assert world.claudebatch(*RUN).code == 0, "the next session believes it"
    assert world.ledger() == (expected, 0)


def test_a_dead_run_is_known_as_such_and_settling_it_is_exact(died, processes):
    world = processes
    assert [run["state"] for run in listed(world)] == ["running"]
    at_work = {"runs settle": "E018", "runs check": "E601", "runs rebuild": "E634"}
    for command, name in {**at_work, "batches collect": "E776"}.items():
        refused = world.claudebatch(*command.split(), "out.jsonl")
        assert (refused.code, f"error[{name}]: " in refused.err) == (7, True), refused.err
        assert "still going on" in refused.err
    died.send(signal.SIGKILL)
    died.wait()
    (run,) = listed(world)
    assert run["state"] == "died"
    sent = int(world.query("SELECT sum(worst) FROM attempts")[0][0])
    assert world.ledger()[1] > sent, "held ahead, or at least not settled"
    assert world.claudebatch("runs", "settle", "--all").code == 0
    assert world.ledger() == (0, sent), "what was never sent is free, what was sent is unknown"
    assert listed(world)[0]["spend"]["held_usd"] == "0"


def test_starting_over_settles_the_dead_run_that_it_replaces(died, processes, serve):
    world = processes
    died.send(signal.SIGKILL)
    died.wait()
    sent = int(world.query("SELECT sum(worst) FROM attempts")[0][0])
    assert world.ledger()[1] > sent
    api = serve()
    assert world.claudebatch(*RUN, "--fresh").code == 0
    assert world.ledger() == (api.stats()["billed_pico"], sent)
    assert sorted(run["state"] for run in listed(world)) == ["died", "finished"]


def test_a_live_run_is_never_purged(died, processes):
    world = processes
    refused = world.claudebatch("runs", "purge", "out.jsonl", "--yes")
    assert refused.code == 7
    assert world.path("out.jsonl.claudebatch/journal.sqlite").exists()


def test_purging_removes_the_folder_and_the_details_and_keeps_results_and_sums(world, lost):
    before, results = world.ledger(), world.path("out.jsonl").read_bytes()
    refused = world.claudebatch("runs", "purge", "out.jsonl")
    assert (refused.code, "--yes" in refused.err) == (2, True), "nobody is here to be asked"
    assert world.path("out.jsonl.claudebatch").exists()
    assert world.claudebatch("runs", "purge", "out.jsonl", "--yes").code == 0
    assert not world.path("out.jsonl.claudebatch").exists()
    assert world.path("out.jsonl").read_bytes() == results
    assert world.ledger() == before
    (run,) = listed(world)
    assert run["folder"] is None
    assert json.loads(world.claudebatch("runs", "show", run["run"], "--json").out)["unknown"] == []
    assert world.claudebatch("runs", "purge", run["run"], "--yes", "--forget").code == 0
    assert (world.ledger(), listed(world)) == ((0, 0), [])


def test_only_old_runs_are_purged_by_age(world, api):
    world.write("in.jsonl", prompts(2))
    assert world.claudebatch(*RUN).code == 0
    done = world.claudebatch("runs", "purge", "--older-than", "30d", "--yes")
    assert (done.code, done.out) == (0, "0 runs purged\n")
    assert world.path("out.jsonl.claudebatch").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "nothing-like-it"), "there is no run"),
        (("settle",), "no run is named"),
        (("settle", "x", "--all"), "no run is named"),
        (("purge",), "no run is named"),
        (("purge", "--older-than", "soon"), "30d"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(world, arguments, says):
    done = world.claudebatch("runs", *arguments)
    assert done.code == 2 and says in done.err
    assert done.out == ""


@pytest.fixture
def damaged(world, api):
    """Four runs, of which `b` has a journal from the future, and `c` one that is no
    database; their ids by name.
    """
    world.write("in.jsonl", prompts(2))
    for name in ("a", "b", "c", "d"):
        assert world.claudebatch("run", "in.jsonl", "-o", f"{name}.jsonl").code == 0
    with closing(sqlite3.connect(world.path("b.jsonl.claudebatch") / "journal.sqlite")) as journal:
        journal.execute("PRAGMA user_version = 99")
    journal_file = world.path("c.jsonl.claudebatch") / "journal.sqlite"
    journal_file.write_bytes(b"no database" * 1000)
    return {run["output"].removesuffix(".jsonl"): run["run"] for run in listed(world)}


def names_both(done):
    errors = [line for line in done.err.splitlines() if line.startswith("error[")]
    assert [sum(f"{name}.jsonl.claudebatch" in line for line in errors) for name in "abcd"] == [
        0,
        1,
        1,
        0,
    ], done.err
    return True


def test_runs_whose_journals_cannot_be_read_do_not_keep_the_others_from_being_settled(
    world, damaged
):
    done = world.claudebatch("runs", "settle", "--all", "--json")
    assert (done.code, names_both(done)) == (6, True)
    assert sorted(run["run"] for run in done.lines[0]["runs"]) == sorted(
        (damaged["a"], damaged["d"])
    )


def test_of_all_runs_only_those_are_told_whose_money_has_changed(world, api):
    world.write("in.jsonl", prompts(2))
    for name in "ab":
        assert world.claudebatch("run", "in.jsonl", "-o", f"{name}.jsonl").code == 0
    done = world.claudebatch("runs", "settle", "--all")
    assert (done.code, done.out) == (0, "There is nothing to settle.\n")
    assert "spent" in world.claudebatch("runs", "settle", "a.jsonl").out, "it was named"


@pytest.mark.parametrize("how", ["by name", "by age"])
def test_nor_do_they_keep_the_others_from_being_purged(world, damaged, how, monkeypatch):
    monkeypatch.setattr("claudebatch.cli.dates.today", lambda: date(2999, 1, 1))
    which = [f"{name}.jsonl" for name in "abcd"] if how == "by name" else ["--older-than", "30d"]
    done = world.claudebatch("runs", "purge", *which, "--yes", "--json")
    assert (done.code, names_both(done)) == (6, True)
    (told,) = done.lines
    assert sorted(run["run"] for run in told["purged"]) == sorted((damaged["a"], damaged["d"]))
    assert [world.path(f"{name}.jsonl.claudebatch").exists() for name in "abcd"] == [
        False,
        True,
        True,
        False,
    ]


def test_a_run_that_goes_on_does_not_keep_the_others_from_being_purged(died, processes, serve):
    world = processes
    serve()
    assert world.claudebatch("run", "in.jsonl", "-o", "other.jsonl").code == 0
    done = world.claudebatch("runs", "purge", "out.jsonl", "other.jsonl", "--yes")
    assert (done.code, done.out) == (7, "1 run purged\n")
    assert (
        world.path("out.jsonl.claudebatch").exists()
        and not world.path("other.jsonl.claudebatch").exists()
    )


def test_a_ledger_that_is_not_there_is_no_error(world):
    assert world.claudebatch("runs", "list").out == "There is no run yet.\n"
    assert json.loads(world.claudebatch("runs", "list", "--json").out) == {"runs": []}
    assert not (world.home / "state").exists()
