"""What the prompt cache saved is the difference to the same answer without it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from claudebatch.core.domain import PromptSavings, Usage
from claudebatch.models.prices import PriceBook

BOOK = PriceBook.load(at=datetime(2026, 11, 30, tzinfo=UTC))
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
USAGES = [
    Usage(100, 50, 4000, 0, 0),
    Usage(100, 50, 0, 4000, 0),
    Usage(100, 50, 0, 0, 4000),
    Usage(100, 50, 300, 700, 90_000),
    Usage(0, 0, 0, 0, 200_000),
    Usage(100, 50, 0, 0, 4000, web_search_requests=3),
]


@pytest.mark.parametrize("usage", USAGES, ids=str)
@pytest.mark.parametrize("how", [{}, {"inference_geo": "us"}, {"service_tier": "batch"}], ids=str)
@pytest.mark.parametrize("model", [OPUS, HAIKU])
def test_it_is_the_difference_to_the_cost_of_the_same_answer_uncached(usage, how, model):
    usage = replace(usage, **how)
    cost = BOOK.cost(model, usage)
    plain = replace(
        usage,
        input_tokens=usage.total_input,
        ephemeral_5m_input_tokens=0,
        ephemeral_1h_input_tokens=0,
        cache_read_input_tokens=0,
    )
    found = BOOK.prompt_savings(model, usage, cost)
    assert found.saved == pytest.approx(BOOK.cost(model, plain) - cost, abs=2)


def test_writes_are_what_their_tokens_cost():
    usage = Usage(100, 50, 300, 700, 90_000)
    found = BOOK.prompt_savings(OPUS, usage, BOOK.cost(OPUS, usage))
    assert found.writes == 300 * 5_000_000 + 700 * 8_000_000
    half = BOOK.prompt_savings(OPUS, usage, BOOK.batch_cost(OPUS, usage))
    assert half.writes * 2 == found.writes
    assert half.saved * 2 == pytest.approx(found.saved, abs=2)


def test_answers_without_a_cache_saved_nothing():
    assert BOOK.prompt_savings(OPUS, Usage(100, 50), 1000) == PromptSavings()
    assert BOOK.prompt_savings("claude-unheard-of", USAGES[0], 1000) == PromptSavings()
    assert BOOK.prompt_savings(OPUS, Usage(cache_read_input_tokens=5), 0) == PromptSavings()


def test_writes_that_nobody_reads_are_a_loss():
    found = BOOK.prompt_savings(OPUS, USAGES[0], BOOK.cost(OPUS, USAGES[0]))
    assert found.saved == -4000 * 1_000_000


def test_savings_add_up():
    assert PromptSavings(1, 2) + PromptSavings(10, 20) == PromptSavings(11, 22)
