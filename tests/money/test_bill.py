"""What the ledger says is what the API bills, to the last digit; where nobody can know,
never less.

The short form runs with the other tests. The long one: BILL_ROWS=10000 pytest
tests/money/test_bill.py
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal

from claudebatch.core.domain import to_usd
from claudebatch.models.prices import PriceBook
from tests.e2e.world import query
from tests.money.judge import COUNTED, usage_of
from tests.money.mixed import HAIKU, different, rows

COUNT = int(os.environ.get("BILL_ROWS", "2000"))
RUN = ("run", "in.jsonl", "-o", "out.jsonl", "--yes")
BOOK = PriceBook.load(at=datetime(2026, 11, 22, tzinfo=UTC))
REFUSED = {"529": 0.02, "500": 0.01, "503": 0.01}
"""Nothing is done and nothing billed."""
BEFORE = {"reset": 0.01, "html": 0.004, "empty": 0.004}
"""Nothing is billed, but nobody on this side can know."""
AFTER = {"cut": 0.01, "stream_error": 0.02, "stream_open": 0.02}
"""Billed, and not delivered."""


def ledger(world, sql):
    return query(world.home / "state" / "spend.sqlite", sql)


def check_every_attempt(world):
    """Each cost in the ledger is what its own tokens come to."""
    found = ledger(
        world,
        f"SELECT model, cost, {COUNTED}, price_version, cost_known FROM attempts WHERE state = 1",
    )
    for model, cost, *counted, version, known in found:
        assert known
        assert version == BOOK.version
        assert cost == BOOK.cost(model, usage_of(*counted))
    return found


def check_sums(world):
    """Sums and single attempts, ledger and journal, files of results: all one."""
    ((attempts,),) = ledger(world, "SELECT sum(cost) FROM attempts")
    spent, unknown = world.ledger()
    assert spent == attempts == world.settled()
    results = world.results()
    assert len(results) == COUNT
    assert {line["status"] for line in results.values()} == {"succeeded"}
    assert sum(Decimal(line["cost_usd"]) for line in results.values()) == to_usd(spent)
    ((worst,),) = world.query("SELECT coalesce(sum(worst), 0) FROM attempts WHERE state = 3")
    assert unknown == worst
    return spent, unknown


def test_the_ledger_is_the_bill_to_the_last_digit_whatever_is_refused(world, judge):
    world.write("in.jsonl", rows(COUNT))
    api = judge(faults=REFUSED, latency="uniform:0.0,0.004")
    done = world.claudebatch(*RUN)
    assert done.code == 0, done.err
    stats = api.stats()
    spent, unknown = check_sums(world)
    assert spent == stats["billed_pico"] == sum(pico for _, _, pico in api.billed)
    assert unknown == 0
    assert len(check_every_attempt(world)) == len(api.billed) == different(COUNT), (
        "equal prompts are paid for once"
    )
    assert sum(stats["faults"].values()) > COUNT * 0.02
    check_the_mix(api)


def check_the_mix(api):
    """Everything that has a price of its own was there."""
    seen = [usage for _, usage, _ in api.billed]
    assert any(usage.speed == "fast" for usage in seen)
    assert any(usage.inference_geo == "us" for usage in seen)
    for kind in (
        "ephemeral_5m_input_tokens",
        "ephemeral_1h_input_tokens",
        "cache_read_input_tokens",
    ):
        assert any(getattr(usage, kind) for usage in seen), kind
    long = [
        usage.total_input
        for model, usage, _ in api.billed
        if model == HAIKU and usage.total_input > 90_000
    ]
    assert min(long) <= 100_000 < max(long)


def test_where_answers_are_lost_the_ledger_is_never_below_the_bill(world, judge):
    world.write("in.jsonl", rows(COUNT))
    api = judge(faults={**REFUSED, **BEFORE, **AFTER}, latency="uniform:0.0,0.004")
    done = world.claudebatch(*RUN)
    assert done.code == 0, done.err
    stats = api.stats()
    spent, unknown = check_sums(world)
    billed, lost = stats["billed_pico"], stats["billed_undelivered_pico"]
    assert lost > 0
    assert spent == billed - lost, "what came in is counted to the last digit"
    assert spent < billed <= spent + unknown, "and what did not, at its worst case"
    check_every_attempt(world)
    ((attempts,),) = world.query("SELECT count(*) FROM attempts WHERE state = 3")
    assert attempts == sum(stats["faults"].get(name, 0) for name in BEFORE) + stats["undelivered"]
