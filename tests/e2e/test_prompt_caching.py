"""Rows that share marked beginnings, from the command line to the bill."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

from claudebatch.core.domain import Usage, from_usd, to_usd
from claudebatch.layers.prompt_caching import answer_times
from claudebatch.models.prices import PriceBook

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
    own = {"input": 8, "output": 20, "cache_write_5m": 5, "cache_write_1h": 8, "cache_read": 0.2}
    world.configure(f"prices: {{{OPUS}: {json.dumps(own)}}}")
    book = PriceBook.load({OPUS: own}, at=datetime(2026, 11, 30, tzinfo=UTC))
    counted = Usage(
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        ephemeral_5m_input_tokens=usage["cache_creation_input_tokens"],
        cache_read_input_tokens=usage["cache_read_input_tokens"],
    )
    dearer = book.prompt_savings(OPUS, counted, from_usd(billed)).saved
    report = json.loads(world.claudebatch("spend", "--json").out)["total"]
    assert Decimal(report["saved_by_prompt_cache_usd"]) == to_usd(dearer) > saved
    world.configure("prices: 5\n")
    assert world.claudebatch("spend", "-c", "claudebatch.yaml").code == 2
    text = world.claudebatch("spend").out
    assert "The API's prompt cache saved $1.7" in text


def test_rows_that_share_a_document_are_taken_together_wherever_they_stand(
    world, serve, monkeypatch
):
    serve()
    # As if answers took minutes: few rows are taken ahead.
    monkeypatch.setattr(answer_times, "_OF_TTL", 0.0)
    world.configure("concurrency: 1\n")
    rows = sorted(shared_documents(), key=lambda row: row["id"].partition("q")[2])
    rows = [row for row in rows if len(row["id"]) == len("d0q0")]
    assert [row["id"] for row in rows[:5]] == ["d0q0", "d1q0", "d2q0", "d3q0", "d0q1"]
    world.write("in.jsonl", rows)
    command = ("run", "in.jsonl", "-o", "out.jsonl", "-m", OPUS, "--ordered")
    assert world.claudebatch(*command).code == 0
    sent = world.query("SELECT r.id FROM attempts a JOIN rows r ON r.row = a.row ORDER BY attempt")
    for document in range(DOCUMENTS):
        own = [place for place, (name,) in enumerate(sent) if name.startswith(f"d{document}")]
        # At first several are led at once.
        assert max(own) - min(own) < 25, "36 in the order of the input"
    assert list(world.results()) == [row["id"] for row in rows], "--ordered is as before"
