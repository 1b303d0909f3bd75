"""Answers that do not say what they cost are kept, count at their worst case, and are
never bought again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from claudebatch.core.domain import from_usd
from tests.e2e.canned import Canned, message
from tests.e2e.world import World, prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
JSON = "application/json"
CAP = "0.10"


@pytest.fixture
def canned(world: World) -> Iterator[Callable[..., Canned]]:
    """Starts an API that says what it is told, and points the world at it."""
    started: list[Canned] = []

    def start(answer: Callable[[dict[str, Any], int], tuple[str, bytes]]) -> Canned:
        api = Canned(answer)
        started.append(api)
        world.point_at(api.url)
        return api

    yield start
    for api in started:
        api.close()


def unknown(world: World) -> int:
    ((worst,),) = world.query("SELECT coalesce(sum(worst), 0) FROM attempts WHERE state IN (0, 3)")
    return int(worst)


USAGES = [
    None,
    {},
    {"input_tokens": 0, "output_tokens": 0},
    {"input_tokens": 9},
    {"input_tokens": "nine", "output_tokens": 5},
    "none",
]


@pytest.mark.parametrize("usage", USAGES, ids=str)
def test_a_cap_counts_answers_that_nobody_counted_and_stops_the_run(world, canned, usage):
    api = canned(lambda asked, _: (JSON, message(asked, usage=usage)))
    world.write("in.jsonl", prompts(120, max_tokens=1000))
    done = world.claudebatch(*RUN, "--budget", CAP)
    assert done.code == 3, done.err
    results = world.results()
    assert 5 <= len(results) < 120
    assert api.requests == len(results)
    assert set(api.asked.values()) == {1}
    assert {line["cost_usd"] for line in results.values()} == {None}
    assert all(line["text"] == "Hello" for line in results.values())
    held, cap = unknown(world), from_usd(Decimal(CAP))
    assert cap * 8 // 10 < held <= cap
    assert (world.settled(), world.ledger()) == (0, (0, held))
    assert f"the cost of {len(results)} requests is not known" in done.err
    assert "does not say what it took" in done.err

    again = world.claudebatch(*RUN, "--budget", CAP)
    assert (again.code, api.requests) == (3, len(results)), "a session counts the ones before"


def test_they_are_decided_by_the_user_and_the_run_goes_on(world, canned):
    api = canned(lambda asked, _: (JSON, message(asked, usage=None)))
    world.write("in.jsonl", prompts(40, max_tokens=1000))
    assert world.claudebatch(*RUN, "--budget", CAP).code == 3
    shown, held = len(world.results()), unknown(world)
    details = world.claudebatch("runs", "show", "out.jsonl")
    assert "200 without token counts" in details.out + details.err
    assert world.claudebatch("runs", "settle", "out.jsonl", "--as", "billed").code == 0
    assert (world.settled(), world.ledger()) == (held, (held, 0))
    assert world.claudebatch(*RUN, "--budget", "5").code == 0
    assert (len(world.results()), api.requests) == (40, 40)
    assert shown < 40 and set(api.asked.values()) == {1}
    assert world.claudebatch("runs", "check", "out.jsonl").code == 0


def test_without_a_cap_they_are_unknown_as_well(world, canned):
    api = canned(lambda asked, n: (JSON, message(asked, **({"usage": None} if n % 2 else {}))))
    world.write("in.jsonl", prompts(20))
    done = world.claudebatch(*RUN)
    assert (done.code, api.requests) == (0, 20), done.err
    costs = [line["cost_usd"] for line in world.results().values()]
    assert costs.count(None) == 10
    assert "the cost of 10 requests is not known" in done.err
    assert world.ledger() == (world.settled(), unknown(world))
    assert unknown(world) > 0 < world.settled()


@pytest.mark.parametrize("settled", [None, "billed", "free"])
def test_one_that_was_not_shown_before_a_crash_is_shown_and_not_asked_again(world, canned, settled):
    api = canned(lambda asked, _: (JSON, message(asked, usage={})))
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN).code == 0
    held = unknown(world)
    import sqlite3

    with sqlite3.connect(world.path("out.jsonl.claudebatch") / "journal.sqlite") as journal:
        journal.execute("DELETE FROM results")
    journal.close()
    if settled:
        assert world.claudebatch("runs", "settle", "out.jsonl", "--as", settled).code == 0
    done = world.claudebatch(*RUN, "--unknown", "skip")
    assert (done.code, api.requests, len(world.results())) == (0, 3, 3), done.err
    known = {None: (0, held), "billed": (held, 0), "free": (0, 0)}[settled]
    assert (world.settled(), unknown(world)) == known
    assert world.ledger() == known


def test_equal_rows_share_one_and_it_is_kept_for_later_runs(world, canned):
    api = canned(lambda asked, _: (JSON, message(asked, usage=None)))
    world.write("in.jsonl", [*prompts(1), {**prompts(1)[0], "id": "twin"}])
    assert world.claudebatch(*RUN).code == 0
    results = world.results()
    assert sorted(str(line["cost_usd"]) for line in results.values()) == ["0", "None"]
    assert world.claudebatch("run", "in.jsonl", "-o", "other.jsonl").code == 0
    assert api.requests == 1
    assert {line["cost_usd"] for line in world.results("other.jsonl").values()} == {"0"}


PAGE = "<!DOCTYPE html><title>Log in</title>"
PAGES = {"a page": ("text/html", PAGE.encode()), "in UTF-16": ("text/plain", PAGE.encode("utf-16"))}


@pytest.mark.parametrize("name", PAGES)
def test_a_web_page_in_the_place_of_an_answer_holds_no_money(world, canned, name):
    canned(lambda asked, n: PAGES[name] if n % 5 == 4 else (JSON, message(asked)))
    world.write("in.jsonl", prompts(20, max_tokens=1000))
    done = world.claudebatch(*RUN, "--budget", "5")
    assert done.code == 0, done.err
    ((pages,),) = world.query("SELECT count(*) FROM attempts WHERE error IS NOT NULL")
    assert pages >= 4
    assert unknown(world) == 0
    assert world.ledger() == (world.settled(), 0)


def test_what_may_be_the_rest_of_an_answer_still_does(world, canned):
    canned(lambda asked, n: (JSON, message(asked)[: 0 if n else 99] if n < 2 else message(asked)))
    world.write("in.jsonl", prompts(5))
    assert world.claudebatch(*RUN).code == 0
    assert world.query("SELECT count(*) FROM attempts WHERE state = 3") == [(2,)]


def test_a_bad_character_is_marked_in_the_results_the_cache_and_after_a_crash(world, canned):
    broken = b'"Hel\\ud83d\xff"'
    api = canned(lambda asked, _: (JSON, message(asked).replace(b'"Hello"', broken)))
    world.write("in.jsonl", prompts(2))
    done = world.claudebatch(*RUN)
    assert (done.code, api.requests) == (0, 2), done.err
    world.claudebatch("run", "in.jsonl", "-o", "other.jsonl")
    for name in ("out.jsonl", "other.jsonl"):
        for line in world.path(name).read_bytes().splitlines():
            found = json.loads(line.decode("utf-8"))
            assert (found["text"], found["replaced_characters"]) == ("Hel\ufffd\ufffd", 2)
    assert api.requests == 2
    assert world.claudebatch("runs", "check", "out.jsonl").code == 0
