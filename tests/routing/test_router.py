"""The router: who decides, in which order, and what comes after."""

import pytest

from claudebatch.core.domain import Prompt, Route
from claudebatch.routing.router import Router
from claudebatch.routing.rules import parse_rules

HAIKU, SONNET, OPUS = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"


def prompt(model=None, tags=()):
    return Prompt(
        "1",
        {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
        model=model,
        tags=tags,
    )


def router(override=None, tokens=10, fallbacks=None):
    rules = parse_rules(
        [
            {"name": "hard", "when": {"tags": ["hard"]}, "model": OPUS},
            {"name": "also hard", "when": {"tags": ["hard", "new"]}, "model": "claude-fable-5-2"},
            {"name": "short", "when": {"input_tokens": {"max": 50}}, "model": HAIKU},
        ],
        "rules",
    )
    return Router(
        rules,
        SONNET,
        fallbacks=fallbacks or {},
        override=override,
        estimate_tokens=lambda _: tokens,
    )


def test_the_first_rule_that_matches_wins():
    assert router().route(prompt(tags=("hard",))) == Route(OPUS, "hard")
    assert router().route(prompt(tags=("new",))) == Route("claude-fable-5-2", "also hard")
    assert router().route(prompt()) == Route(HAIKU, "short")


def test_what_no_rule_matches_goes_to_the_default():
    assert router(tokens=51).route(prompt()) == Route(SONNET, "default")


def test_the_commands_model_wins_over_rules():
    assert router(override=HAIKU).route(prompt(tags=("hard",))) == Route(HAIKU, "--model")


@pytest.mark.parametrize("override", [None, HAIKU])
def test_a_lines_own_model_wins_over_everything(override):
    assert router(override=override).route(prompt(model=SONNET, tags=("hard",))) == Route(
        SONNET, "line"
    )


def test_a_line_with_its_own_model_is_not_estimated():
    def never(_):
        raise AssertionError

    routed = Router((), HAIKU, fallbacks={}, estimate_tokens=never)
    assert routed.route(prompt(model=OPUS)).model == OPUS
    assert routed.route(prompt()).model == HAIKU


def test_the_chain_belongs_to_the_chosen_model_without_itself_and_without_repeats():
    chains = {OPUS: [SONNET, OPUS, HAIKU, SONNET], SONNET: [HAIKU]}
    routed = router(fallbacks=chains)
    assert routed.route(prompt(tags=("hard",))).fallbacks == (SONNET, HAIKU)
    assert routed.route(prompt(model=SONNET)).fallbacks == (HAIKU,)
    assert routed.route(prompt()).fallbacks == ()


def test_the_router_names_every_model_that_it_may_send_to():
    named = router(override="claude-opus-5", fallbacks={OPUS: ["claude-opus-4-8", SONNET]}).models
    assert sorted(named) == sorted(
        [OPUS, "claude-fable-5-2", HAIKU, SONNET, "claude-opus-5", "claude-opus-4-8"]
    )
