"""Rows that share marked beginnings, from the command line to the bill."""

from __future__ import annotations

import json
from decimal import Decimal

from claudebatch.core.domain import to_usd

OPUS = "claude-opus-5-5"
DOCUMENTS, QUESTIONS = 4, 20


def shared_documents() -> list[dict]:
    """Twenty questions about each of four documents of 5,900 tokens."""

    def document(number: int) -> str:
        parts = (f"Report {number}, branch {part}: costs, staff and sales." for part in range(340))
        return " ".join(parts)

    return [
        {
            "id": f"d{number}q{question}",
            "max_tokens": 60,
            "system": [
                {
                    "type": "text",
                    "text": document(number),
                    "cache_control": {"type": "ephemeral"},
                }
            ],
            "messages": [{"role": "user", "content": f"How does branch {question} do?"}],
        }
        for number in range(DOCUMENTS)
        for question in range(QUESTIONS)
    ]


def test_four_documents_with_twenty_questions_are_written_four_times(world, serve):
    api = serve()
    rows = shared_documents()
    world.write("in.jsonl", rows)
    ended = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-m", OPUS, "--json")
    done = json.loads(ended.out.splitlines()[-1])
    billed, usage = to_usd(api.stats()["billed_pico"]), done["usage"]
    assert Decimal(done["spent_usd"]) == billed
    assert billed <= Decimal("0.45")
    written = usage["cache_creation_input_tokens"] / DOCUMENTS
    assert 5500 < written < 6500
    assert usage["cache_read_input_tokens"] == written * (DOCUMENTS * (QUESTIONS - 1))
    # Without a cache, and what was paid for the writes.
    saved, writes = (Decimal(done[f"prompt_cache_{what}_usd"]) for what in ("saved", "writes"))
    tokens = sum(usage[name] for name in usage if name.endswith("input_tokens"))
    uncached = (tokens * 4 + usage["output_tokens"] * 20) / Decimal(10**6)
    assert saved == uncached - billed
    assert writes == Decimal(usage["cache_creation_input_tokens"] * 5) / 10**6
    assert billed * 5 < uncached
    report = json.loads(world.claudebatch("spend", "--json").out)["total"]
    assert Decimal(report["saved_by_prompt_cache_usd"]) == saved
    assert Decimal(report["prompt_cache_writes_usd"]) == writes
    text = world.claudebatch("spend").out
    assert "The API's prompt cache saved $1.7" in text
