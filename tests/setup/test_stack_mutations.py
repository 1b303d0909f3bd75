"""No claim holds by accident: in any other order, without any one layer, or with a
poorer key, some claim fails.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from claudebatch.core.domain import Call
from claudebatch.core.handler import Handler, Layer, nest
from claudebatch.core.jsonl import decode, encode
from claudebatch.setup import stack
from tests.setup.claims import CLAIMS
from tests.support.virtual import run_virtual

ORDER = (
    *("Fallback", "ResponseCache", "StructuredAnswers", "Retry", "PromptCaching"),
    *("CircuitBreaker", "Budget", "RateLimit", "Record"),
)
LONGEST_S = 36_000
"""Virtual seconds after which a claim counts as failed: nothing in them takes that
long.
"""

# What each neighbour's place is for: the claim that fails when the two change places.
NEIGHBOURS = {
    (
        "Fallback",
        "ResponseCache",
    ): "an_answer_of_a_fallback_is_kept_as_its_own_and_not_as_the_first_models",
    ("ResponseCache", "StructuredAnswers"): "an_answer_that_fits_no_schema_is_never_kept",
    ("StructuredAnswers", "Retry"): "every_request_of_a_row_is_counted_unfit_or_failed",
    ("Retry", "PromptCaching"): "the_lead_goes_on_while_its_row_waits_for_a_retry",
    (
        "PromptCaching",
        "CircuitBreaker",
    ): "no_row_that_waits_for_anothers_answer_is_a_probe",
    ("CircuitBreaker", "Budget"): "a_shut_pool_takes_no_money",
    ("Budget", "RateLimit"): "a_refused_budget_takes_no_capacity",
    ("RateLimit", "Record"): "a_request_is_written_down_when_it_leaves_and_not_while_it_waits",
}

Change = Callable[[list[Layer]], list[Layer]]


def name_of(layer: Layer) -> str:
    return type(layer).__name__


def swapped(one: str, other: str) -> Change:
    def change(layers: list[Layer]) -> list[Layer]:
        places = {name_of(layer): place for place, layer in enumerate(layers)}
        a, b = places[one], places[other]
        layers[a], layers[b] = layers[b], layers[a]
        return layers

    return change


def without(name: str) -> Change:
    return lambda layers: [layer for layer in layers if name_of(layer) != name]


def holds(name: str) -> bool:
    async def within_reason() -> None:
        # What a broken claim leaves behind is no news.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await asyncio.wait_for(CLAIMS[name](), LONGEST_S)

    try:
        run_virtual(within_reason())
    except Exception:
        return False
    return True


def failing() -> list[str]:
    return [name for name in CLAIMS if not holds(name)]


@pytest.fixture
def change_layers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], None]:
    """Makes `build_stack` nest its layers in another order."""

    def apply(change: Change) -> None:
        def other(layers: Sequence[Layer], innermost: Handler) -> Handler:
            return nest(change(list(layers)), innermost)

        monkeypatch.setattr(stack, "nest", other)

    return apply


def test_the_layers_are_those_of_the_design_in_its_order(change_layers):
    seen: list[list[str]] = []

    def look(layers: list[Layer]) -> list[Layer]:
        seen.append([name_of(layer) for layer in layers])
        return layers

    change_layers(look)
    assert failing() == [], "unchanged, all claims hold"
    assert {tuple(names) for names in seen} == {ORDER}


@pytest.mark.parametrize("pair", NEIGHBOURS, ids="-".join)
def test_each_layers_place_beside_its_neighbour_is_held_by_a_claim(pair, change_layers):
    change_layers(swapped(*pair))
    assert not holds(NEIGHBOURS[pair])


@pytest.mark.parametrize("pair", [*itertools.combinations(ORDER, 2)], ids="-".join)
def test_no_two_layers_can_change_places_unnoticed(pair, change_layers):
    change_layers(swapped(*pair))
    assert any(not holds(name) for name in CLAIMS)


@pytest.mark.parametrize("name", ORDER)
def test_no_layer_can_be_left_out_unnoticed(name, change_layers):
    change_layers(without(name))
    assert any(not holds(claim) for claim in CLAIMS)


def test_the_model_cannot_be_dropped_from_the_cache_key_unnoticed(monkeypatch: pytest.MonkeyPatch):
    cache_key = stack.cache_key

    def without_model(call: Call, **how: Any) -> str:
        body = {name: value for name, value in decode(call.body).items() if name != "model"}
        return cache_key(replace(call, body=encode(body)), **how)

    monkeypatch.setattr(stack, "cache_key", without_model)
    assert set(failing()) >= {
        "the_model_that_answers_is_in_the_cache_key",
        "equal_calls_of_two_models_in_flight_are_two_calls",
    }
