"""Every current model costs what was published, from the `usage` of an answer as the
API writes it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from genai_prices import calc_price, extract_usage

from claudebatch.core.domain import Usage, to_usd
from claudebatch.core.message import parse_message
from claudebatch.models.catalog import Catalog
from claudebatch.models.prices import PriceBook
from tests.models.prices.published import (
    ABOVE,
    HAIKU,
    KINDS,
    PUBLISHED,
    THRESHOLD,
    Published,
    dollars,
)

TODAY = datetime(2026, 11, 22, tzinfo=UTC)
BOOK = PriceBook.load(at=TODAY)
CATALOG = Catalog.load()
GAPS = {"claude-mythos-5", "claude-mythos-5-1"}
"""What genai-prices lacks."""
FAST = [model for model, line in PUBLISHED.items() if line.fast]
FULL = {
    "input_tokens": 1_000,
    "cache_creation_input_tokens": 5_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 2_000, "ephemeral_1h_input_tokens": 3_000},
    "cache_read_input_tokens": 10_000,
    "output_tokens": 500,
    "output_tokens_details": {"thinking_tokens": 200},
}
"""An answer with some of everything."""
GOLDEN = {
    "claude-fable-5-2": "0.098",
    "claude-mythos-5-2": "0.098",
    "claude-opus-5-5": "0.050",
    "claude-sonnet-5-5": "0.025",
    "claude-haiku-5-5": "0.0013",
    "claude-fable-5-1": "0.1225",
    "claude-mythos-5-1": "0.1225",
    "claude-opus-5": "0.065",
    "claude-opus-4-8": "0.065",
    "claude-sonnet-5": "0.026",
    "claude-fable-5": "0.130",
    "claude-mythos-5": "0.130",
    "claude-opus-4-7": "0.065",
    "claude-opus-4-6": "0.065",
    "claude-opus-4-5": "0.065",
    "claude-sonnet-4-6": "0.039",
    "claude-sonnet-4-5": "0.039",
    "claude-haiku-4-5": "0.013",
}
"""What `FULL` costs, added up by hand."""


def cost(model: str, usage: dict[str, Any], book: PriceBook = BOOK) -> Decimal:
    """What our program makes of the body of an answer."""
    message = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "usage": usage,
    }
    return to_usd(book.cost(model, parse_message(json.dumps(message).encode()).usage))


def test_every_model_that_is_not_retired_is_in_the_published_table():
    retired = {"claude-mythos-preview"}
    assert set(PUBLISHED) == {facts.id for facts in CATALOG} - retired
    assert all(CATALOG.facts(model).retires_at < "2026-11-22" for model in retired)
    assert not any(BOOK.knows(model) for model in retired), "nobody published what they cost"


@pytest.mark.parametrize("model", PUBLISHED)
def test_an_answer_with_some_of_everything_costs_the_golden_dollars(model):
    assert cost(model, FULL) == Decimal(GOLDEN[model]) == dollars(model, FULL)


@pytest.mark.parametrize("model", PUBLISHED)
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_tokens_of_each_kind_cost_the_published_price(model, kind):
    tokens = 50_000  # a twentieth: a million in one prompt would be above Haiku's threshold
    usage: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0}
    match kind:
        case "input" | "output":
            usage[f"{kind}_tokens"] = tokens
        case "cache_read":
            usage["cache_read_input_tokens"] = tokens
        case _:
            other = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
            mine = {f"ephemeral_{kind.removeprefix('cache_write_')}_input_tokens": tokens}
            usage |= {"cache_creation_input_tokens": tokens, "cache_creation": other | mine}
    assert cost(model, usage) * 20 == PUBLISHED[model].standard[kind]


@pytest.mark.parametrize("model", PUBLISHED)
@pytest.mark.parametrize("creation", [None, "missing"])
def test_writes_without_a_breakdown_are_five_minute_writes(model, creation):
    usage: dict[str, Any] = {
        "input_tokens": 3,
        "output_tokens": 0,
        "cache_creation_input_tokens": 40_000,
    }
    if creation is None:
        usage["cache_creation"] = None
    paid = PUBLISHED[model].standard
    assert cost(model, usage) == (3 * paid["input"] + 40_000 * paid["cache_write_5m"]) / 10**6


@pytest.mark.parametrize("model", PUBLISHED)
def test_out_of_a_batch_it_costs_half_and_searches_all(model):
    plain = {"input_tokens": 40_000, "output_tokens": 2_000}
    batch, searches = (
        {**plain, "service_tier": "batch"},
        {"server_tool_use": {"web_search_requests": 3}},
    )
    paid_in, paid_out = PUBLISHED[model].batch
    assert cost(model, batch) == (40_000 * paid_in + 2_000 * paid_out) / 10**6
    assert cost(model, batch | searches) == cost(model, batch) + Decimal("0.03")
    full = parsed(model, {**FULL, **searches})
    assert to_usd(BOOK.batch_cost(model, full)) == Decimal(GOLDEN[model]) / 2 + Decimal("0.03")


def parsed(model: str, usage: dict[str, Any]) -> Usage:
    message = {"type": "message", "model": model, "content": [], "usage": usage}
    return parse_message(json.dumps(message).encode()).usage


@pytest.mark.parametrize("model", FAST)
def test_fast_mode_costs_the_published_price_and_keeps_the_multipliers_of_the_prompt_cache(model):
    line = PUBLISHED[model]
    assert line.fast is not None
    usage = {"input_tokens": 40_000, "output_tokens": 2_000, "speed": "fast"}
    assert cost(model, usage) == (40_000 * line.fast[0] + 2_000 * line.fast[1]) / 10**6
    assert cost(model, {**FULL, "speed": "fast"}) == 2 * Decimal(GOLDEN[model])
    assert cost(model, {**FULL, "speed": "standard"}) == Decimal(GOLDEN[model])


@pytest.mark.parametrize("model", PUBLISHED)
@pytest.mark.parametrize(
    "kind", ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"]
)
@pytest.mark.parametrize("tier", ["standard", "batch"])
def test_only_haiku_5_5_has_a_cliff_and_it_is_at_100_000_tokens_of_whole_prompt(model, kind, tier):
    below = {"input_tokens": 1, "output_tokens": 700, "service_tier": tier}
    at = {**below, kind: below.get(kind, 0) + THRESHOLD - 1}
    over = {**at, kind: at[kind] + 1}
    assert cost(model, at) == dollars(model, at)
    assert cost(model, over) == dollars(model, over)
    steep = cost(model, over) > 4 * cost(model, at)
    assert steep is (model == HAIKU)


CASES = [
    {**FULL, "inference_geo": geo, "service_tier": tier, "speed": speed, "server_tool_use": tools}
    for geo, tier, speed, tools in product(
        (None, "us", "global"),
        ("standard", "batch", None),
        (None, "standard"),
        (None, {"web_search_requests": 2, "web_fetch_requests": 5}),
    )
]


@pytest.mark.parametrize("model", PUBLISHED)
def test_every_mix_of_region_tier_and_searches_costs_what_the_table_says(model):
    for usage in CASES:
        assert cost(model, usage) == dollars(model, usage), usage


@pytest.mark.parametrize("model", FAST)
def test_fast_mode_in_the_us_costs_what_the_table_says(model):
    usage = {
        **FULL,
        "speed": "fast",
        "inference_geo": "us",
        "server_tool_use": {"web_search_requests": 1},
    }
    assert cost(model, usage) == dollars(model, usage)


def theirs(model: str, usage: dict[str, Any], context: dict[str, str]) -> Decimal:
    found = extract_usage({"model": model, "usage": usage}, provider_id="anthropic").usage
    return calc_price(
        found, model, provider_id="anthropic", genai_request_timestamp=TODAY, price_context=context
    ).total_price


def lines() -> list[Any]:
    known = [
        pytest.param(model, line, 0, id=model)
        for model, line in PUBLISHED.items()
        if model not in GAPS
    ]
    return [*known, pytest.param(HAIKU, ABOVE, THRESHOLD, id="haiku above")]


@pytest.mark.parametrize(("model", "line", "more"), lines())
def test_the_bundled_prices_are_the_published_ones(model: str, line: Published, more: int):
    """Fails when a new release of genai-prices says something else, or when it was us
    who wrote it down wrongly.
    """
    usage = {**FULL, "cache_read_input_tokens": 10_000 + more}
    tokens = {"input": 1_000, "cache_write_5m": 2_000, "cache_write_1h": 3_000, "output": 500}
    tokens["cache_read"] = 10_000 + more
    standard = sum(line.standard[kind] * tokens[kind] for kind in KINDS) / 10**6
    assert theirs(model, usage, {}) == standard
    assert theirs(model, usage, {"processing": "batch"}) == standard / 2
    if line.fast is not None:
        assert theirs(model, usage, {"speed": "fast"}) == 2 * standard


@pytest.mark.parametrize("model", sorted(GAPS))
def test_what_genai_prices_lacks_comes_from_our_own_table(model):
    with pytest.raises(LookupError):
        theirs(model, FULL, {})
    assert BOOK.source(model) == "claudebatch"
    assert BOOK.source(f"{model}-20260901") == "claudebatch"
