"""Fallback: answers that another model is asked to better, models that the money does
not reach, retries in line.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AttemptError, BudgetExhausted, CircuitOpen, Draining, NotServed
from claudebatch.core.events import Event, FellBack
from claudebatch.layers.fallback.layer import Fallback
from tests.support.scripted import (
    HAIKU,
    OPUS,
    SONNET,
    ScriptedClient,
    bad_request,
    make_call,
    make_reply,
    overloaded,
    rate_limited,
)
from tests.support.virtual import now, virtual

CHAIN = (SONNET, OPUS)
UNWANTED = frozenset({"refusal"})


def hop(call: Call, model: str) -> Call:
    return replace(call, model=model)


def layer(events: list[Event] | None = None, *, unwanted: frozenset[str] = UNWANTED) -> Fallback:
    return Fallback(
        hop=hop,
        sleep=asyncio.sleep,
        rng=random.Random(0),
        emit=(events if events is not None else []).append,
        max_outage_s=900,
        unwanted=unwanted,
    )


def by_model(**answers: Callable[[Call], Reply | Exception]) -> ScriptedClient:
    """Answers for haiku, sonnet or opus as given, and as usual for the others."""

    def script(call: Call, before: int) -> Reply | Exception | None:
        make = answers.get(call.model.split("-")[1])
        return make(call) if make else None

    return ScriptedClient(script)


def asked(client: ScriptedClient) -> list[str]:
    return [sent.call.model for sent in client.sent]


def refusal(call: Call, **facts: object) -> Reply:
    return make_reply("", model=call.model, stop_reason="refusal", **{"cost": 7, **facts})


def good(call: Call) -> Reply:
    return make_reply(model=call.model, cost=100)


def fails(make: Callable[[], Exception]) -> Callable[[Call], Exception]:
    return lambda call: make()


def shut() -> CircuitOpen:
    return CircuitOpen("pool", probe_in_s=5.0, open_for_s=1.0)


def poor() -> BudgetExhausted:
    return BudgetExhausted("does not fit", needed=9)


def gone() -> NotServed:
    return NotServed("no such model", type="not_found_error", status=404)


def handed_over() -> AttemptError:
    error = overloaded()
    error.handed_over = True
    return error


@virtual
async def test_a_refusal_is_an_answer_unless_another_is_asked_for():
    client = by_model(haiku=refusal)
    reply = await layer(unwanted=frozenset())(make_call(fallbacks=CHAIN), client)
    assert (reply.stop_reason, reply.fallback_reason, asked(client)) == ("refusal", None, [HAIKU])
    assert (await layer()(make_call(), by_model(haiku=refusal))).stop_reason == "refusal", (
        "without a chain it stays"
    )


@virtual
async def test_a_refusal_is_bettered_by_the_next_model_and_both_are_counted():
    events: list[Event] = []
    client = by_model(haiku=refusal, sonnet=refusal, opus=good)
    reply = await layer(events)(make_call(fallbacks=CHAIN), client)
    assert (reply.model, reply.stop_reason, reply.fallback_reason) == (OPUS, "end_turn", "refusal")
    assert reply.cost == 7 + 7 + 100, "what the row has cost"
    assert events == [
        FellBack("row-1", HAIKU, SONNET, "refusal"),
        FellBack("row-1", SONNET, OPUS, "refusal"),
    ]


@virtual
async def test_a_price_that_nobody_knows_stays_unknown_in_the_sum():
    client = by_model(haiku=lambda call: refusal(call, cost=0, cost_known=False), sonnet=good)
    assert not (await layer()(make_call(fallbacks=CHAIN), client)).cost_known


@virtual
async def test_when_every_model_refuses_the_first_refusal_is_the_answer():
    client = by_model(haiku=refusal, sonnet=refusal, opus=refusal)
    reply = await layer()(make_call(fallbacks=CHAIN), client)
    assert (reply.model, reply.stop_reason, reply.fallback_reason) == (HAIKU, "refusal", None)
    assert (reply.cost, len(client.sent)) == (21, 3)


@pytest.mark.parametrize(
    "make", [overloaded, gone, bad_request, rate_limited, poor, shut, handed_over]
)
@virtual
async def test_an_answer_in_hand_is_never_risked_for_a_better_one(make):
    client = by_model(haiku=refusal, sonnet=fails(make), opus=fails(make))
    reply = await layer()(make_call(fallbacks=CHAIN), client)
    assert (reply.model, reply.stop_reason, reply.cost) == (HAIKU, "refusal", 7)
    assert now() == 0, "nor is anything waited for"


@virtual
async def test_a_refusal_after_a_failure_is_the_answer_and_says_who_was_asked_first():
    client = by_model(haiku=fails(overloaded), sonnet=refusal, opus=fails(overloaded))
    reply = await layer()(make_call(fallbacks=CHAIN), client)
    assert (reply.model, reply.stop_reason, reply.fallback_reason) == (
        SONNET,
        "refusal",
        "overloaded_error",
    )


@pytest.mark.parametrize(
    "stop_reason", ["max_tokens", "model_context_window_exceeded", "pause_turn", "end_turn"]
)
@virtual
async def test_other_answers_are_left_alone(stop_reason):
    client = by_model(haiku=lambda call: make_reply(model=call.model, stop_reason=stop_reason))
    assert (await layer()(make_call(fallbacks=CHAIN), client)).model == HAIKU


@virtual
async def test_a_model_that_the_money_does_not_reach_is_passed_by():
    events: list[Event] = []
    client = by_model(haiku=fails(overloaded), sonnet=fails(poor))
    reply = await layer(events)(make_call(fallbacks=CHAIN), client)
    assert (reply.model, reply.fallback_reason) == (OPUS, "overloaded_error")
    assert events[-1] == FellBack("row-1", SONNET, OPUS, "budget")


@virtual
async def test_a_row_that_only_money_keeps_from_its_answer_stays_to_be_done():
    for others in ({"opus": fails(poor)}, {"sonnet": fails(poor), "opus": fails(overloaded)}):
        client = by_model(**{"haiku": fails(overloaded), "sonnet": fails(overloaded), **others})
        with pytest.raises(BudgetExhausted):
            await layer()(make_call(fallbacks=CHAIN), client)


@virtual
async def test_a_rows_own_fault_is_told_though_there_was_a_model_too_dear():
    client = by_model(haiku=fails(overloaded), sonnet=fails(poor), opus=fails(bad_request))
    with pytest.raises(AttemptError) as caught:
        await layer()(make_call(fallbacks=CHAIN), client)
    assert caught.value.type == "invalid_request_error"


@virtual
async def test_a_shut_pool_is_waited_for_where_the_money_does_not_reach_the_next_model():
    def script(call: Call, before: int) -> Exception | None:
        return (shut() if before == 0 else None) if call.model == HAIKU else poor()

    client = ScriptedClient(script)
    reply = await layer()(make_call(fallbacks=CHAIN), client)
    assert (reply.model, reply.fallback_reason) == (HAIKU, None)
    assert 5 <= now() <= 7.5


@virtual
async def test_money_that_does_not_reach_the_first_model_buys_no_cheaper_one():
    client = by_model(haiku=fails(poor))
    with pytest.raises(BudgetExhausted):
        await layer()(make_call(fallbacks=CHAIN), client)
    assert asked(client) == [HAIKU]


@pytest.mark.parametrize("others", [gone, overloaded, bad_request, poor, shut])
@virtual
async def test_a_retry_that_nobody_took_over_goes_back_into_its_line(others):
    def script(call: Call, before: int) -> Exception | None:
        if call.model != HAIKU:
            return others()
        return handed_over() if call.route.fallbacks else None

    client = ScriptedClient(script)
    reply = await layer()(make_call(fallbacks=CHAIN), client)
    assert (reply.model, reply.fallback_reason) == (HAIKU, None)
    assert client.sent[-1].call.route.fallbacks == (), "there is nobody left to hand it over to"
    assert now() == 0


@virtual
async def test_a_retry_handed_over_in_the_middle_of_a_chain_goes_back_to_that_model():
    def script(call: Call, before: int) -> Exception | None:
        return (handed_over() if call.route.fallbacks else None) if call.model == SONNET else gone()

    reply = await layer()(make_call(fallbacks=CHAIN), client := ScriptedClient(script))
    assert asked(client) == [HAIKU, SONNET, OPUS, SONNET]
    assert (reply.model, reply.fallback_reason) == (SONNET, "not_found_error")


@virtual
async def test_it_fails_with_what_that_line_came_to():
    def script(call: Call, before: int) -> Exception:
        return (
            (handed_over() if call.route.fallbacks else overloaded())
            if call.model == HAIKU
            else gone()
        )

    with pytest.raises(AttemptError) as caught:
        await layer()(make_call(fallbacks=CHAIN), ScriptedClient(script))
    assert caught.value.type == "overloaded_error"


@virtual
async def test_a_stop_on_the_way_down_the_chain_is_a_stop():
    with pytest.raises(Draining):
        await layer()(
            make_call(fallbacks=CHAIN),
            by_model(haiku=refusal, sonnet=fails(lambda: Draining("stop"))),
        )
