"""What genai-prices makes of an answer: what our sums are held against."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from genai_prices import calc_price, extract_usage

from claudebatch.core.domain import Usage


def theirs(model: str, usage: Usage, day: datetime) -> Decimal:
    """The price of *usage* at *model* on *day*, in dollars."""
    answer = {
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
            "server_tool_use": {
                "web_search_requests": usage.web_search_requests,
                "web_fetch_requests": 0,
            },
        },
    }
    found = extract_usage(answer, provider_id="anthropic").usage
    context = {"speed": usage.speed} if usage.speed else None
    return calc_price(
        found, model, provider_id="anthropic", genai_request_timestamp=day, price_context=context
    ).total_price
