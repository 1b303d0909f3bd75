"""Every model that has a price, any usage, several days: our sums are theirs, and the
worst case is the worst.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.data_snapshot import find_provider_by_id, get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.domain import Call, Prompt, Route, Size, Usage, to_usd
from claudebatch.core.jsonl import encode
from claudebatch.models.prices import PriceBook
from tests.models.prices.theirs import theirs

_PROVIDER = find_provider_by_id(get_snapshot().providers, "anthropic")
assert _PROVIDER is not None
# The oldest models have no price for cached tokens, which they never knew.
MODELS = [model.id for model in _PROVIDER.models if model.id not in ("claude-2", "claude-v1")]
# They have no price for what these never did.
WITHOUT_SEARCHES = ("claude-3-haiku", "claude-3-opus-latest", "claude-3-sonnet")
DAYS = (datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC))
BOOKS = {day: PriceBook.load(at=day) for day in DAYS}

_TOKENS = st.one_of(
    st.just(0), st.integers(0, 2_000), st.integers(90_000, 110_000), st.integers(0, 1_000_000)
)
_USAGES = st.builds(
    Usage,
    input_tokens=_TOKENS,
    output_tokens=st.integers(0, 128_000),
    ephemeral_5m_input_tokens=_TOKENS,
    ephemeral_1h_input_tokens=_TOKENS,
    cache_read_input_tokens=_TOKENS,
    web_search_requests=st.integers(0, 3),
)


@settings(max_examples=300, deadline=None)
@given(model=st.sampled_from(MODELS), day=st.sampled_from(DAYS), usage=_USAGES)
def test_our_sums_are_their_sums(model: str, day: datetime, usage: Usage):
    if model in WITHOUT_SEARCHES:
        usage = replace(usage, web_search_requests=0)
    assert to_usd(BOOKS[day].cost(model, usage)) == theirs(model, usage, day)


@pytest.mark.parametrize("model", ["claude-haiku-5-5"])
@pytest.mark.parametrize("total", [99_999, 100_000, 100_001])
def test_on_either_side_of_a_threshold_our_sums_are_their_sums(model: str, total: int):
    for part in (
        "input_tokens",
        "ephemeral_5m_input_tokens",
        "ephemeral_1h_input_tokens",
        "cache_read_input_tokens",
    ):
        usage = replace(
            Usage(output_tokens=500, input_tokens=9), **{part: total - 9 * (part != "input_tokens")}
        )
        assert usage.total_input == total
        assert to_usd(BOOKS[DAYS[1]].cost(model, usage)) == theirs(model, usage, DAYS[1])


@settings(max_examples=200, deadline=None)
@given(model=st.sampled_from(MODELS), usage=_USAGES)
def test_from_the_us_tokens_cost_exactly_a_tenth_more_and_searches_do_not(model: str, usage: Usage):
    book = BOOKS[DAYS[1]]
    plain = replace(usage, web_search_requests=0)
    us = book.cost(model, replace(plain, inference_geo="us"))
    exact = Decimal(book.cost(model, plain)) * Decimal("1.1")
    assert exact <= us < exact + 1, "rounded up to a whole pico-dollar, if at all"
    searches = book.cost(model, replace(usage, inference_geo="us")) - us
    assert searches == book.cost(model, usage) - book.cost(model, plain)
    assert to_usd(searches) == usage.web_search_requests * Decimal("0.01")
    assert book.cost(model, replace(usage, inference_geo="global")) == book.cost(model, usage)


def params_for(usage: Usage) -> dict[str, Any]:
    """A request that makes the writes of *usage* possible."""
    if usage.ephemeral_1h_input_tokens:
        return {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    return {"cache_control": {"type": "ephemeral"}} if usage.ephemeral_5m_input_tokens else {}


# Members of a request that only look as if they ruled the surcharge out or asked for
# something dear.
_LOOKALIKES: list[dict[str, Any]] = [
    {},
    {
        "tools": [
            {
                "name": "t",
                "input_schema": {"type": "object"},
                "input_examples": [{"inference_geo": "global"}],
            }
        ]
    },
    {"messages": [{"role": "user", "content": '"inference_geo":"global"'}]},
    {"metadata": {"inference_geo": "global"}},
]


@settings(max_examples=300, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    usage=_USAGES,
    geo=st.sampled_from([None, "us", "global"]),
    more=st.sampled_from(_LOOKALIKES),
    spare=st.integers(0, 200_000),
)
def test_no_answer_within_its_bounds_costs_more_than_the_worst_case(model, usage, geo, more, spare):
    params = {**params_for(usage), **more, **({"inference_geo": geo} if geo else {})}
    # Left to the workspace, the answer may come from anywhere.
    usage = replace(usage, inference_geo=geo or "us")
    size = Size(0, usage.total_input + spare, 0, usage.output_tokens, usage.web_search_requests)
    call = Call(
        1,
        Prompt("a", params),
        Route(model, "default"),
        model,
        encode({**params, "model": model}),
        size,
    )
    assert BOOKS[DAYS[1]].cost(model, usage) <= BOOKS[DAYS[1]].worst(call)
