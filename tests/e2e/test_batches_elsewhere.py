"""A batch belongs to the address that it was made at."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from claudebatch.simulator import SimulatedBatches
from tests.e2e.world import World, prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku")
BATCH = (*RUN, "--batch", "--budget", "5")


@pytest.fixture
def batches(world: World, serve: Any) -> Any:
    """Serves batches that last for a second, or for very long."""
    world.configure("batches: {poll: 0.05s, max_requests: 20}\n")
    world.write("in.jsonl", prompts(30))

    def start(*, ends_after: int = 1, **settings: Any) -> Any:
        return serve(
            batches=SimulatedBatches(time=1000.0, latency=f"fixed:{ends_after}"), **settings
        )

    return start


def test_batches_at_another_address_are_left_alone_until_that_one_is_asked(
    world: World, batches: Any
) -> None:
    first = batches(ends_after=1000)
    assert world.claudebatch(*BATCH, "--detach").code == 0
    held = world.ledger()
    other = batches()
    done = world.claudebatch(*BATCH)
    assert "W120" in done.err
    assert f"20 rows are in a batch at {first.url}" in done.err
    assert world.results() == {}
    # They may be answered and billed there: nothing is sent again, and all stays held.
    assert other.stats()["batches"]["made"] == other.requests == 0
    assert world.ledger() == held
    world.point_at(first.url)
    assert world.claudebatch(*BATCH).code == 0
    assert len(world.results()) == 30
    assert world.ledger() == (first.stats()["billed_pico"], 0)


def test_those_of_a_simulator_are_given_back_once_the_real_api_is_asked(
    world: World, batches: Any
) -> None:
    batches(ends_after=100_000, marked=True)
    done = world.claudebatch(*BATCH, "--detach")
    assert done.code == 0
    assert "W042" in done.err
    real = batches()
    done = world.claudebatch(*BATCH)
    assert done.code == 0, done.err
    assert "W120" not in done.err
    assert len(world.results()) == 30
    assert real.stats()["batches"]["requests"] == 30
    assert world.ledger() == (real.stats()["billed_pico"], 0)
    listed = world.claudebatch("batches", "list").out
    assert "open" not in listed


def test_those_of_a_simulator_that_was_started_anew_are_sent_again(
    world: World, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("claudebatch.engine.batches.polls._PATIENCE_S", 0.2)
    first = batches(ends_after=100_000, marked=True)
    assert world.claudebatch(*BATCH, "--detach").code == 0
    old = first.url
    # Its batches have names of their own.
    second = batches(marked=True, seed=12)
    # As if it listened at the address of the first one.
    journal = world.path("out.jsonl.claudebatch") / "journal.sqlite"
    renamed(str(journal), old, second.url)
    done = world.claudebatch(*BATCH)
    assert done.code == 0, done.err
    assert len(world.results()) == 30
    assert world.ledger() == (0, 0)


def renamed(journal: str, old: str, new: str) -> None:
    with sqlite3.connect(journal) as connection:
        connection.execute("UPDATE meta SET value = replace(value, ?, ?)", (old, new))


def test_what_one_api_tells_of_batches_says_nothing_of_another_one(
    world: World, batches: Any
) -> None:
    first = batches()
    assert world.claudebatch(*BATCH).code == 0
    asked = ("estimate", "in.jsonl", "-m", "haiku", "--batch")
    # However the address is written, it is the same.
    world.point_at(f"{first.url}/")
    assert "unknown" not in world.claudebatch(*asked).out
    batches()
    assert "unknown, up to 24 h" in world.claudebatch(*asked).out


def test_batches_are_found_again_however_the_address_is_written(world: World, batches: Any) -> None:
    first = batches(ends_after=1000)
    assert world.claudebatch(*BATCH, "--detach").code == 0
    world.point_at(f"{first.url}/")
    done = world.claudebatch(*BATCH)
    assert (done.code, "W120" in done.err) == (0, False), done.err
    assert len(world.results()) == 30


def test_what_another_run_has_in_a_batch_is_said_before_it_is_paid_for_twice(
    world: World, batches: Any
) -> None:
    simulator = batches(ends_after=300)
    assert world.claudebatch(*BATCH, "--detach").code == 0
    # The same rows with another results file are another run: it has no batch.
    other = (*RUN[:2], "-o", "other.jsonl", "-m", "haiku", "--batch")
    done = world.claudebatch(*other, "--collect")
    assert "W123" in done.err
    assert "30 rows ask for what is in a batch of " in done.err
    assert simulator.stats()["batches"]["requests"] == 30
    run = done.err.partition("batches collect ")[2].partition("`")[0].replace("\n", " ")
    assert world.claudebatch("batches", "collect", run.split()[-1]).code == 0
    done = world.claudebatch(*other)
    assert (done.code, "W123" in done.err) == (0, False), done.err
    assert len(world.results("other.jsonl")) == 30
    assert simulator.stats()["batches"]["requests"] == 30


def test_rows_that_ask_for_something_else_or_share_nothing_are_no_matter_of_other_batches(
    world: World, batches: Any
) -> None:
    batches(ends_after=300)
    assert world.claudebatch(*BATCH, "--detach").code == 0
    for more in (("-m", "opus"), ("-m", "haiku", "--no-cache")):
        done = world.claudebatch(*RUN[:2], "-o", f"{more[1]}.jsonl", *more, "--batch", "--detach")
        assert (done.code, "W123" in done.err) == (0, False), done.err
