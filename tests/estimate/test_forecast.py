"""What one row is expected to take and to cost."""

from __future__ import annotations

from decimal import Decimal

import pytest

from claudebatch.core.domain import Usage, from_usd
from claudebatch.estimate.forecast import Forecast, SampleRatio
from claudebatch.estimate.history import History
from claudebatch.estimate.request_shape import RequestShape
from claudebatch.models.prices import PriceBook, UnknownPrice
from tests.estimate.test_history import HAIKU, SONNET, answer
from tests.support.parts import TODAY, make_bench

PRICES = PriceBook.load(at=TODAY)
ROW = RequestShape(HAIKU, "short", 100, 400, 8192)
CACHING = RequestShape(HAIKU, "short", 100, 400, 8192, caches=True)


def forecast(*answers, **more) -> Forecast:
    return Forecast(PRICES, History((0, one) for one in answers), **more)


def cost(found: Forecast, row: RequestShape) -> int:
    return found.cost(row, found.expect(row))


def test_without_history_the_rules_of_thumb_hold():
    found = forecast()
    assert cost(found, ROW) == PRICES.cost(HAIKU, Usage(100, 400))
    assert found.cost(ROW, found.at_least(ROW)) == PRICES.cost(HAIKU, Usage(80, 200))
    assert (
        found.input_basis(HAIKU, "short").method,
        found.output_basis(HAIKU, "short", 5).method,
    ) == ("rule", "rule")


def test_with_history_a_row_takes_what_rows_like_it_took():
    found = forecast(*[answer(100)] * 10, *[answer(300)] * 10)
    assert cost(found, ROW) == PRICES.cost(HAIKU, Usage(90, 200, inference_geo="global"))
    outputs = found.output_basis(HAIKU, "short", 5)
    assert (outputs.method, outputs.sample, outputs.low, outputs.high) == ("history", 20, 100, 300)
    assert found.input_basis(HAIKU, "short").factor == pytest.approx(0.9)


def test_a_mean_that_is_no_whole_number_is_not_rounded():
    """Answers of 8 or 9 tokens cost between the two, not as much as 8."""
    found = forecast(*[answer(8)] * 10, *[answer(9)] * 10)
    eight, nine = (PRICES.cost(HAIKU, Usage(90, n)) for n in (8, 9))
    assert cost(found, ROW) == (eight + nine) // 2


def test_no_answer_is_expected_to_pass_max_tokens():
    found = forecast(*[answer(100)] * 10, *[answer(5000)] * 10)
    short = RequestShape(HAIKU, "short", 100, 400, 60)
    assert found.expect(short).output_tokens == 60
    assert found.at_least(short).output_tokens == 60


def test_lengths_that_the_user_gave_win_over_history():
    found = forecast(*[answer(100)] * 20, configured_output=True)
    assert found.expect(ROW).output_tokens == 400
    assert found.output_basis(HAIKU, "short", 5).method == "configured"
    assert found.input_basis(HAIKU, "short").method == "history"


def test_a_count_by_the_api_wins_over_what_was_learned_of_input():
    found = forecast(*[answer()] * 20, counted={HAIKU: SampleRatio(1.2, 0.05, 30)})
    assert found.expect(ROW).usage.total_input == 120
    basis = found.input_basis(HAIKU, "short")
    assert (basis.method, basis.sample, basis.error) == ("counted", 30, 0.05)


def test_reads_of_the_prompt_cache_are_expected_at_their_price_where_a_row_asks_for_them():
    read = answer(input_tokens=10, cache_read_input_tokens=80)
    found = forecast(*[read] * 20)
    assert found.expect(CACHING).usage == Usage(
        10, cache_read_input_tokens=80, inference_geo="global"
    )
    assert found.expect(ROW).usage == Usage(90, inference_geo="global")
    assert cost(found, CACHING) < cost(found, ROW)


def test_a_count_keeps_the_mix_of_the_prompt_cache():
    found = forecast(
        *[answer(input_tokens=10, cache_read_input_tokens=80)] * 20,
        counted={HAIKU: SampleRatio(1.8, 0.0, 9)},
    )
    assert found.expect(CACHING).usage == Usage(
        20, cache_read_input_tokens=160, inference_geo="global"
    )


def test_the_surcharge_of_the_place_where_answers_were_made_is_expected_again():
    found, anywhere = forecast(*[answer(inference_geo="us")] * 20), forecast(*[answer()] * 20)
    assert cost(found, ROW) == cost(anywhere, ROW) * 11 // 10


def test_searches_are_expected_of_rows_that_may_search():
    found = forecast(*[answer(web_search_requests=2)] * 10, *[answer(web_search_requests=1)] * 10)
    searching = RequestShape(HAIKU, "short", 100, 400, 8192, searches=True)
    assert cost(found, searching) - cost(found, ROW) == from_usd(Decimal("0.015"))  # one and a half


def test_the_batches_api_costs_half():
    found = forecast(*[answer(100)] * 20)
    assert found.batch_cost(ROW, found.expect(ROW)) * 2 == pytest.approx(cost(found, ROW), abs=2)


def test_a_row_at_another_model_takes_what_it_takes_at_its_own_until_that_one_is_known():
    found = forecast(*[answer(100)] * 20)
    there = RequestShape(SONNET, "short", 100, 800, 8192)
    expected = found.expect(there, like=ROW, longer=1.5)
    assert (expected.usage.total_input, expected.output_tokens) == (90, 150)
    known = forecast(*[answer(100)] * 20, *[answer(700, model=SONNET, input_tokens=80)] * 20)
    expected = known.expect(there, like=ROW, longer=1.5)
    assert (expected.usage.total_input, expected.output_tokens) == (80, 700)


def test_a_model_without_a_price_has_no_cost():
    found, row = forecast(), RequestShape("claude-nobody-1", "short", 100, 400, 8192)
    with pytest.raises(UnknownPrice):
        cost(found, row)


async def test_the_cost_of_a_call_is_that_of_what_it_asks():
    call = make_bench().call("x" * 600)
    assert forecast().cost_of(call) == PRICES.cost(
        HAIKU, Usage(call.size.input_tokens, call.size.output_tokens)
    )
    call = make_bench(model="claude-nobody-1").call()
    assert forecast().cost_of(call) == 0
