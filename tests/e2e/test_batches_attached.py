"""A batch that another tool, or another machine, has made becomes a run of this one."""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.request import Request, urlopen

import pytest

from claudebatch.simulator import SimulatedBatches
from tests.e2e.world import World, prompts

MODEL = "claude-haiku-5-5"
OUT = ("-o", "out.jsonl", "-m", "haiku")


@pytest.fixture
def batches(world: World, serve: Any) -> Any:
    """Serves batches that last for so many of their seconds."""
    world.configure("batches: {poll: 0.05s, max_requests: 20}\n")

    def start(*, ends_after: int = 10, **settings: Any) -> Any:
        return serve(
            batches=SimulatedBatches(time=1000.0, latency=f"fixed:{ends_after}"), **settings
        )

    return start


def made_elsewhere(simulator: Any, *names: str) -> str:
    """The id of a batch with requests of these names, made by another tool."""
    requests = [
        {
            "custom_id": name,
            "params": {
                "model": MODEL,
                "max_tokens": 100,
                "messages": [{"role": "user", "content": f"about {name}"}],
            },
        }
        for name in names
    ]
    headers = {
        "authorization": "Bearer key",
        "anthropic-version": "2026-10-21",
        "content-type": "application/json",
    }
    create = Request(
        f"{simulator.url}/v1/messages/batches",
        data=json.dumps({"requests": requests}).encode(),
        headers=headers,
        method="POST",
    )
    with urlopen(create) as answer:
        made: str = json.load(answer)["id"]
    time.sleep(0.05)
    return made


def test_its_answers_and_its_cost_are_the_runs_and_the_rest_is_sent_again(
    world: World, batches: Any
) -> None:
    simulator = batches(script=("batch_overloaded", "batch_invalid"))
    name = made_elsewhere(simulator, *(f"row-{n}" for n in range(10)), "stranger")
    world.write("in.jsonl", prompts(12))
    done = world.claudebatch("batches", "attach", name, "in.jsonl", *OUT)
    assert done.code == 1, done.err
    assert "W122" in done.err
    assert "1 request is named like no row" in done.err
    results = world.results()
    # One failed for its own fault, one is to be sent again, two are of no batch.
    assert len(results) == 9
    assert [line["status"] for line in results.values()].count("failed") == 1
    answered = [line for line in results.values() if line["status"] == "succeeded"]
    assert {(line["via"], line["route"], line["model"]) for line in answered} == {
        ("batch", "attached", MODEL)
    }
    assert simulator.requests == 0
    # The stranger's answer is nobody's here.
    spent = sum(round(float(line["cost_usd"]) * 10**12) for line in answered)
    assert world.ledger() == (spent, 0) == (world.settled(), 0)
    assert "next      claudebatch run in.jsonl -o out.jsonl -m haiku\n" in done.err
    done = world.claudebatch("run", "in.jsonl", *OUT)
    assert done.code == 1, done.err
    assert len(world.results()) == 12
    assert simulator.requests == 3
    listed = json.loads(world.claudebatch("batches", "list", "--json").out)["batches"]
    assert [(line["id"], line["state"]) for line in listed] == [(name, "collected")]


def test_what_claudebatch_made_on_another_machine_is_found_by_its_lines(
    world: World, batches: Any
) -> None:
    batches()
    world.write("in.jsonl", prompts(15))
    command = ("run", "in.jsonl", "-o", "first.jsonl", "-m", "haiku", "--batch", "--detach")
    assert world.claudebatch(*command).code == 0
    (name,) = world.query("SELECT id FROM batches", output="first.jsonl")[0]
    # As if it had never been known here.
    (world.home / "state" / "spend.sqlite").unlink()
    rows = [{**row, "id": f"other-{n}"} for n, row in enumerate(prompts(15))]
    world.write("in.jsonl", prompts(15))
    time.sleep(0.05)
    done = world.claudebatch("batches", "attach", name, "in.jsonl", *OUT)
    assert done.code == 0, done.err
    assert {line["via"] for line in world.results().values()} == {"batch"}
    assert len(world.results()) == len(rows)
    # Nobody knows what was asked there: another run does not get these answers.
    more = world.claudebatch("run", "in.jsonl", "-o", "more.jsonl", "-m", "haiku", "-q")
    assert more.code == 0
    assert {line["source"] for line in world.results("more.jsonl").values()} == {"api"}


def test_what_cannot_be_attached_is_said(world: World, batches: Any) -> None:
    simulator = batches(ends_after=100_000)
    world.write("in.jsonl", prompts(3))

    def said(name: str, out: str = "out.jsonl") -> tuple[int, str]:
        done = world.claudebatch("batches", "attach", name, "in.jsonl", "-o", out, "-m", "haiku")
        return done.code, re.findall(r"\[(E\d+)\]", done.err)[-1]

    running = made_elsewhere(simulator, "row-0")
    assert said(running) == (2, "E853")
    assert said("msgbatch_unknown") == (2, "E852")
    command = ("run", "in.jsonl", "-o", "own.jsonl", "-m", "haiku", "--batch", "--detach")
    assert world.claudebatch(*command).code == 0
    (own,) = world.query("SELECT id FROM batches", output="own.jsonl")[0]
    assert said(own) == (2, "E851")
    simulator = batches()
    assert said(made_elsewhere(simulator, "x", "y")) == (2, "E854")
    simulator.set_faults({"batch_500": 1.0})
    assert said("msgbatch_x", "new.jsonl") == (5, "E855")
    assert world.ledger()[0] == 0
    assert simulator.requests == 0


def test_a_crash_while_it_is_attached_is_undone(world: World, batches: Any) -> None:
    simulator = batches(script=("batch_cut",))
    name = made_elsewhere(simulator, *(f"row-{n}" for n in range(10)))
    world.write("in.jsonl", prompts(10))
    attach = ("batches", "attach", name, "in.jsonl", *OUT)
    done = world.claudebatch(*attach)
    assert (done.code, "E855" in done.err) == (5, True), done.err
    done = world.claudebatch(*attach)
    assert done.code == 0, done.err
    assert len(world.results()) == 10
    assert world.ledger() == (simulator.stats()["billed_pico"], 0)
