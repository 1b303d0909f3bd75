"""Requests that only fill the API's prompt cache: paid, shown, and nobody's answer."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from claudebatch.core.domain import to_usd
from claudebatch.layers.prompt_caching import answer_times

OPUS = "claude-opus-5-5"
DOCUMENTS, QUESTIONS = 2, 14
AHEAD = "rule = 'pre-warm' AND output_bound = 0"


def rows() -> list[dict]:
    def document(number: int) -> str:
        return " ".join(f"Report {number}, branch {part}: costs, staff." for part in range(200))

    return [
        {
            "id": f"d{number}q{question}",
            "system": document(number),
            "prompt": f"How does branch {question} do?",
        }
        for number in range(DOCUMENTS)
        for question in range(QUESTIONS)
    ]


@pytest.fixture
def held(world, serve, monkeypatch):
    """An API behind a gateway that passes answers on when they are whole."""
    monkeypatch.setattr(answer_times, "_BEGINS_S", 0.1)
    monkeypatch.setattr(answer_times, "_TOKENS_PER_S", 1e9)
    world.configure("concurrency: 8\n")
    world.write("in.jsonl", rows())
    return serve(latency="fixed:0.2", begins_after_s=0.01, holds_streams=True)


def run(world, *options: str) -> dict:
    ended = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-m", OPUS, "--json", *options)
    return json.loads(ended.out.splitlines()[-1])


def test_they_are_paid_shown_and_no_rows_answers(world, held):
    done = run(world)
    assert done["succeeded"] == DOCUMENTS * QUESTIONS
    assert done["requests"] == DOCUMENTS * QUESTIONS + done["prewarms"]
    assert 1 <= done["prewarms"] <= 2 * DOCUMENTS
    assert Decimal(done["spent_usd"]) == to_usd(held.stats()["billed_pico"])
    ahead = world.query(f"SELECT state, cost, body, output_tokens FROM attempts WHERE {AHEAD}")
    assert len(ahead) == done["prewarms"]
    assert all((state, body, out) == (4, None, 0) and cost for state, cost, body, out in ahead)
    # What rows cost is of their answers alone.
    of_rows = sum(Decimal(line["cost_usd"]) for line in world.results().values())
    of_ahead = to_usd(sum(cost for _, cost, _, _ in ahead))
    assert of_rows + of_ahead == Decimal(done["spent_usd"])
    # Without the cache nobody would have sent them.
    usages = [line["usage"] for line in world.results().values()]
    tokens = sum(count for usage in usages for name, count in usage.items() if "input" in name)
    written = sum(usage["output_tokens"] for usage in usages)
    uncached = (tokens * 4 + written * 20) / Decimal(10**6)
    assert Decimal(done["prompt_cache_saved_usd"]) == uncached - Decimal(done["spent_usd"])
    report = json.loads(world.claudebatch("spend", "--json", "--by", "rule").out)
    assert report["total"]["saved_by_prompt_cache_usd"] == done["prompt_cache_saved_usd"]
    (line,) = [line for line in report["lines"] if line["label"] == "pre-warm"]
    assert Decimal(line["spent_usd"]) == of_ahead


def test_none_is_sent_for_rows_that_are_answered_or_where_caching_is_not_on(world, held):
    run(world)
    before = held.requests
    again = run(world, "--fresh")
    assert (again["cached_now"], again["requests"]) == (DOCUMENTS * QUESTIONS, 0)
    assert held.requests == before
    assert run(world, "--fresh", "--no-cache", "--prompt-caching", "off")["prewarms"] == 0
