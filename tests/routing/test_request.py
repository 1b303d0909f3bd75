"""Calls: canonical bytes, the right size, and hops that keep the row."""

import msgspec
import pytest

from claudebatch.core.domain import Prompt
from claudebatch.core.errors import NotServed
from claudebatch.models.catalog import Catalog
from claudebatch.models.tokens import measure
from claudebatch.routing.request import CallBuilder, request_body, token_estimator
from claudebatch.routing.router import Router
from claudebatch.routing.rules import parse_rules

CATALOG = Catalog.load()
HAIKU, SONNET, OLD_HAIKU = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-haiku-4-5"


def prompt(**params):
    return Prompt(
        "1", {"max_tokens": 4_096, "messages": [{"role": "user", "content": "hi"}], **params}
    )


def builder(expected_output=None, rules=()):
    router = Router(
        parse_rules(rules, "rules"),
        HAIKU,
        fallbacks={HAIKU: [SONNET]},
        estimate_tokens=token_estimator(CATALOG, HAIKU),
    )
    return CallBuilder(
        CATALOG, router, expected_output=expected_output, deadline=lambda tokens: tokens / 10
    )


def test_the_body_is_the_same_whatever_the_order_of_the_fields():
    one = request_body(HAIKU, {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
    two = request_body(HAIKU, {"messages": [{"content": "hi", "role": "user"}], "max_tokens": 9})
    assert one == two
    assert msgspec.json.decode(one)["model"] == HAIKU


def test_another_model_is_another_body():
    assert request_body(HAIKU, prompt().params) != request_body(SONNET, prompt().params)


def test_the_first_call_is_the_routes():
    asked = prompt(thinking={"type": "disabled"})
    call = builder().first(7, asked)
    assert (call.row, call.prompt, call.model) == (7, asked, HAIKU)
    assert (call.route.rule, call.route.fallbacks) == ("default", (SONNET,))
    assert msgspec.json.decode(call.body) == {**asked.params, "model": HAIKU}
    assert call.size == measure(asked.params, call.body, CATALOG.facts(HAIKU))
    assert call.deadline_s == 409.6


def test_a_hop_keeps_row_prompt_and_route_and_speaks_the_next_models_words():
    build = builder()
    call = build.first(7, prompt(thinking={"type": "disabled"}, max_tokens=100_000))
    hopped = build.hop(call, SONNET)
    assert (hopped.row, hopped.prompt, hopped.route) == (call.row, call.prompt, call.route)
    assert hopped.model == SONNET
    assert msgspec.json.decode(hopped.body)["thinking"] == {"type": "between_tools"}
    again = build.hop(hopped, OLD_HAIKU)
    assert msgspec.json.decode(again.body)["thinking"] == {"type": "disabled"}
    assert again.size.output_bound == 64_000
    assert again.deadline_s == 6_400


def test_a_hop_that_cannot_be_said_is_not_served():
    begun = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "{"}]
    call = builder().first(1, Prompt("1", {"max_tokens": 9, "messages": begun}, model=OLD_HAIKU))
    with pytest.raises(NotServed):
        builder().hop(call, SONNET)


def test_expected_output_reaches_the_size():
    assert builder(expected_output=33).first(1, prompt()).size.output_tokens == 33


def test_rules_measure_every_prompt_in_the_same_tokens():
    long = prompt(messages=[{"role": "user", "content": "word " * 1_000}])
    rules = [{"name": "long", "when": {"input_tokens": {"min": 1_000}}, "model": SONNET}]
    assert builder(rules=rules).first(1, long).route.rule == "long"
    assert builder(rules=rules).first(1, prompt()).route.rule == "default"
