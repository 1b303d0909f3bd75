"""Prices: our whole-number sums are genai-prices' sums, and what nobody knows is never $0."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import calc_price, extract_usage

from claudebatch.domain import Call, Prompt, Route, Size, Usage, from_usd, to_usd
from claudebatch.errors import ConfigError
from claudebatch.prices import PriceBook, UnknownPrice

TODAY = datetime(2026, 11, 22, tzinfo=UTC)
BOOK = PriceBook.load(at=TODAY)
MODELS = (
    "claude-fable-5-2", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-5", "claude-sonnet-5",
    "claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5", "claude-haiku-4-5-20251001",
)  # fmt: skip


def drawn(rng: random.Random) -> Usage:
    """Any usage, often on either side of the threshold of 100,000 tokens of input."""
    most = rng.choice((0, 10, 3_000, 60_000, 300_000))
    parts = [rng.randint(0, most) for _ in range(4)]
    return Usage(parts[0], rng.randint(0, 128_000), *parts[1:], web_search_requests=rng.choice((0, 0, 3)))


def theirs(model: str, usage: Usage, speed: str | None) -> Decimal:
    """What genai-prices makes of the same answer."""
    body = {
        "model": model,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_creation_input_tokens": usage.cache_creation_input_tokens,
            "cache_read_input_tokens": usage.cache_read_input_tokens,
            "cache_creation": {
                "ephemeral_5m_input_tokens": usage.ephemeral_5m_input_tokens,
                "ephemeral_1h_input_tokens": usage.ephemeral_1h_input_tokens,
            },
            "server_tool_use": {"web_search_requests": usage.web_search_requests, "web_fetch_requests": 0},
        },
    }
    found = extract_usage(body, provider_id="anthropic").usage
    context = {"speed": speed} if speed else None
    return calc_price(
        found, model, provider_id="anthropic", genai_request_timestamp=TODAY, price_context=context
    ).total_price


@pytest.mark.parametrize("model", MODELS)
def test_our_sums_are_their_sums(model):
    rng = random.Random(model)
    for _ in range(40):
        usage = drawn(rng)
        assert to_usd(BOOK.cost(model, usage)) == theirs(model, usage, None), usage


@pytest.mark.parametrize("model", ["claude-fable-5-2", "claude-opus-5-5", "claude-opus-5", "claude-sonnet-5-5"])
def test_fast_mode_costs_what_they_say(model):
    usage = Usage(1_000, 500, 20, 30, 4_000, speed="fast")
    assert to_usd(BOOK.cost(model, usage)) == theirs(model, usage, "fast")


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_from_the_us_costs_a_tenth_more_and_searches_do_not(model):
    usage = Usage(1_000, 500, 20, 30, 4_000, web_search_requests=2)
    searches = 2 * from_usd(Decimal("0.01"))
    plain = BOOK.cost(model, usage) - searches
    assert BOOK.cost(model, replace(usage, inference_geo="us")) - searches == plain * 11 // 10
    assert BOOK.cost(model, replace(usage, inference_geo="global")) - searches == plain


def test_above_its_threshold_a_whole_request_to_haiku_costs_more_cached_tokens_counted():
    at = Usage(input_tokens=60_000, cache_read_input_tokens=40_000, output_tokens=100)
    over = replace(at, cache_read_input_tokens=40_001)
    assert to_usd(BOOK.cost("claude-haiku-5-5", at)) == Decimal("0.00645")
    assert to_usd(BOOK.cost("claude-haiku-5-5", over)) == Decimal("0.03225005")


def call(model: str, body: bytes, size: Size) -> Call:
    return Call(1, Prompt("a", {}), Route(model, "default"), model, body, size)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"cache_control":{"type":"ephemeral"}}', b'{"cache_control":{"ttl":"1h"}}', b'{"speed":"fast"}'],
)
def test_no_answer_within_its_bounds_costs_more_than_the_worst_case(model, body):
    rng = random.Random(model)
    for _ in range(40):
        usage = drawn(rng)
        if b"cache_control" not in body:
            usage = replace(usage, ephemeral_5m_input_tokens=0, ephemeral_1h_input_tokens=0)
        elif b"1h" not in body:
            usage = replace(usage, ephemeral_1h_input_tokens=0)
        usage = replace(usage, inference_geo="us", speed="fast" if b"fast" in body else None)
        size = Size(0, usage.total_input, 0, usage.output_tokens, usage.web_search_requests)
        assert BOOK.cost(model, usage) <= BOOK.worst(call(model, body, size))


def test_a_model_without_a_price_is_unknown_and_never_free():
    assert not BOOK.knows("claude-opus-99")
    with pytest.raises(UnknownPrice):
        BOOK.cost("claude-opus-99", Usage(1, 1))
    with pytest.raises(UnknownPrice):
        BOOK.worst(call("claude-opus-99", b"{}", Size(1, 1, 1, 1)))


def test_a_price_of_ones_own_wins_and_what_it_leaves_out_is_never_too_low():
    book = PriceBook.load({"claude-opus-99": {"input": 4, "output": "20.5"}}, at=TODAY)
    million = 10**6
    cost = {
        name: to_usd(book.cost("claude-opus-99", Usage(**{name: million})))
        for name in Usage.__dataclass_fields__
        if name.endswith("tokens")
    }
    assert cost == {
        "input_tokens": 4,
        "output_tokens": Decimal("20.5"),
        "ephemeral_5m_input_tokens": 5,
        "ephemeral_1h_input_tokens": 8,
        "cache_read_input_tokens": 4,
    }


NO_PRICES = (
    {"input": 1},
    {"output": 1},
    {"input": 1, "output": 1, "inptu": 1},
    {"input": -1, "output": 1},
    {"input": "nan", "output": 1},
    {"input": "a", "output": 1},
)


@pytest.mark.parametrize("raw", NO_PRICES, ids=str)
def test_a_price_that_is_none_is_refused(raw):
    with pytest.raises(ConfigError, match=r"prices\.m"):
        PriceBook.load({"m": raw}, at=TODAY)
