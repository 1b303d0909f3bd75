"""What rows share is marked without a word of theirs, written once, and read by the
others.
"""

from __future__ import annotations

import json

import pytest

from claudebatch.core.domain import PICO_PER_USD
from claudebatch.simulator import SimulatedBatches

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "claude-opus-5-5", "-q")
DOCUMENT = "The committee met on that day and decided the next item. " * 120


def text(words, **more):
    return {"type": "text", "text": words, **more}


def questions(documents=4, count=6, **mark):
    """Rows that ask of some documents in turn."""
    return [
        {
            "id": f"{document}-{number}",
            "system": "Answer from the document.",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        text(f"{document}: {DOCUMENT}", **mark),
                        text(f"Question {number}?"),
                    ],
                }
            ],
        }
        for number in range(count)
        for document in range(documents)
    ]


def tokens(world, name):
    return [row["usage"][name] for row in world.results().values()]


def marks(bodies):
    return [b'"cache_control"' in body for body in bodies]


def test_four_documents_are_written_once_each_and_read_by_all_other_questions(world, serve):
    served = serve(latency="fixed:0.05")
    world.write("in.jsonl", questions())
    assert world.claudebatch(*RUN).code == 0
    written = [count for count in tokens(world, "cache_creation_input_tokens") if count]
    assert len(written) == 4
    assert sum(1 for count in tokens(world, "cache_read_input_tokens") if count) == 20
    billed = served.stats()["billed_pico"]
    output = sum(tokens(world, "output_tokens"))
    # $5 a million written, $0.20 read; a little of each question is neither.
    best = 4 * written[0] * 5 + 20 * written[0] * 0.2 + 24 * 20 * 4 + output * 20
    assert billed <= 1.02 * best * PICO_PER_USD / 10**6


@pytest.mark.parametrize("mode", ["off", "respect"])
def test_nothing_is_marked_that_the_rows_do_not_mark_where_that_is_not_wanted(world, serve, mode):
    serve()
    world.write("in.jsonl", questions(1, 3))
    assert world.claudebatch(*RUN, "--prompt-caching", mode).code == 0
    assert tokens(world, "cache_creation_input_tokens") == [0] * 3


def test_marks_of_the_rows_own_are_sent_as_they_are(world, serve):
    serve()
    world.write("in.jsonl", questions(1, 3, cache_control={"type": "ephemeral", "ttl": "1h"}))
    assert world.claudebatch(*RUN).code == 0
    kinds = [row["usage"]["cache_creation"] for row in world.results().values()]
    assert sum(kind["ephemeral_1h_input_tokens"] > 0 for kind in kinds) == 1
    assert not any(kind["ephemeral_5m_input_tokens"] for kind in kinds)


def test_an_answer_is_kept_under_the_same_key_with_marks_and_without(world, serve):
    served = serve()
    world.write("in.jsonl", questions(2, 3))
    assert world.claudebatch(*RUN).code == 0
    again = ("run", "in.jsonl", "-o", "again.jsonl", "-m", "claude-opus-5-5", "-q")
    assert world.claudebatch(*again, "--prompt-caching", "off").code == 0
    assert served.requests == 6
    # Nor is a row another one for it: nothing is asked again.
    assert world.claudebatch(*RUN, "--prompt-caching", "off").code == 0
    assert served.requests == 6


def test_what_is_left_to_one_row_is_not_marked_for_others(world, serve):
    serve()
    rows = questions(1, 3)
    world.write("in.jsonl", rows[:2])
    assert world.claudebatch(*RUN).code == 0
    world.write("in.jsonl", rows)
    assert world.claudebatch(*RUN).code == 0
    last = world.results()["0-2"]["usage"]
    assert (last["cache_creation_input_tokens"], last["cache_read_input_tokens"]) == (0, 0)


def estimated(world, *more):
    done = world.claudebatch(*RUN[:1], *RUN[1:6], "--dry-run", "--json", *more)
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_an_estimate_says_what_the_run_then_writes_reads_and_saves(world, serve):
    serve()
    world.write("in.jsonl", questions())
    told = estimated(world)
    cache, off = told["prompt_cache"], estimated(world, "--prompt-caching", "off")
    assert off["prompt_cache"] is None
    assert cache["without_usd"] == off["expected_usd"]
    # No other rows: the whole estimate is theirs.
    assert told["expected_usd"] == cache["expected_usd"]
    assert float(cache["expected_usd"]) < float(cache["without_usd"]) < float(cache["unread_usd"])
    assert (cache["beginnings"], cache["rows"]) == (4, 24)
    assert world.claudebatch(*RUN).code == 0
    for name in ("written", "read"):
        field = {"written": "cache_creation_input_tokens", "read": "cache_read_input_tokens"}[name]
        assert cache[f"{name}_tokens"] == pytest.approx(sum(tokens(world, field)), rel=0.1)
    # What is answered shares nothing any more.
    assert estimated(world)["prompt_cache"] is None


def test_the_worst_case_of_an_estimate_is_what_the_run_sets_aside(world, serve):
    serve()
    world.write("in.jsonl", questions(2, 3))
    worst = estimated(world)["worst_usd"]
    assert world.claudebatch(*RUN, "--budget", worst).code == 0
    ((held,),) = world.query("SELECT sum(worst) FROM attempts")
    assert held == round(float(worst) * PICO_PER_USD)


def test_marks_that_are_written_by_each_row_are_told_to_cost_more(world, serve):
    serve()
    rows = questions(1, 3)
    for row in rows:
        row["cache_control"] = {"type": "ephemeral"}
    world.write("in.jsonl", rows)
    cache = estimated(world)["prompt_cache"]
    assert (cache["beginnings"], cache["read_tokens"]) == (3, 0)
    assert float(cache["expected_usd"]) > float(cache["without_usd"])


def test_what_many_rows_of_a_batch_share_is_marked_for_an_hour(world, serve):
    serve(batches=SimulatedBatches(time=1000.0, latency="fixed:1", cache_hits=0.9))
    world.configure("batches: {poll: 0.05s}\n")
    world.write("in.jsonl", questions(2, 25))
    told = estimated(world, "--batch")
    cache = told["prompt_cache"]["in_batches"]
    assert cache["rows"] == 50
    dollars = [float(cache[name]) for name in ("most_read_usd", "without_usd", "least_read_usd")]
    assert dollars == sorted(dollars)
    assert dollars[0] < float(told["expected_usd"]) < dollars[2]
    done = world.claudebatch(*RUN, "--batch", "--budget", told["worst_usd"])
    assert done.code == 0, done.err
    kinds = [row["usage"]["cache_creation"] for row in world.results().values()]
    assert all(not kind["ephemeral_5m_input_tokens"] for kind in kinds)
    written = sum(kind["ephemeral_1h_input_tokens"] > 0 for kind in kinds)
    assert 2 <= written < 20
    ((held,),) = world.query("SELECT sum(worst) FROM attempts")
    assert held == round(float(told["worst_usd"]) * PICO_PER_USD)
