"""Rows that are in a batch while the settings of their run change: the answers are
those of what was asked, and are filed as such.
"""

from __future__ import annotations

from typing import Any

import pytest

from claudebatch.simulator import SimulatedBatches
from tests.e2e.world import World, prompts

HAIKU, OPUS = "claude-haiku-5-5", "claude-opus-5-5"
RUN = ("run", "in.jsonl", "-o", "out.jsonl", "--batch")


@pytest.fixture
def batches(world: World, serve: Any) -> Any:
    """Serves batches that end while the next session asks for them."""

    def start(**settings: Any) -> Any:
        world.configure("batches: {poll: 0.05s}\n")
        return serve(batches=SimulatedBatches(time=1000.0, latency="fixed:300"), **settings)

    return start


def sources(world: World, model: str) -> list[str]:
    """Where the answers of the same rows come from in a run of *model*."""
    done = world.claudebatch("run", "in.jsonl", "-o", f"{model}.jsonl", "-m", model)
    assert done.code == 0, done.err
    return sorted(line["source"] for line in world.results(f"{model}.jsonl").values())


def test_an_answer_of_a_batch_is_kept_for_what_was_asked_not_for_what_would_be_now(
    world: World, batches: Any
) -> None:
    simulator = batches()
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN, "-m", "haiku", "--detach").code == 0
    done = world.claudebatch(*RUN, "-m", "opus")
    assert done.code == 0, done.err
    assert "3 rows were asked with a different model (" in done.err
    assert {line["model"] for line in world.results().values()} == {HAIKU}
    assert world.settled() == simulator.stats()["billed_pico"]
    assert sources(world, "opus") == ["api"] * 3, "it was never asked"
    assert sources(world, "haiku") == ["cache"] * 3
    # As with all answers, they can be asked for again.
    assert world.claudebatch(*RUN, "-m", "opus", "--redo", "changed").code == 0
    assert {line["model"] for line in world.results().values()} == {OPUS}


def test_rows_that_come_back_without_an_answer_are_asked_and_kept_as_now(
    world: World, batches: Any
) -> None:
    simulator = batches(script=("batch_expired",))
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN, "-m", "haiku", "--detach").code == 0
    done = world.claudebatch(*RUN, "-m", "opus", "-j", "1")
    assert done.code == 0, done.err
    models = [line["model"] for line in world.results().values()]
    assert sorted(models) == [HAIKU, HAIKU, OPUS]
    assert world.settled() == simulator.stats()["billed_pico"]
    assert sources(world, "opus") == ["api", "api", "cache"]
    assert sources(world, "haiku") == ["api", "cache", "cache"]


def test_equal_rows_that_wait_for_an_answer_of_other_settings_are_asked_themselves(
    world: World, batches: Any
) -> None:
    simulator = batches()
    world.write("in.jsonl", [{"id": f"row-{n}", "prompt": "the same"} for n in range(3)])
    assert world.claudebatch(*RUN, "-m", "haiku", "--detach").code == 0
    done = world.claudebatch(*RUN, "-m", "opus")
    assert done.code == 0, done.err
    models = sorted(line["model"] for line in world.results().values())
    assert models == [HAIKU, OPUS, OPUS]
    assert world.query("SELECT count(*) FROM attempts") == [(2,)]
    assert world.settled() == simulator.stats()["billed_pico"]
