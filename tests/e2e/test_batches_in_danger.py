"""What could pay for rows of batches twice, or lose their answers: a folder that is
thrown away, batches that are mixed up, downloads that are cut.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest

from claudebatch.simulator import SimulatedBatches
from tests.e2e.moments import Moment
from tests.e2e.world import World, prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku")
BATCH = (*RUN, "--batch")


@pytest.fixture
def batches(world: World, serve: Any) -> Any:
    """Serves batches whose time flies, to runs that ask often."""

    def start(*, latency: str = "fixed:1", time: float = 1000.0, **settings: Any) -> Any:
        more = ", max_queued: 20" if settings.pop("one_by_one", False) else ""
        world.configure(f"batches: {{poll: 0.05s, max_requests: 20{more}}}\n")
        return serve(batches=SimulatedBatches(time=time, latency=latency), **settings)

    return start


def nothing_is_open(world: World, simulator: Any) -> None:
    """Every row was paid for once, and no money is left aside."""
    stats = simulator.stats()
    assert stats["batches"]["billed_again"] == 0
    assert world.settled() == stats["billed_pico"]
    assert world.ledger() == (stats["billed_pico"], 0)


def test_to_start_over_while_batches_are_with_the_api_is_refused(
    world: World, batches: Any
) -> None:
    simulator = batches(latency="fixed:1000")
    world.write("in.jsonl", prompts(30))
    assert world.claudebatch(*BATCH, "--detach").code == 0
    held = world.ledger()
    done = world.claudebatch(*BATCH, "--fresh", "--yes")
    assert done.code == 2, done.err
    assert "E790" in done.err
    assert "2 batches with 30 rows are with the API" in done.err
    assert world.ledger() == held
    # Nothing of it is lost: the same command collects.
    assert world.claudebatch(*BATCH).code == 0
    assert len(world.results()) == 30
    nothing_is_open(world, simulator)
    # Once they are collected, nobody minds.
    assert world.claudebatch(*BATCH, "--fresh", "--yes").code == 0


@pytest.mark.parametrize("more", [(), ("--forget",)])
def test_a_run_whose_batches_are_with_the_api_is_not_purged(
    world: World, batches: Any, more: tuple[str, ...]
) -> None:
    simulator = batches(latency="fixed:1000")
    world.write("in.jsonl", prompts(10))
    assert world.claudebatch(*BATCH, "--detach").code == 0
    held = world.ledger()
    done = world.claudebatch("runs", "purge", "out.jsonl", "--yes", *more)
    assert done.code != 0
    assert "E791" in done.err
    # To settle it decides nothing about them: they will tell themselves.
    world.claudebatch("runs", "settle", "out.jsonl", "--as", "free")
    assert world.ledger() == held
    assert world.claudebatch(*BATCH).code == 0
    nothing_is_open(world, simulator)
    assert world.claudebatch("runs", "purge", "out.jsonl", "--yes", *more).code == 0


def test_two_of_one_size_that_are_mixed_up_are_told_apart_by_their_results(
    world: World, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first create made nothing, the second did, and nobody told either: the batch
    that the list shows goes to the first intent, whose it is not.
    """
    monkeypatch.setattr("claudebatch.engine.batches.orphans.LAG_S", 0.5)
    simulator = batches(latency="fixed:3000", script=("batch_500", "batch_504"))
    world.write("in.jsonl", prompts(40))
    done = world.claudebatch(*BATCH)
    assert done.code == 0, done.err
    assert len(world.results()) == 40
    assert simulator.stats()["batches"]["made"] == 2
    nothing_is_open(world, simulator)


def test_a_stop_while_a_batch_is_built_sends_nothing(
    world: World, batches: Any, processes: World
) -> None:
    simulator = batches()
    world.write("in.jsonl", prompts(30))
    done = world.launch(
        *BATCH, "--budget", "5", moment=Moment((signal.SIGINT,), "upload_file.py:finish")
    ).wait()
    assert done.code == 130, done.err
    assert simulator.stats()["batches"]["made"] == 0
    assert world.ledger() == (0, 0)
    assert world.claudebatch(*BATCH).code == 0
    assert len(world.results()) == 30
    nothing_is_open(world, simulator)


def test_results_that_end_too_early_are_downloaded_again(world: World, batches: Any) -> None:
    simulator = batches(script=("batch_short", "batch_short"))
    world.write("in.jsonl", prompts(15))
    done = world.claudebatch(*BATCH)
    assert done.code == 0, done.err
    assert len(world.results()) == 15
    nothing_is_open(world, simulator)


def test_a_row_that_no_download_has_counts_as_maybe_billed(world: World, batches: Any) -> None:
    simulator = batches(script=("batch_short",) * 3)
    world.write("in.jsonl", prompts(1))
    done = world.claudebatch(*BATCH)
    assert done.code == 1, done.err
    assert "W081" in done.err
    (failed,) = world.results().values()
    assert failed["error"]["type"] == "batch_result_unknown"
    spent, unknown = world.ledger()
    assert (spent, unknown >= simulator.stats()["billed_pico"]) == (0, True)
