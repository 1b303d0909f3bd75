"""`claudebatch batches`: what is with the API is listed, shown, collected, canceled and
deleted, and nothing of others is touched by mistake.
"""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from typing import Any

import pytest

from claudebatch.core.errors import AttemptError
from claudebatch.simulator import SimulatedBatches
from claudebatch.storage.run_folder import RunFolder
from tests.e2e.world import World, prompts

BATCH = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku", "--batch")
NOT_OURS = "was made by no run of this machine"


@pytest.fixture
def batches(world: World, serve: Any) -> Any:
    """Serves batches that end by themselves after so many of their seconds."""
    world.configure("batches: {poll: 0.05s, max_requests: 20}\n")

    def start(ends_after: int) -> Any:
        return serve(batches=SimulatedBatches(time=1000.0, latency=f"fixed:{ends_after}"))

    return start


def listed(world: World, *more: str) -> list[dict[str, Any]]:
    done = world.claudebatch("batches", "list", "--json", *more)
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)["batches"]
    return found


def forget(world: World) -> None:
    """As if another machine had made what is with the API."""
    (world.home / "state" / "spend.sqlite").unlink()


def test_a_batch_that_is_perhaps_made_is_listed_with_its_run_and_what_comes_next(
    world: World, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise AttemptError("no answer", type="connection_error", retryable=True)

    simulator = batches(1000)
    world.configure("max_outage: 0.3s\n")
    world.write("in.jsonl", prompts(5))
    # It is made, nobody says so, and then the list is away as well.
    simulator.set_faults({}, script=("batch_504",))
    with monkeypatch.context() as patch:
        patch.setattr("claudebatch.clients.batch_client.ClaudeBatches.page", away)
        assert world.claudebatch(*BATCH).code == 5
    (line,) = listed(world)
    assert (line["id"], line["state"], line["requests"]) == (None, "perhaps made", 5)
    told = world.claudebatch("batches", "list").out
    assert f"claudebatch batches collect {line['run']}" in told.replace("\n", " ")
    assert listed(world, "--account")[0]["state"] == "perhaps made", "whose it is, nobody knows"
    shown = world.claudebatch("batches", "show", "out.jsonl")
    assert "perhaps made" in shown.out, shown.err
    done = world.claudebatch("batches", "collect", line["run"])
    assert done.code == 0, done.err
    assert len(world.results()) == 5
    (line,) = listed(world)
    assert line["state"] == "collected"
    assert line["id"]


def test_they_are_listed_with_their_run_until_they_are_collected(
    world: World, batches: Any
) -> None:
    batches(3000)
    world.write("in.jsonl", prompts(45))
    world.claudebatch(*BATCH, "--detach")
    found = listed(world)
    assert [line["state"] for line in found] == ["open"] * 3
    assert sorted(line["requests"] for line in found) == [5, 20, 20]
    assert {line["output"] for line in found} == {"out.jsonl"}
    shown = world.claudebatch("batches", "show", "out.jsonl", "--json")
    assert {line["status"] for line in json.loads(shown.out)["batches"]} == {"in_progress"}
    world.claudebatch(*BATCH)
    assert {line["state"] for line in listed(world)} == {"collected"}
    assert "collected" in world.claudebatch("batches", "list").out


def test_spend_and_runs_say_that_money_is_reserved_for_batches(world: World, batches: Any) -> None:
    batches(100_000)
    world.write("in.jsonl", prompts(30))
    world.claudebatch(*BATCH, "--detach")
    held = world.ledger()[1]
    said = world.claudebatch("spend").out
    assert "for batches that are with the API" in said
    assert "settle" not in said
    report = json.loads(world.claudebatch("spend", "--json").out)["total"]
    assert Decimal(report["held_by_batches_usd"]) * 10**12 == held
    (run,) = json.loads(world.claudebatch("runs", "list", "--json").out)["runs"]
    assert (run["state"], run["open_batches"], run["exit_code"]) == ("in batches", 2, 0)
    assert "2 are with the API" in world.claudebatch("runs", "show", "out.jsonl").out
    # Settling is for what was killed: it gives up no batch.
    world.claudebatch("runs", "settle", "out.jsonl", "--as", "free")
    assert world.ledger()[1] == held
    assert {line["state"] for line in listed(world)} == {"open"}


def test_collecting_sends_nothing_new_wherever_it_is_called(
    world: World, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = batches(3000)
    world.write("in.jsonl", prompts(45))
    world.claudebatch(*BATCH, "--detach")
    world.write("in.jsonl", prompts(50))
    elsewhere = world.folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    done = world.claudebatch("batches", "collect", listed(world)[0]["run"])
    assert done.code == 1, "five rows have no answer"
    assert len(world.results()) == 45
    assert simulator.stats()["batches"]["made"] == 3
    assert simulator.requests == 0
    assert "--collect" not in done.err.partition("next ")[2], "the next command sends the rest"
    assert world.ledger()[1] == 0
    done = world.claudebatch(*BATCH)
    assert (done.code, len(world.results())) == (0, 50)
    # Of a run without batches nothing is known to be collected.
    world.write("live.jsonl", prompts(1))
    world.claudebatch("run", "live.jsonl", "-m", "haiku")
    done = world.claudebatch("batches", "collect", "live.results.jsonl")
    assert (done.code, "E777" in done.err) == (2, True)


def test_collecting_where_nothing_is_with_the_api_sends_nothing(world: World, batches: Any) -> None:
    simulator = batches(1)
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch(*BATCH[:-1], "--collect")
    assert (done.code, simulator.requests) == (1, 0), done.err
    assert "3 pending" in done.err


def test_canceled_ones_are_collected_and_cost_what_was_answered(world: World, batches: Any) -> None:
    simulator = batches(100_000)
    world.write("in.jsonl", prompts(30))
    world.claudebatch(*BATCH, "--detach")
    done = world.claudebatch("batches", "cancel", "out.jsonl")
    assert done.code == 0, done.err
    assert done.out.count("is being canceled") == 2
    assert {line["status"] for line in listed(world, "--account")} <= {"canceling", "ended"}
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku")
    assert done.code == 0, done.err
    assert len(world.results()) == 30
    assert world.settled() == simulator.stats()["billed_pico"]
    again = world.claudebatch("batches", "cancel", "out.jsonl")
    assert (again.code, "E771" in again.err) == (2, True)


def test_those_of_others_are_marked_and_canceled_only_on_purpose(
    world: World, batches: Any
) -> None:
    batches(100_000)
    world.write("in.jsonl", prompts(5))
    world.claudebatch(*BATCH, "--detach")
    forget(world)
    assert listed(world) == []
    (line,) = listed(world, "--account")
    assert (line["ours"], line["run"], line["requests"]) == (False, None, 5)
    assert "not ours" in world.claudebatch("batches", "list", "--account").out
    done = world.claudebatch("batches", "cancel", line["id"])
    assert (done.code, NOT_OURS in done.err) == (2, True)
    assert listed(world, "--account")[0]["status"] == "in_progress"
    assert world.claudebatch("batches", "cancel", line["id"], "--yes").code == 0
    assert listed(world, "--account")[0]["status"] != "in_progress"


def test_only_what_is_on_disk_is_deleted(world: World, batches: Any) -> None:
    batches(3000)
    world.write("in.jsonl", prompts(5))
    world.claudebatch(*BATCH, "--detach")
    (line,) = listed(world)
    done = world.claudebatch("batches", "delete", line["id"])
    assert (done.code, "E773" in done.err) == (2, True)
    world.claudebatch(*BATCH)
    # A run that was purged has its answers nowhere but in a file that may be anywhere.
    folder = world.path("out.jsonl.claudebatch")
    folder.rename(world.path("moved"))
    done = world.claudebatch("batches", "delete", line["id"])
    assert (done.code, "E773" in done.err) == (2, True)
    world.path("moved").rename(folder)
    done = world.claudebatch("batches", "delete", line["id"])
    assert done.code == 0, done.err
    # The API has forgotten it, and the ledger has not.
    (left,) = listed(world, "--account")
    assert (left["state"], left["status"]) == ("collected", None)
    shown = world.claudebatch("batches", "show", line["id"])
    assert (shown.code, "collected" in shown.out) == (0, True)


def test_of_a_folder_that_came_out_of_an_old_copy_nothing_is_deleted(
    world: World, batches: Any
) -> None:
    batches(3000)
    world.write("in.jsonl", prompts(5))
    world.claudebatch(*BATCH, "--detach")
    (line,) = listed(world)
    folder, copy = world.path("out.jsonl.claudebatch"), world.path("copy")
    shutil.copytree(folder, copy)
    assert world.claudebatch(*BATCH).code == 0
    shutil.rmtree(folder)
    copy.rename(folder)
    done = world.claudebatch("batches", "delete", line["id"])
    assert (done.code, "E773" in done.err) == (2, True), "the answers are not there"
    # The same command collects them, and then it goes.
    assert world.claudebatch(*BATCH).code == 0
    assert len(world.results()) == 5
    assert world.claudebatch("batches", "delete", line["id"]).code == 0


def test_what_nobody_knows_is_said(world: World, batches: Any) -> None:
    batches(1)
    done = world.claudebatch("batches", "show", "msgbatch_0123")
    assert (done.code, "E774" in done.err) == (2, True)
    world.write("in.jsonl", prompts(1))
    world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku")
    done = world.claudebatch("batches", "show", "out.jsonl")
    assert (done.code, "E770" in done.err) == (2, True)
    world.environment["ANTHROPIC_BASE_URL"] = "http://127.0.0.1:9"
    done = world.claudebatch("batches", "list", "--account")
    assert (done.code, "E775" in done.err) == (5, True)


def test_a_run_that_goes_on_collects_by_itself(world: World, batches: Any) -> None:
    batches(100_000)
    world.write("in.jsonl", prompts(5))
    world.claudebatch(*BATCH, "--detach")
    at_work = RunFolder.take(world.path("out.jsonl.claudebatch"))
    assert isinstance(at_work, RunFolder)
    try:
        done = world.claudebatch("batches", "collect", "out.jsonl")
    finally:
        at_work.close()
    assert (done.code, "E776" in done.err) == (7, True), done.err
    assert "is still going on" in done.err
