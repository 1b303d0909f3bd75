"""The chain over the real stack: what it asks, what that costs, and where it is written
down.
"""

from __future__ import annotations

from typing import Any

from claudebatch.core.domain import Call, Reply, Succeeded
from claudebatch.core.events import FellBack, Waiting
from claudebatch.core.result_lines import head
from claudebatch.setup.stack import build_stack
from tests.support.parts import make_bench
from tests.support.scripted import HAIKU, OPUS, SONNET, ScriptedClient, make_reply, overloaded
from tests.support.virtual import now, virtual

CHAIN = {HAIKU: [SONNET]}
ONCE: dict[str, Any] = {"retry": {"max_attempts": 1}, "breaker": {"minimum_calls": 10_000}}


def haiku_refuses(call: Call, before: int) -> Reply | None:
    return make_reply("", model=HAIKU, stop_reason="refusal") if call.model == HAIKU else None


@virtual
async def test_a_refusal_and_the_answer_that_betters_it_are_both_paid_and_both_written_down():
    bench = make_bench(cap=10**12, fallbacks=CHAIN, fallback_on=["refusal"])
    client = ScriptedClient(haiku_refuses)
    call = bench.call()
    reply = await build_stack(bench.parts, client)(call)
    prices = bench.run_setup.prices
    each = [prices.cost(model, reply.usage) for model in (HAIKU, SONNET)]
    assert [entry.cost for entry in bench.log.entries] == each
    assert reply.cost == sum(each) == bench.budget_store.spent
    assert [event.reason for event in bench.told(FellBack)] == ["refusal"]
    line = head(Succeeded(call, reply))
    for part in (
        b'"model":"claude-sonnet-5-5"',
        b'"requested_model":"claude-haiku-5-5"',
        b'"fallback_reason":"refusal"',
    ):
        assert part in line


@virtual
async def test_an_answer_whose_window_was_full_is_bettered_only_on_request():
    def script(call: Call, before: int) -> Reply | None:
        full = "model_context_window_exceeded"
        return make_reply(model=HAIKU, stop_reason=full) if call.model == HAIKU else None

    for asked, model in (
        ([], HAIKU),
        (["refusal"], HAIKU),
        (["model_context_window_exceeded"], SONNET),
    ):
        bench = make_bench(fallbacks=CHAIN, fallback_on=asked)
        assert (await build_stack(bench.parts, ScriptedClient(script))(bench.call())).model == model


@virtual
async def test_a_refusal_stays_the_answer_when_the_money_does_not_reach_the_next_model():
    cap = make_bench().worst(make_bench().call())
    bench = make_bench(cap=cap, fallbacks=CHAIN, fallback_on=["refusal"])
    reply = await build_stack(bench.parts, client := ScriptedClient(haiku_refuses))(bench.call())
    assert (reply.stop_reason, len(client.sent)) == ("refusal", 1)
    assert bench.budget_store.spent == reply.cost <= cap


@virtual
async def test_a_chain_goes_past_a_model_that_is_too_dear_to_one_that_is_not():
    cheap, dear = (make_bench().worst(make_bench().call(model=model)) for model in (HAIKU, OPUS))
    assert cheap < dear
    bench = make_bench(cap=dear - 1, model=SONNET, fallbacks={SONNET: [OPUS, HAIKU]}, **ONCE)
    client = ScriptedClient(lambda call, before: overloaded() if call.model == SONNET else None)
    reply = await build_stack(bench.parts, client)(bench.call())
    assert [sent.call.model for sent in client.sent] == [SONNET, HAIKU]
    assert (reply.model, reply.fallback_reason) == (HAIKU, "overloaded_error")


@virtual
async def test_a_row_whose_pool_is_shut_waits_for_it_when_the_next_model_is_too_dear():
    cap = make_bench().worst(make_bench().call("opens it"))
    bench = make_bench(
        cap=cap,
        fallbacks=CHAIN,
        retry={"max_attempts": 1},
        breaker={"minimum_calls": 1, "wait_open_s": 5},
    )
    client = ScriptedClient(lambda call, before: overloaded() if before == 0 else None)
    stack = build_stack(bench.parts, client)
    first = await stack(bench.call("opens it"))
    assert (first.model, first.fallback_reason, first.attempts) == (HAIKU, None, 2), (
        "an outage takes no attempts, and the model that is left does not fit"
    )
    assert 5 <= now() <= 7.5
    assert [(wait.pool, wait.reason) for wait in bench.told(Waiting)] == [
        ("haiku-5.5", "circuit open")
    ]
