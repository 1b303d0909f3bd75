"""Rows whose answers are kept are done before the first request, in steps, and only
they.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

import claudebatch
from claudebatch.engine import cached_rows
from tests.e2e.world import prompts

# A step, instead of a thousand rows: what is asked live takes a millisecond a row.
_STEP = 100
_OURS = str(Path(claudebatch.__file__).parent)
# Calls of our own functions for a row that comes out of the cache: 53, and 3 % more.
_MOST_CALLS = 54


@pytest.fixture
def short_steps(monkeypatch):
    monkeypatch.setattr(cached_rows, "_ROWS_A_STEP", _STEP)


def calls_of(work):
    """How often each of our functions is called by *work*, in all threads that it
    starts.
    """
    calls: Counter[str] = Counter()

    def note(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_OURS):
            calls[f"{code.co_filename.removeprefix(_OURS)}:{code.co_name}"] += 1

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return calls


def test_a_cached_row_takes_no_more_calls_than_it_did(world, api):
    rows = [{"id": f"row-{n}", "prompt": f"prompt {n % 20}"} for n in range(200)]
    world.write("all.jsonl", rows)
    world.write("half.jsonl", rows[:100])
    assert world.claudebatch("run", "all.jsonl", "--yes", "-o", "first.jsonl").code == 0
    half, whole = (
        calls_of(lambda name=name: world.claudebatch("run", name, "--yes", "-q"))
        for name in ("half.jsonl", "all.jsonl")
    )
    assert api.requests == 20, "not every row came out of the cache"
    each = {name: (whole[name] - half[name]) / 100 for name in whole}
    told = "\n".join(f"{count:g} {name}" for name, count in sorted(each.items()) if count)
    assert sum(each.values()) <= _MOST_CALLS, told


@pytest.mark.usefixtures("short_steps")
def test_a_half_known_input_sends_the_other_half_only(world, api):
    rows = prompts(110)
    world.write("in.jsonl", rows[:60])
    assert world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--yes").code == 0
    world.write("in.jsonl", rows)
    done = world.claudebatch("run", "in.jsonl", "-o", "other.jsonl", "--json", "--yes")
    assert done.code == 0
    assert api.requests == 110
    results = world.results("other.jsonl")
    assert [results[row["id"]]["source"] for row in rows] == ["cache"] * 60 + ["api"] * 50
    summary = done.lines[-1]
    assert (summary["cached_now"], summary["answered_now"]) == (60, 50)


@pytest.mark.usefixtures("short_steps")
def test_a_lane_whose_first_step_finds_nothing_still_finds_what_comes_later(world, api):
    rows = prompts(110)
    world.write("in.jsonl", rows[-4:])
    world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--yes")
    world.write("in.jsonl", rows)
    world.claudebatch("run", "in.jsonl", "-o", "other.jsonl", "--yes")
    assert api.requests == 110
    assert [world.results("other.jsonl")[row["id"]]["source"] for row in rows[-4:]] == ["cache"] * 4


@pytest.mark.usefixtures("short_steps")
def test_a_cached_row_is_the_same_line_whether_looked_up_ahead_of_the_lanes_or_in_them(world, api):
    rows = prompts(101)
    world.write("in.jsonl", rows[-1:])
    world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--yes")
    world.claudebatch("run", "in.jsonl", "-o", "ahead.jsonl", "--yes")
    world.write("in.jsonl", rows)
    world.claudebatch("run", "in.jsonl", "-o", "lane.jsonl", "--yes")
    (ahead,) = world.results("ahead.jsonl").values()
    assert ahead["source"] == "cache"
    assert world.results("lane.jsonl")[ahead["id"]] == {**ahead, "line": 101}


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
