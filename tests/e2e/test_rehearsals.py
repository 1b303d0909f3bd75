"""`--simulate`: everything as in earnest, nothing that could be taken for it
afterwards.
"""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from claudebatch.core.domain import to_usd
from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
MIXED = [
    *prompts(4),
    {"id": "bad", "prompt": "[[simulate: error 400]]"},
    {"id": "twin", "prompt": "row-0"},
]


@pytest.fixture
def rehearsal(world):
    """A world without a key, whose rehearsals take no time."""
    world.configure("simulate: {latency: 'fixed:0'}\n")
    return world


def test_every_line_and_the_screen_say_that_it_is_simulated(rehearsal):
    world = rehearsal
    world.write("in.jsonl", MIXED)
    done = world.claudebatch(*RUN, "--simulate")
    assert done.code == 1
    results = world.results()
    assert len(results) == 6
    assert {line["simulated"] for line in results.values()} == {True}
    assert {line["status"] for line in results.values()} == {"succeeded", "failed"}
    found, first, *_ = done.err.splitlines()
    assert found.startswith("note[N001]: settings of claudebatch.yaml in this folder: limits")
    assert first.startswith(("SIMULATED", "failed:"))
    assert "nothing was sent, nothing was paid" in done.err
    assert world.claudebatch(*RUN, "--simulate", "-q").err.startswith("SIMULATED: ")
    events = [
        json.loads(line)
        for line in world.claudebatch(*RUN, "--simulate", "--json", "--fresh").out.splitlines()
    ]
    assert events[-1]["simulated"] is True


def test_the_real_cache_and_ledger_are_not_touched(rehearsal):
    world = rehearsal
    world.write("in.jsonl", MIXED)
    for _ in range(2):
        world.claudebatch(*RUN, "--simulate")
    world.claudebatch("run", "in.jsonl", "-o", "other.jsonl", "--simulate")
    state, cache = world.home / "state", world.home / "cache"
    assert [path.name for path in state.iterdir()] == ["simulated"]
    assert [path.name for path in cache.iterdir()] == ["simulated"]
    assert "Nothing was spent yet" in world.claudebatch("spend").out


def test_a_rehearsal_needs_no_key_and_uses_none(rehearsal, serve):
    world = rehearsal
    api = serve()
    world.write("in.jsonl", prompts(2))
    assert world.claudebatch(*RUN, "--simulate").code == 0
    del world.environment["ANTHROPIC_API_KEY"]
    assert world.claudebatch(*RUN, "--simulate", "--fresh").code == 0
    assert api.requests == 0, "nothing goes to the configured address"


def test_a_real_run_replaces_a_rehearsal_and_says_so(rehearsal, api):
    world = rehearsal
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN, "--simulate")
    done = world.claudebatch(*RUN)
    assert (done.code, api.requests) == (0, 3)
    assert "the simulated results of the rehearsal are being replaced" in done.err
    assert not any("simulated" in line for line in world.results().values())
    assert world.ledger()[0] == api.stats()["billed_pico"]


def test_a_rehearsal_never_replaces_real_answers(rehearsal, api):
    world = rehearsal
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN)
    before = world.path("out.jsonl").read_bytes()
    done = world.claudebatch(*RUN, "--simulate")
    assert done.code == 2
    assert "out.jsonl contains real answers" in done.err
    assert "write the rehearsal to another file with -o" in done.err
    assert world.path("out.jsonl").read_bytes() == before
    assert world.claudebatch("run", "in.jsonl", "-o", "rehearsal.jsonl", "--simulate").code == 0


def test_a_fresh_rehearsal_over_real_answers_loses_nothing_that_was_paid_for(rehearsal, api):
    world = rehearsal
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN)
    before = world.path("out.jsonl").read_bytes()
    done = world.claudebatch(*RUN, "--simulate", "--fresh")
    if done.code == 0:
        assert world.path("out.jsonl.previous").read_bytes() == before
    else:
        assert world.path("out.jsonl").read_bytes() == before


