"""Rows whose answers are kept are done before the first request, in steps, and only
they.
"""

from __future__ import annotations

from tests.e2e.world import prompts


def test_a_half_known_input_sends_the_other_half_only(world, api):
    rows = prompts(1100)
    world.write("in.jsonl", rows[:600])
    assert world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--yes").code == 0
    world.write("in.jsonl", rows)
    done = world.claudebatch("run", "in.jsonl", "-o", "other.jsonl", "--json", "--yes")
    assert done.code == 0
    assert api.requests == 1100
    results = world.results("other.jsonl")
    assert [results[row["id"]]["source"] for row in rows] == ["cache"] * 600 + ["api"] * 500
    summary = done.lines[-1]
    assert (summary["cached_now"], summary["answered_now"]) == (600, 500)


def test_a_lane_whose_first_step_finds_nothing_still_finds_what_comes_later(world, api):
    rows = prompts(1100)
    world.write("in.jsonl", rows[-40:])
    world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--yes")
    world.write("in.jsonl", rows)
    world.claudebatch("run", "in.jsonl", "-o", "other.jsonl", "--yes")
    assert api.requests == 1100
    assert [world.results("other.jsonl")[row["id"]]["source"] for row in rows[-40:]] == [
        "cache"
    ] * 40


def test_a_cached_row_is_the_same_line_whether_looked_up_ahead_of_the_lanes_or_in_them(world, api):
    rows = prompts(1001)
    world.write("in.jsonl", rows[-1:])
    world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--yes")
    world.claudebatch("run", "in.jsonl", "-o", "ahead.jsonl", "--yes")
    world.write("in.jsonl", rows)
    world.claudebatch("run", "in.jsonl", "-o", "lane.jsonl", "--yes")
    (ahead,) = world.results("ahead.jsonl").values()
    assert ahead["source"] == "cache"
    assert world.results("lane.jsonl")[ahead["id"]] == {**ahead, "line": 1001}


def test_rows_are_looked_up_under_the_keys_of_this_session_not_of_an_earlier_one(world, api):
    def keys() -> set[bytes]:
        return {key for (key,) in world.query("SELECT key FROM rows")}

    world.write("in.jsonl", prompts(3))
    run = ("run", "in.jsonl", "--budget", "0.000001", "-o", "out.jsonl")
    assert world.claudebatch(*run, "--no-cache").code == 3
    first = keys()
    world.claudebatch(*run)
    assert keys() == first, "one request has one key, whether it is looked up or not"
    world.claudebatch(*run, "-m", "claude-opus-5-5")
    assert len(first) == len(keys()) == 3
    assert first.isdisjoint(keys())


def test_cached_rows_are_answered_under_a_cap_that_has_nothing_left(world, api):
    world.write("in.jsonl", prompts(5))
    world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--yes")
    done = world.claudebatch("run", "in.jsonl", "-o", "other.jsonl", "--budget", "0.000001")
    assert done.code == 0
    assert api.requests == 5
    assert world.settled("other.jsonl") == 0
