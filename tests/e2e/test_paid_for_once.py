"""Nothing is paid for twice: equal prompts share a request, answers are kept, and what
must not be kept is not.
"""

from __future__ import annotations

import json

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


def test_fifty_equal_prompts_are_one_request(world, api):
    world.write("in.jsonl", [{"id": n, "prompt": "the same"} for n in range(50)])
    done = world.claudebatch(*RUN)
    assert (done.code, api.requests) == (0, 1)
    results = world.results()
    assert len(results) == 50
    assert len({line["text"] for line in results.values()}) == 1
    assert sorted({line["source"] for line in results.values()}) in (
        ["api", "cache"],
        ["api", "duplicate"],
        ["api", "cache", "duplicate"],
    )
    assert sum(line["source"] == "api" for line in results.values()) == 1
    assert [line["cost_usd"] for line in results.values() if line["source"] != "api"] == ["0"] * 49
    assert "saved" in done.err


def test_a_failure_is_shared_too(world, api):
    world.write("in.jsonl", [{"id": n, "prompt": "[[simulate: error 400]]"} for n in range(20)])
    assert world.claudebatch(*RUN, "-j", "20").code == 1
    assert api.requests == 1
    assert len(world.results()) == 20


def test_without_the_cache_every_row_is_sent(world, api):
    world.write("in.jsonl", [{"id": n, "prompt": "the same"} for n in range(10)])
    assert world.claudebatch(*RUN, "--no-cache").code == 0
    assert api.requests == 10
    assert not (world.home / "cache").exists()
    assert world.claudebatch("run", "in.jsonl", "-o", "other.jsonl").code == 0
    assert api.requests == 11, "and nothing was kept"


def test_another_run_over_the_same_prompts_costs_nothing(world, api):
    world.write("in.jsonl", prompts(10))
    world.claudebatch(*RUN)
    done = world.claudebatch("run", "in.jsonl", "-o", "other.jsonl")
    assert (done.code, api.requests) == (0, 10)
    assert "10 cached" in done.err
    first, other = world.results(), world.results("other.jsonl")
    assert {line["source"] for line in other.values()} == {"cache"}
    for id_, line in other.items():
        assert (line["text"], line["message"]) == (first[id_]["text"], first[id_]["message"])
        assert (line["cost_usd"], line["attempts"]) == ("0", 0)
    assert world.settled("other.jsonl") == 0
    assert world.ledger()[0] == api.stats()["billed_pico"]


def test_a_run_that_refreshes_the_cache_asks_each_prompt_once_and_the_next_finds_its_answers(
    world, api
):
    world.write("in.jsonl", [*prompts(4), {"id": "again", "prompt": "the same"}])
    world.claudebatch(*RUN)
    before = api.requests
    twice = [*prompts(4), {"id": "again", "prompt": "the same"}, {"id": "b", "prompt": "the same"}]
    world.write("in.jsonl", twice)
    refresh = ("run", "in.jsonl", "-o", "new.jsonl", "--refresh-cache")
    told = world.claudebatch(*refresh, "--dry-run", "--json")
    assert sum(route["cached"] for route in json.loads(told.out)["routes"]) == 0
    # Stopped in its middle: what it has asked is not asked again.
    world.claudebatch(*refresh, "--limit", "2")
    assert world.claudebatch(*refresh).code == 0
    assert api.requests == before + 5
    assert world.claudebatch("run", "in.jsonl", "-o", "last.jsonl").code == 0
    assert api.requests == before + 5
    new, last = world.results("new.jsonl"), world.results("last.jsonl")
    assert {id_: line["message"]["id"] for id_, line in new.items()} == {
        id_: line["message"]["id"] for id_, line in last.items()
    }


@pytest.mark.parametrize(
    "more",
    [
        ["-m", "claude-haiku-5-5"],
        ["-s", "Be brief."],
        ["--max-tokens", "1000"],
    ],
    ids=lambda more: more[0],
)
def test_what_changes_the_answer_misses_the_cache(world, api, more):
    world.write("in.jsonl", prompts(2))
    world.claudebatch(*RUN)
    assert world.claudebatch("run", "in.jsonl", "-o", "other.jsonl", *more).code == 0
    assert api.requests == 4


@pytest.mark.parametrize("ending", ["max_tokens", "refusal"])
def test_cut_offs_and_refusals_are_results_and_are_not_kept(world, api, ending):
    world.write("in.jsonl", [{"id": "a", "prompt": f"[[simulate: {ending}]]"}])
    assert world.claudebatch(*RUN).code == 0
    line = world.results()["a"]
    assert (line["status"], line["stop_reason"]) == ("succeeded", ending)
    assert world.claudebatch("run", "in.jsonl", "-o", "other.jsonl").code == 0
    assert api.requests == 2


def test_cut_offs_and_refusals_are_kept_where_the_configuration_says_so(world, api):
    world.configure("cache: {keep_max_tokens: true, keep_refusals: true}\n")
    world.write("in.jsonl", ["[[simulate: max_tokens]]", "[[simulate: refusal]]"])
    world.claudebatch(*RUN)
    world.claudebatch("run", "in.jsonl", "-o", "other.jsonl")
    assert api.requests == 2


def test_an_emptied_cache_is_paid_for_again(world, api):
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN)
    cleared = world.claudebatch("cache", "clear", "--yes")
    assert "3 cached answers deleted" in cleared.err
    world.claudebatch("run", "in.jsonl", "-o", "other.jsonl")
    assert api.requests == 6


def test_a_damaged_cache_costs_the_saving_and_not_the_run(world, api):
    world.write("in.jsonl", prompts(3))
    world.claudebatch(*RUN)
    (world.home / "cache" / "responses" / "cache.db").write_bytes(b"\x00garbage" * 1000)
    done = world.claudebatch("run", "in.jsonl", "-o", "other.jsonl")
    assert (done.code, api.requests) == (0, 6)
    assert "was damaged; it was moved to" in done.err
