"""Rows of a batch that want a form, or another model's answer instead of a refusal: the
answer is read as one that was asked for at once, and the row goes on from it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from claudebatch.simulator import SimulatedBatches
from tests.e2e.world import World

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku", "--batch", "-q")
FIELDS = ("--schema", "mood good|bad, stars int")
VALUE = {"mood": "good", "stars": 1}
INVALID = "[[simulate: fault invalid]]"
REFUSED = "[[simulate: refusal]]"


@pytest.fixture
def batches(world: World, serve: Any) -> Any:
    """Serves batches whose time flies, to runs that ask often."""
    world.configure("batches: {poll: 0.05s, max_requests: 20}\n")

    def start(**settings: Any) -> Any:
        return serve(batches=SimulatedBatches(time=1000.0, latency="fixed:1"), **settings)

    return start


def write(world: World, *texts: str) -> None:
    world.write("in.jsonl", [{"id": f"r{n}", "prompt": text} for n, text in enumerate(texts)])


def bill_is_right(world: World, api: Any) -> None:
    """Journal, ledger and result lines say what the API billed."""
    billed = api.stats()["billed_pico"]
    assert world.settled() == billed
    assert world.ledger() == (billed, 0)
    lines = world.results().values()
    assert sum(round(float(line["cost_usd"]) * 10**12) for line in lines) == billed


def test_answers_that_fit_come_with_the_batch(world: World, batches: Any) -> None:
    api = batches()
    write(world, "good?", "bad?", "good?")
    assert world.claudebatch(*RUN, *FIELDS).code == 0
    rows = world.results()
    assert [row["parsed"] for row in rows.values()] == [VALUE] * 3
    assert {row["via"] for row in rows.values()} == {"batch"}
    assert api.requests == 0
    bill_is_right(world, api)


def test_one_that_does_not_fit_is_asked_again_at_once_from_there(
    world: World, batches: Any
) -> None:
    api = batches(script=("batch_unfit",))
    write(world, "good?", "bad?")
    done = world.claudebatch(*RUN, *FIELDS, "--budget", "5")
    assert done.code == 0, done.err
    rows = sorted(world.results().values(), key=lambda row: row["via"])
    assert [(row["via"], row["attempts"], row["ending"]) for row in rows] == [
        ("batch", 1, "complete"),
        ("live", 2, "complete"),
    ]
    assert [row["parsed"] for row in rows] == [VALUE] * 2
    *_, again = api.bodies
    assert api.requests == 1
    assert [turn["role"] for turn in again["messages"]] == ["user", "assistant", "user"]
    assert "does not fit its JSON schema" in json.dumps(again["messages"][-1])
    bill_is_right(world, api)


@pytest.mark.parametrize("retries", [0, 2])
def test_what_never_fits_has_so_many_tries_in_all(world: World, batches: Any, retries: int) -> None:
    api = batches()
    write(world, INVALID, "good?")
    done = world.claudebatch(*RUN, *FIELDS, "--schema-retries", str(retries))
    assert (done.code, api.requests) == (1, retries), done.err
    row = world.results()["r0"]
    assert (row["ending"], row["attempts"]) == ("invalid", 1 + retries)
    assert row["invalid"].startswith('"mood" is a required property')
    bill_is_right(world, api)
    # It is not in the response cache: another file asks for it again.
    write(world, INVALID, "good?", "third")
    more = (*RUN[:3], "two.jsonl", *RUN[4:], *FIELDS, "--schema-retries", "0")
    assert world.claudebatch(*more).code == 1
    found = world.results("two.jsonl")
    assert {name: row["source"] for name, row in found.items()} == {
        "r0": "api",
        "r1": "cache",
        "r2": "api",
    }
    assert found["r1"]["parsed"] == VALUE


def test_equal_rows_go_on_from_the_one_answer(world: World, batches: Any) -> None:
    api = batches(script=("batch_unfit",))
    write(world, "same", "same", "same")
    assert world.claudebatch(*RUN, *FIELDS).code == 0
    assert [row["parsed"] for row in world.results().values()] == [VALUE] * 3
    assert api.requests == 1
    assert len(api.bodies[-1]["messages"]) == 3
    bill_is_right(world, api)


@pytest.mark.parametrize("code", [0, 1])
def test_prose_gives_what_is_found_in_it(world: World, batches: Any, code: int) -> None:
    api = batches()
    write(world, "good?")
    wanted = ("regex:answer ([0-9a-f]{8})", "xml:answer")[code]
    done = world.claudebatch(*RUN, "--extract", wanted)
    assert (done.code, api.requests) == (code, 0), done.err
    (row,) = world.results().values()
    assert row["ending"] == ("complete", "invalid")[code]
    assert (row["parsed"] is None) == bool(code)
    bill_is_right(world, api)


def test_a_crash_between_the_batch_and_the_next_try_forgets_nothing(
    world: World, batches: Any
) -> None:
    """The cap is as good as a crash: what is left is too little for another request."""
    api = batches(script=("batch_unfit",))
    world.write("in.jsonl", [{"id": "r0", "prompt": "good?", "max_tokens": 1000}])
    done = world.claudebatch(*RUN, *FIELDS, "--budget", "0.0004")
    assert (done.code, api.requests) == (3, 0), done.err
    assert world.results() == {}
    done = world.claudebatch(*RUN, *FIELDS, "--budget", "1")
    assert (done.code, api.requests) == (0, 1), done.err
    assert len(api.bodies[-1]["messages"]) == 3
    assert world.query("SELECT count(*) FROM attempts WHERE batch > 0") == [(1,)]
    bill_is_right(world, api)


FALLBACK = "fallbacks: {claude-haiku-5-5: [claude-sonnet-5-5]}\nfallback_on: [refusal]\n"


def test_a_refusal_out_of_a_batch_is_bettered_by_the_next_model(world: World, batches: Any) -> None:
    api = batches(script=("batch_refusal",))
    world.configure(FALLBACK)
    write(world, "one", "two")
    done = world.claudebatch(*RUN)
    assert done.code == 0, done.err
    rows = sorted(world.results().values(), key=lambda row: row["via"])
    assert [(row["via"], row["ending"]) for row in rows] == [
        ("batch", "complete"),
        ("live", "complete"),
    ]
    assert rows[1]["model"].startswith("claude-sonnet")
    assert rows[1]["fallback_reason"] == "refusal"
    assert [body["model"] for body in api.bodies[2:]] == ["claude-sonnet-5-5"]
    bill_is_right(world, api)


def test_where_no_model_does_better_the_first_refusal_stays(world: World, batches: Any) -> None:
    api = batches()
    world.configure(FALLBACK)
    write(world, REFUSED, REFUSED, "two")
    done = world.claudebatch(*RUN)
    assert done.code == 0, done.err
    rows = world.results()
    assert {rows[name]["ending"] for name in ("r0", "r1")} == {"refused"}
    assert sorted((rows[name]["source"], rows[name]["via"]) for name in ("r0", "r1"))[0] == (
        "api",
        "batch",
    )
    assert {rows[name]["model"] for name in ("r0", "r1")} == {rows["r2"]["model"]}
    assert api.requests == 1
    bill_is_right(world, api)


@pytest.mark.parametrize("fault", ["batch_refusal", "batch_unfit"])
def test_what_was_collected_without_sending_goes_on_in_the_next_session(
    world: World, batches: Any, fault: str
) -> None:
    api = batches(script=(fault,))
    world.configure(FALLBACK)
    write(world, "one", "one")
    assert world.claudebatch(*RUN, *FIELDS, "--detach").code == 0
    done = world.claudebatch(*RUN, *FIELDS, "--collect")
    assert (done.code, api.requests, world.results()) == (1, 0, {}), done.err
    done = world.claudebatch(*RUN, *FIELDS)
    assert (done.code, api.requests) == (0, 1), done.err
    turns = 1 if fault == "batch_refusal" else 3
    assert len(api.bodies[-1]["messages"]) == turns
    assert world.query("SELECT count(*) FROM attempts") == [(2,)]
    bill_is_right(world, api)
