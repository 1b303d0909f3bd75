"""Several answers to one row: independent, each with its own id and cache entry."""

from __future__ import annotations

import json

import pytest

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku", "-q")


def costs(world) -> dict[str, str]:
    return {name: row["cost_usd"] for name, row in world.results().items()}


def test_each_answer_is_a_row_with_an_id_of_its_own(world, api):
    world.write("in.jsonl", [{"id": "a", "prompt": "x"}, {"id": 7, "prompt": "y"}])
    assert world.claudebatch(*RUN, "--repeat", "3").code == 0
    assert set(world.results()) == {"a", "a#2", "a#3", 7, "7#2", "7#3"}
    assert (api.requests, api.asked()) == (6, {"x": 3, "y": 3})
    assert {row["source"] for row in world.results().values()} == {"api"}
    assert [row["line"] for row in world.results().values()].count(1) == 3


def test_more_answers_ask_for_the_new_ones_only(world, api):
    world.write("in.jsonl", [{"id": "a", "prompt": "x"}, {"prompt": "y"}])
    assert world.claudebatch(*RUN).code == 0
    before = costs(world)
    done = world.claudebatch(*RUN, "--repeat", "2")
    assert (done.code, api.requests) == (0, 4), done.err
    assert before.items() <= costs(world).items()
    assert world.claudebatch(*RUN, "--repeat", "3").code == 0
    assert api.requests == 6
    # Another run finds all of them, each as its own.
    again = world.claudebatch("run", "in.jsonl", "-o", "x.jsonl", "-m", "haiku", "--repeat", "3")
    assert (again.code, api.requests) == (0, 6), again.err
    texts = {name: row["message"]["id"] for name, row in world.results("x.jsonl").items()}
    assert texts == {name: row["message"]["id"] for name, row in world.results().items()}
    assert len(set(texts.values())) == 6


def test_equal_lines_share_their_answers_one_by_one(world, api):
    world.write("in.jsonl", [{"prompt": "x"}, {"prompt": "x"}])
    assert world.claudebatch(*RUN, "--repeat", "2").code == 0
    assert (len(world.results()), api.requests) == (4, 2)
    sources = sorted(row["source"] for row in world.results().values())
    assert sources == ["api", "api", "duplicate", "duplicate"]
    # Read again, each is the same row.
    assert world.claudebatch(*RUN, "--repeat", "2", "--redo", "changed").code in (0, 2)
    assert api.requests == 2


def test_a_line_says_how_many_it_wants(world, api):
    rows = [
        {"id": "a", "prompt": "x", "repeat": 2},
        {"id": "b", "prompt": "y"},
        {"id": "c", "prompt": "z", "repeat": "daily"},
    ]
    world.write("in.jsonl", rows)
    assert world.claudebatch(*RUN).code == 0
    assert set(world.results()) == {"a", "a#2", "b", "c"}
    assert world.results()["c"]["input"] == {"repeat": "daily"}


@pytest.mark.parametrize("answers", [0, -1, 1001])
def test_a_number_that_cannot_be_meant_is_refused(world, api, answers):
    world.write("in.jsonl", [{"prompt": "x", "repeat": answers}])
    done = world.claudebatch(*RUN)
    assert (done.code, api.requests) == (2, 0)
    assert f'E382 "repeat" is {answers}' in done.err


def test_an_id_that_a_row_has_already_is_no_id_of_another_answer(world, api):
    world.write("in.jsonl", [{"id": "a", "prompt": "x"}, {"id": "a#2", "prompt": "y"}])
    done = world.claudebatch(*RUN, "--repeat", "2")
    assert (done.code, api.requests) == (2, 0)
    assert 'E347 duplicate id "a#2" (first used at in.jsonl:1)' in done.err


def test_the_estimate_the_limit_and_the_cap_count_answers(world, api):
    world.write("in.jsonl", [{"id": n, "prompt": f"x{n}"} for n in "abc"])

    def estimate(*more: str) -> dict[str, object]:
        done = world.claudebatch("estimate", "in.jsonl", "-m", "haiku", "--json", *more)
        found: dict[str, object] = json.loads(done.out)
        return found

    once, thrice = estimate(), estimate("--repeat", "3")
    assert (once["rows"], thrice["rows"], thrice["duplicates"]) == (3, 9, 0)
    assert float(str(thrice["worst_usd"])) == pytest.approx(3 * float(str(once["worst_usd"])))
    assert world.claudebatch(*RUN, "--repeat", "3", "-n", "4").code == 0
    assert set(world.results()) == {"a", "a#2", "a#3", "b"}
    assert world.claudebatch(*RUN, "--repeat", "3").code == 0
    assert (len(world.results()), api.requests) == (9, 9)


def test_fewer_answers_take_the_others_out_of_the_results(world, api):
    world.write("in.jsonl", [{"id": "a", "prompt": "x"}])
    assert world.claudebatch(*RUN, "--repeat", "3").code == 0
    assert world.claudebatch(*RUN, "--yes").code == 0
    assert set(world.results()) == {"a"}
    assert world.claudebatch(*RUN, "--repeat", "3").code == 0
    assert (set(world.results()), api.requests) == ({"a", "a#2", "a#3"}, 3)


def test_a_failed_answer_is_asked_again_alone(world, serve):
    api = serve(script=("ok", "402"))
    world.write("in.jsonl", [{"id": "a", "prompt": "x"}])
    world.claudebatch(*RUN, "--repeat", "3", "-j", "1")
    served = len(world.results())
    assert world.claudebatch(*RUN, "--repeat", "3", "--retry-failed").code == 0
    assert set(world.results()) == {"a", "a#2", "a#3"}
    assert api.requests == 1 + 1 + 3 - served
