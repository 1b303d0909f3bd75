"""`ok` means whole: refused, cut off and empty answers are counted and can be asked
again.
"""

from __future__ import annotations

import json

import pytest

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
ROWS = {
    "whole": {"prompt": "hello"},
    "refused": {"prompt": "[[simulate: refusal]]"},
    "cut": {"prompt": "[[simulate: tokens 900]]", "max_tokens": 50},
    "empty": {"prompt": "[[simulate: empty]]"},
}


def write(world, *names: str) -> None:
    world.write("in.jsonl", [{"id": name, **ROWS[name]} for name in names])


def endings(world) -> dict[str, str]:
    return {name: row["ending"] for name, row in world.results().items()}


def test_each_answer_says_how_it_ended_and_the_summary_counts_them(world, api):
    write(world, *ROWS)
    done = world.claudebatch(*RUN, "--json")
    assert done.code == 0
    assert endings(world) == {
        "whole": "complete",
        "refused": "refused",
        "cut": "cut_off",
        "empty": "empty",
    }
    (end,) = (json.loads(line) for line in done.out.splitlines() if '"event":"done"' in line)
    assert end["endings"] == {"complete": 1, "cut_off": 1, "refused": 1, "empty": 1}
    again = world.claudebatch(*RUN)
    assert "4 of 4 answered: 1 complete · 1 cut off · 1 refused · 1 empty" in again.err, (
        "resumed, too"
    )
    assert "1 complete" in world.claudebatch(*RUN, "-q").err


def test_where_all_are_whole_it_says_ok(world, api):
    write(world, "whole")
    assert "1 of 1 done: 1 ok" in world.claudebatch(*RUN).err


def test_strict_endings_end_with_1(world, api):
    write(world, "whole", "refused")
    assert world.claudebatch(*RUN, "--strict-endings").code == 1
    assert world.claudebatch(*RUN, "--strict-endings").code == 1, "also when all is done"
    assert world.claudebatch(*RUN).code == 0
    write(world, "whole")
    assert world.claudebatch(*RUN, "--strict-endings", "--yes").code == 0


@pytest.mark.parametrize("cache", [(), ("--no-cache",)])
def test_cut_off_answers_alone_are_asked_again_with_more_room(world, api, cache):
    world.write(
        "in.jsonl",
        [{"id": "cut", "prompt": "[[simulate: tokens 900]]"}, {"id": "whole", "prompt": "hello"}],
    )
    assert world.claudebatch(*RUN, *cache, "--max-tokens", "300").code == 0
    assert endings(world) == {"cut": "cut_off", "whole": "complete"}
    again = world.claudebatch(*RUN, *cache, "--max-tokens", "2000", "--retry-cut")
    assert (again.code, api.requests) == (0, 3), again.err
    assert endings(world) == {"cut": "complete", "whole": "complete"}
    assert len(world.path("out.jsonl").read_text().splitlines()) == 2
    for _ in range(2):
        assert world.claudebatch(*RUN, *cache, "--max-tokens", "2000", "--retry-cut").code in (0, 2)
    assert api.requests == 3


def test_an_answer_that_is_cut_off_again_is_asked_once_a_session(world, api):
    write(world, "cut")
    assert world.claudebatch(*RUN).code == 0
    assert world.claudebatch(*RUN, "--retry-cut").code == 0
    assert (api.requests, endings(world)) == (2, {"cut": "cut_off"})
    assert world.claudebatch(*RUN).code == 0
    assert api.requests == 2


def test_a_failure_is_told_with_the_apis_words_and_next_is_no_circle(world, api):
    world.write("in.jsonl", [{"id": "a", "prompt": "[[simulate: error 400]]"}])
    done = world.claudebatch(*RUN)
    error = world.results()["a"]["error"]
    assert done.code == 1 and error["retryable"] is False
    assert f"1 {error['type']}: {error['message']}" in " ".join(done.err.split())
    assert f"failed: a: {error['type']}: {error['message']}" in " ".join(done.err.split())
    assert "--retry-failed" not in done.err and "next      jq -c" in done.err


def test_after_success_next_shows_the_answers(world, api):
    write(world, "whole")
    assert "next      jq -r .text out.jsonl" in world.claudebatch(*RUN).err