def test_a_real_run_at_a_simulated_address_enters_neither_cache_nor_ledger(world, serve):
    """`claudebatch simulate` in another terminal: its answers carry a mark, and no
    session counts them.
    """
    api = serve(marked=True)
    world.write("in.jsonl", prompts(4))
    world.claudebatch(*RUN, "-n", "2")
    assert {line["simulated"] for line in world.results().values()} == {True}
    assert world.ledger() == (0, 0)
    world.claudebatch(*RUN)
    assert world.ledger() == (0, 0), "a later session does not count them either"
    world.claudebatch("run", "in.jsonl", "-o", "other.jsonl")
    assert api.requests == 8, "simulated answers are not kept"


def test_faults_and_limits_of_a_rehearsal_come_from_the_configuration(rehearsal):
    world = rehearsal
    world.path("claudebatch.yaml").write_text(
        "retry: {base_s: 0.005, cap_s: 0.05}\n"
        "simulate: {latency: 'fixed:0', seed: 3, faults: {'529': 0.2}, requests_per_minute: "
        "60000}\n"
        "limits: {tier: none}\n"
    )
    world.write("in.jsonl", prompts(40))
    done = world.claudebatch(*RUN, "--simulate")
    assert done.code == 0
    assert " 0 retries" not in done.err


def test_a_dry_run_sends_nothing_writes_nothing_and_needs_no_key(rehearsal, api):
    world = rehearsal
    world.write("in.jsonl", MIXED)
    before = world.files()
    del world.environment["ANTHROPIC_API_KEY"]
    done = world.claudebatch(*RUN, "--dry-run")
    assert (done.code, api.requests) == (0, 0)
    assert "6 rows, 1 duplicate" in done.out
    assert world.files() == before
    told = json.loads(world.claudebatch(*RUN, "--dry-run", "--json").out)
    assert told["rows"] == 6


def test_the_worst_estimate_is_an_upper_bound_and_counts_what_is_finished_and_cached(world, serve):
    world.configure("cache: {keep_max_tokens: true}\n")
    api = serve(use_all_max_tokens=True)
    world.write("in.jsonl", prompts(8, max_tokens=300))
    worst = json.loads(world.claudebatch(*RUN, "--dry-run", "--json").out)["worst_usd"]
    world.claudebatch(*RUN, "-n", "3")
    told = json.loads(world.claudebatch(*RUN, "--dry-run", "--json").out)
    assert (told["rows"], told["finished"]) == (8, 3)
    elsewhere = json.loads(
        world.claudebatch("run", "in.jsonl", "-o", "x.jsonl", "--dry-run", "--json").out
    )
    assert sum(route["cached"] for route in elsewhere["routes"]) == 3
    world.claudebatch(*RUN)
    assert 0 < to_usd(api.stats()["billed_pico"]) <= Decimal(worst)


def test_the_rehearsal_shares_equal_rows_as_the_estimate_says(rehearsal):
    world = rehearsal
    rows = [*prompts(6), {"id": "twin", "prompt": "row-0"}, {"id": "third", "prompt": "row-0"}]
    world.write("in.jsonl", rows)
    told = json.loads(world.claudebatch("estimate", "in.jsonl", "--json").out)
    assert (told["rows"], told["duplicates"]) == (8, 2)
    # One request at a time: the twins are never in flight together.
    run = (*RUN, "--simulate", "--json", "--fresh", "-j", "1")
    for _ in range(2):
        done = world.claudebatch(*run)
        end = json.loads(done.out.splitlines()[-1])
        assert end["requests"] == end["answered_now"] == 6, "rehearsals share nothing"
        assert end["cached_now"] + end["shared_now"] == 2
        assert "--no-cache asks" not in done.out
        assert Decimal(end["saved_usd"]) > 0
        assert {line["simulated"] for line in world.results().values()} == {True}
        assert not list((world.home / "cache" / "simulated").glob("*/*"))
    end = json.loads(world.claudebatch(*run, "--no-cache").out.splitlines()[-1])
    assert end["requests"] == end["answered_now"] == 8
