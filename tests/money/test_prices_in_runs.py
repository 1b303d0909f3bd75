"""A price that nobody knows, that changes, or whose model is about to go: what a run
makes of it.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from claudebatch.models.prices import PriceBook
from claudebatch.models.prices.bundled import OwnTable
from tests.e2e.world import prompts, query
from tests.money.judge import COUNTED, usage_of

RUN = ("run", "in.jsonl", "-o", "out.jsonl")
UNPRICED = "claude-mythos-5-1"
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
NOTICE = "no price is known for claude-mythos-5-1: its cost is missing from every total"
TODAY = datetime(2026, 11, 22, tzinfo=UTC)


def costs(world):
    return {line["id"]: line["cost_usd"] for line in world.results().values()}


@pytest.fixture
def gap(monkeypatch):
    """What our own table has is missing: every model that the simulator serves has a
    price else.
    """
    monkeypatch.setattr(
        "claudebatch.models.prices.book.own_table", lambda: OwnTable("2026-11-22", "0", {})
    )


@pytest.mark.usefixtures("gap")
def test_an_answer_without_a_price_is_said_once_and_counts_as_unknown_and_never_as_nothing(
    world, judge
):
    judge()
    world.write(
        "in.jsonl", [*prompts(5, model=UNPRICED), {"id": "priced", "prompt": "y", "model": HAIKU}]
    )
    done = world.claudebatch(*RUN)
    assert done.code == 0
    assert done.err.count(NOTICE) == 1
    told = costs(world)
    assert Decimal(told.pop("priced")) > 0
    assert set(told.values()) == {None}
    known = dict(
        query(
            world.home / "state" / "spend.sqlite",
            "SELECT model, sum(unpriced) FROM spend GROUP BY model",
        )
    )
    assert known == {UNPRICED: 5, HAIKU: 0}
    assert "a model without a known price answered" in done.err


@pytest.mark.usefixtures("gap")
def test_a_chain_that_ends_at_a_model_without_a_price_is_said_too(world, judge):
    judge()
    world.configure(f"fallbacks: {{{HAIKU}: [{UNPRICED}]}}\n")
    world.write("in.jsonl", prompts(2, model=HAIKU))
    assert NOTICE in world.claudebatch(*RUN).err


@pytest.mark.usefixtures("gap")
def test_under_a_cap_it_is_refused_before_anything_is_sent(world, judge):
    api = judge()
    world.write("in.jsonl", prompts(2, model=UNPRICED))
    done = world.claudebatch(*RUN, "--budget", "5")
    assert (done.code, api.requests) == (2, 0)
    assert f"no price is known for {UNPRICED}, and the run has a cap" in done.err


PARTLY = f"prices: {{{OPUS}: {{input: 4, output: 20}}}}\n"


def test_fast_mode_without_a_price_is_refused_under_a_cap_before_anything_is_sent(world, judge):
    api = judge()
    world.configure(PARTLY)
    world.write(
        "in.jsonl",
        [*prompts(2, model=OPUS), {"id": "hasty", "prompt": "x", "model": OPUS, "speed": "fast"}],
    )
    done = world.claudebatch(*RUN, "--budget", "5")
    assert (done.code, api.requests) == (2, 0)
    assert "in.jsonl:3" in done.err
    assert "fast mode of claude-opus-5-5 needs a price, and none is known" in done.err
    assert "add prices.claude-opus-5-5.fast to the configuration" in done.err


def test_without_a_cap_fast_mode_without_a_price_costs_nobody_knows_what(world, judge):
    judge()
    world.configure(PARTLY)
    world.write("in.jsonl", [{"id": "hasty", "prompt": "x", "model": OPUS, "speed": "fast"}])
    assert world.claudebatch(*RUN).code == 0
    assert costs(world) == {"hasty": None}


def test_a_price_that_changes_between_two_sessions_counts_for_what_is_asked_from_then_on(
    world, serve
):
    serve(use_all_max_tokens=True)
    world.write("in.jsonl", prompts(6, model=OPUS, max_tokens=100))
    assert world.claudebatch(*RUN, "-n", "3").code == 0
    new = {OPUS: {"input": 1, "output": 2}}
    world.configure(f"prices: {{{OPUS}: {{input: 1, output: 2}}}}\n")
    assert world.claudebatch(*RUN).code == 0
    books = {
        book.version: book for book in (PriceBook.load(at=TODAY), PriceBook.load(new, at=TODAY))
    }
    assert len(books) == 2
    attempts = world.query(f"SELECT cost, price_version, {COUNTED} FROM attempts ORDER BY attempt")
    for cost, version, *usage in attempts:
        assert cost == books[version].cost(OPUS, usage_of(*usage))
    assert Counter(version for _, version, *_ in attempts) == dict.fromkeys(books, 3)
    assert world.ledger()[0] == sum(cost for cost, *_ in attempts)


@pytest.mark.parametrize("day", ["2999-01-01", "'2999-01-01'"])
def test_a_run_warns_of_a_model_that_is_announced_to_go(world, judge, day):
    judge()
    world.configure(f"models: {{{HAIKU}: {{retires_at: {day}}}}}\n")
    world.write("in.jsonl", prompts(2, model=HAIKU))
    done = world.claudebatch(*RUN)
    assert done.code == 0
    assert f"{HAIKU} will be retired on 2999-01-01, in " in done.err


@pytest.mark.parametrize(
    ("day", "shown"), [("soon", "'soon'"), ("2026-13-01", "'2026-13-01'"), ("''", "''")]
)
def test_the_day_of_retirement_in_the_configuration_must_be_a_day(world, judge, day, shown):
    judge()
    world.configure(f"models:\n  {HAIKU}: {{retires_at: {day}}}\n")
    world.write("in.jsonl", prompts(1))
    done = world.claudebatch(*RUN)
    assert done.code == 2
    assert "claudebatch.yaml:" in done.err
    if "13" not in day:  # PyYAML itself refuses that one
        assert f"models.claude-haiku-5-5.retires_at: {shown} is not a date" in done.err
