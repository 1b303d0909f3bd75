"""Answers to another request are never taken in silence for those of this one."""

from __future__ import annotations

import json

import pytest

from tests.e2e.world import prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
CHANGES = {
    "model": (("-m", OPUS), "model (claude-sonnet-5-5, now claude-opus-5-5)"),
    "system": (("-s", "Answer in French."), "system prompt"),
    "max_tokens": (("--max-tokens", "50"), "max_tokens (8192, now 50)"),
    "rules": (("-c", "rules.yaml"), "rules"),
}


@pytest.fixture
def answered(world, api):
    world.write("in.jsonl", [{"id": f"row-{n}", "prompt": f"question {n}"} for n in range(3)])
    rule = {"name": "all", "when": {"prompt_matches": "question"}, "model": HAIKU}
    world.path("rules.yaml").write_text(json.dumps({"routes": [rule]}))
    assert world.claudebatch(*RUN).code == 0
    return world


@pytest.mark.parametrize("change", CHANGES)
def test_a_command_that_would_do_nothing_says_what_differs_and_both_ways_out(answered, api, change):
    options, told = CHANGES[change]
    before = answered.path("out.jsonl").read_bytes()
    for _ in range(2):
        done = answered.claudebatch(*RUN, *options)
        assert done.code == 2
        assert f"all 3 rows were answered with a different {told}; nothing was sent" in done.err
        assert "-o FILE" in done.err and "--redo changed" in done.err
    assert (answered.path("out.jsonl").read_bytes(), api.requests) == (before, 3)
    assert answered.claudebatch(*RUN).code == 0, "the first command goes on as before"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("cache", [(), ("--no-cache",)])
def test_rows_are_asked_again_on_request_and_only_once(answered, api, change, cache):
    options, _ = CHANGES[change]
    assert answered.claudebatch(*RUN, *options, *cache, "--redo", "changed").code == 0
    assert api.requests == 6 and len(answered.results()) == 3
    for _ in range(2):
        assert answered.claudebatch(*RUN, *options, *cache, "--redo", "changed").code == 0
        assert answered.claudebatch(*RUN, *options, *cache).code == 0
    assert api.requests == 6


def test_where_other_rows_are_left_to_be_done_it_is_a_notice_in_every_session(answered, api):
    answered.write("in.jsonl", [{"id": f"row-{n}", "prompt": f"question {n}"} for n in range(4)])
    for _ in range(2):
        done = answered.claudebatch(*RUN, "-m", OPUS)
        assert done.code == 0
        assert "3 rows were answered with a different model" in done.err
    models = [row["model"] for row in answered.results().values()]
    assert sorted(models) == [OPUS] + ["claude-sonnet-5-5"] * 3 and api.requests == 4


def test_an_estimate_says_so_and_prices_what_would_be_asked_again(answered):
    told = answered.claudebatch("estimate", "in.jsonl", "-o", "out.jsonl", "-m", OPUS)
    assert "3 already done (3 of them with other settings)" in told.out
    assert "--redo changed" in told.err
    redo = answered.claudebatch(
        "estimate", "in.jsonl", "-o", "out.jsonl", "-m", OPUS, "--redo", "changed"
    )
    assert "already done" not in redo.out


def test_rows_that_failed_are_asked_with_the_new_settings_and_no_word(world, api):
    world.write("in.jsonl", [{"id": "bad", "prompt": "[[simulate: error 400]]"}])
    assert world.claudebatch(*RUN).code == 1
    done = world.claudebatch(*RUN, "-m", OPUS, "--retry-failed")
    assert "different" not in done.err and api.requests == 2


def test_another_key_or_order_of_lines_is_no_other_request(answered, api):
    rows = [{"id": f"row-{n}", "prompt": f"question {n}"} for n in (2, 0, 1)]
    answered.write("in.jsonl", rows)
    done = answered.claudebatch(*RUN, "--budget", "5")
    assert (done.code, api.requests) == (0, 3), done.err


def test_an_edited_line_is_another_row_whatever_else_changes(answered):
    answered.write("in.jsonl", prompts(1))
    assert answered.claudebatch(*RUN, "-m", OPUS, "--yes").code == 0


def test_several_inputs_need_a_name_for_their_results(world, api):
    for name in ("a", "b"):
        world.write(f"{name}.jsonl", [{"id": name, "prompt": name}])
    done = world.claudebatch("run", "a.jsonl", "b.jsonl")
    assert done.code == 2 and "2 inputs need a name for their results" in done.err
    assert "-o FILE; earlier versions wrote to a.results.jsonl" in done.err
    assert api.requests == 0 and not list(world.work.glob("*.results.jsonl*"))
    assert world.claudebatch("run", "a.jsonl", "b.jsonl", "-o", "out.jsonl").code == 0


def test_paid_answers_leave_a_results_file_only_with_a_yes(answered, api):
    before = answered.path("out.jsonl").read_bytes()
    answered.write("in.jsonl", [{"id": "row-0", "prompt": "question 0"}, {"prompt": "new"}])
    for _ in range(2):
        done = answered.claudebatch(*RUN)
        assert done.code == 2 and "2 answered rows would be removed from out.jsonl" in done.err
        assert "--yes" in done.err and "-o FILE" in done.err
    assert "error[E025]" in done.err
    asked = answered.claudebatch(*RUN, terminal=True, stdin=b"n\n")
    assert asked.code == 2 and "error[E026]: not started" in asked.err
    assert (answered.path("out.jsonl").read_bytes(), api.requests) == (before, 3)
    assert answered.claudebatch(*RUN, "--yes").code == 0
    assert len(answered.results()) == 2 and api.requests == 4
    assert answered.claudebatch(*RUN).code == 0, "asked once"
