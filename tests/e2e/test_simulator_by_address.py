"""A simulator behind ANTHROPIC_BASE_URL says what it is, and nothing of it is taken for
an answer of the API.
"""

from __future__ import annotations

import json

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


def test_answers_of_a_simulator_are_marked_and_cost_nothing(world, serve):
    serve(marked=True)
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch(*RUN)
    assert done.code == 0
    assert "warning[W042]: the API at this base URL is a simulator" in done.err
    assert "SIMULATED" in done.err
    assert {line["simulated"] for line in world.results().values()} == {True}
    assert world.ledger() == (0, 0)


def test_the_same_simulator_goes_on_where_it_stopped(world, serve):
    simulator = serve(marked=True)
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN)
    world.claudebatch(*RUN)
    assert simulator.requests == 3


def test_a_run_against_the_real_api_does_not_keep_them(world, serve):
    serve(marked=True)
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN)
    real = serve()
    done = world.claudebatch(*RUN)
    assert "replaced" in done.err
    assert real.requests == 3
    assert "SIMULATED" not in done.err


def test_another_address_does_not_share_the_cache(world, serve):
    serve()
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN)
    other = serve()
    world.claudebatch("run", "in.jsonl", "-o", "again.jsonl")
    assert other.requests == 3


def test_failures_of_a_simulator_are_in_no_real_ledger(world, serve):
    serve(marked=True, script=("ok", "529", "cut"))
    rows = [*prompts(3), {"id": "bad", "prompt": "[[simulate: error 404]]"}]
    world.write("in.jsonl", rows)
    done = world.claudebatch(*RUN, "-j", "1")
    assert done.code == 1
    states = dict(world.query("SELECT state, count(*) FROM attempts GROUP BY state"))
    assert states == {1: 3, 2: 2, 3: 1}, "three answers, a 529 and a 404, one that was cut"
    assert json.loads(world.claudebatch("spend", "--json").out)["lines"] == []
    assert world.ledger() == (0, 0)
    # Neither after the ledger was made anew from the journal.
    (world.home / "state" / "spend.sqlite").unlink()
    world.claudebatch(*RUN, "--retry-failed")
    assert json.loads(world.claudebatch("spend", "--json").out)["lines"] == []
    assert world.ledger() == (0, 0)


def test_the_same_failures_of_an_api_are_in_the_ledger(world, serve):
    serve(script=("ok", "529", "cut"))
    world.write("in.jsonl", [*prompts(3), {"id": "bad", "prompt": "[[simulate: error 404]]"}])
    assert world.claudebatch(*RUN, "-j", "1").code == 1
    spent, unknown = world.ledger()
    assert spent > 0
    assert unknown > 0
