"""A simulator behind ANTHROPIC_BASE_URL says what it is, and nothing of it is taken for
an answer of the API.
"""

from __future__ import annotations

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


def test_answers_of_a_simulator_are_marked_and_cost_nothing(world, serve):
    serve(marked=True)
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch(*RUN)
    assert done.code == 0
    assert "simulator" in done.err
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
