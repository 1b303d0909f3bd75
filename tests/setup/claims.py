"""What the order of the layers promises, each claim as a plain async function over the
real `build_stack`.

`test_stack_claims` shows that they hold; `test_stack_mutations` shows that none of them
holds by accident.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AttemptError, BudgetExhausted, Draining
from claudebatch.core.events import FellBack, Retrying
from claudebatch.core.handler import Handler
from claudebatch.layers.prompt_caching.own_marks import without_marks
from claudebatch.layers.prompt_caching.placed import PlacedCall
from claudebatch.setup.stack import build_stack
from tests.support.caching_api import CachingApi
from tests.support.parts import Bench, make_bench
from tests.support.scripted import (
    HAIKU,
    OPUS,
    SONNET,
    MemoryCache,
    ScriptedClient,
    make_reply,
    overloaded,
    rate_limited,
    timed_out,
)
from tests.support.virtual import now

Claim: TypeAlias = Callable[[], Awaitable[None]]

HASTE = {"base_s": 0.01, "cap_s": 0.01, "max_attempts": 6}
"""Retries that hardly wait, so that whatever else makes them wait shows."""
PATIENT_BREAKER = {"minimum_calls": 10_000}
CHAIN = {HAIKU: [SONNET]}
MOOD = {
    "format": {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"mood": {"enum": ["good", "bad"]}},
            "required": ["mood"],
            "additionalProperties": False,
        },
    }
}


def rpm(requests_per_minute: float, *pools: str) -> dict[str, Any]:
    """Limits of the named pools and no others."""
    return {
        "tier": "none",
        "pools": {pool: {"requests_per_minute": requests_per_minute} for pool in pools},
    }


async def results(calls: list[Call], stack: Handler) -> list[Any]:
    """Replies and errors of *calls*, all made at once."""
    return await asyncio.gather(*(stack(call) for call in calls), return_exceptions=True)


def haiku_fails(call: Call, before: int) -> Exception | None:
    return overloaded() if call.model == HAIKU else None


async def a_cache_hit_takes_no_money_no_capacity_and_no_network() -> None:
    bench = make_bench(cap=10**12, limits=rpm(1, "haiku-5.5"))
    client = ScriptedClient()
    stack = build_stack(bench.parts, client)
    first = await stack(bench.call(row=1))
    holds, attempts, began = len(bench.budget_store.asked), len(bench.log.entries), now()
    hits = [await stack(bench.call(row=row)) for row in range(2, 202)]
    assert {(hit.source, hit.cost, hit.message) for hit in hits} == {("cache", 0, first.message)}
    assert (
        (len(bench.budget_store.asked), len(bench.log.entries), len(client.sent))
        == (holds, attempts, 1)
        == (1, 1, 1)
    )
    assert now() - began < 1, "at one request a minute they would take three hours"


async def a_cache_hit_is_served_when_the_money_is_gone_and_the_pool_is_shut() -> None:
    cache, healthy = MemoryCache(), ScriptedClient()
    first = make_bench(cache=cache)
    await build_stack(first.parts, healthy)(first.call("kept"))
    bench = make_bench(cap=0, cache=cache)
    assert (await build_stack(bench.parts, healthy)(bench.call("kept"))).source == "cache"
    bench = make_bench(cache=cache, breaker={"minimum_calls": 1}, retry={"max_attempts": 1})
    stack = build_stack(bench.parts, ScriptedClient(lambda call, before: overloaded()))
    await results([bench.call("other")], stack)
    began = now()
    assert (await stack(bench.call("kept"))).source == "cache"
    assert now() - began < 1


async def the_model_that_answers_is_in_the_cache_key() -> None:
    bench, client = make_bench(), ScriptedClient()
    stack = build_stack(bench.parts, client)
    replies = [await stack(bench.call("same", model=model)) for model in (HAIKU, OPUS, HAIKU, OPUS)]
    assert [reply.model for reply in replies] == [HAIKU, OPUS, HAIKU, OPUS]
    assert [reply.source for reply in replies] == ["api", "api", "cache", "cache"]


async def equal_calls_of_two_models_in_flight_are_two_calls() -> None:
    bench, client = make_bench(), ScriptedClient(takes_s=1)
    calls = [bench.call("same", row=row, model=(HAIKU, OPUS)[row % 2]) for row in range(10)]
    replies = await results(calls, build_stack(bench.parts, client))
    assert [reply.model for reply in replies] == [call.model for call in calls]
    assert len(client.sent) == 2


async def an_answer_of_a_fallback_is_kept_as_its_own_and_not_as_the_first_models() -> None:
    bench = make_bench(fallbacks=CHAIN, retry={"max_attempts": 1}, breaker=PATIENT_BREAKER)
    client = ScriptedClient(
        lambda call, before: overloaded() if call.model == HAIKU and before == 0 else None
    )
    stack = build_stack(bench.parts, client)
    stood_in = await stack(bench.call(row=1))
    assert (stood_in.model, stood_in.fallback_reason) == (SONNET, "overloaded_error")
    again = await stack(bench.call(row=2))
    assert (again.model, again.source) == (HAIKU, "api"), (
        "the first model is asked, now that it serves"
    )
    assert (await stack(bench.call(row=3, model=SONNET))).source == "cache"


async def fifty_equal_calls_in_flight_are_one_call() -> None:
    bench, client = make_bench(cap=10**12), ScriptedClient(takes_s=1)
    replies = await results(
        [bench.call(row=row) for row in range(50)], build_stack(bench.parts, client)
    )
    assert (len(client.sent), len(bench.budget_store.asked)) == (1, 1)
    assert [reply.source for reply in replies] == ["api"] + ["duplicate"] * 49


async def equal_calls_share_one_row_of_retries() -> None:
    bench = make_bench(retry={**HASTE, "max_attempts": 3}, breaker=PATIENT_BREAKER)
    client = ScriptedClient(lambda call, before: overloaded(), takes_s=1)
    failed = await results(
        [bench.call(row=row) for row in range(50)], build_stack(bench.parts, client)
    )
    assert len(client.sent) == 3, "fifty rows are no reason to ask a struggling model fifty times"
    assert len(bench.told(Retrying)) == 2
    assert all(isinstance(error, AttemptError) and error.attempts == 3 for error in failed)


def unfit() -> Reply:
    return make_reply('{"mood":"so so"}')


async def an_answer_that_fits_no_schema_is_never_kept() -> None:
    bench = make_bench(schema_retries=1)
    client = ScriptedClient([unfit(), unfit(), make_reply('{"mood":"good"}')])
    stack = build_stack(bench.parts, client)
    assert not (await stack(bench.call(row=1, output_config=MOOD))).fits
    assert (len(client.sent), bench.cache.kept) == (2, {})
    answered = [await stack(bench.call(row=row, output_config=MOOD)) for row in (2, 3)]
    assert [(reply.source, reply.fits) for reply in answered] == [("api", True), ("cache", True)]
    assert (len(client.sent), len(bench.cache.kept)) == (3, 1)


async def every_request_of_a_row_is_counted_unfit_or_failed() -> None:
    bench = make_bench(cap=10**12, retry=HASTE, breaker=PATIENT_BREAKER)
    client = ScriptedClient([unfit(), overloaded(), overloaded(), make_reply('{"mood":"good"}')])
    reply = await build_stack(bench.parts, client)(bench.call(output_config=MOOD))
    assert (reply.text, reply.attempts) == ('{"mood":"good"}', 4)
    outcomes = [outcome for entry in bench.log.entries for outcome in entry.outcomes]
    assert outcomes == ["answered", "overloaded_error", "overloaded_error", "answered"]
    assert bench.budget_store.ended == ["settle", "release", "release", "settle"]
    assert reply.cost == sum(entry.cost for entry in bench.log.entries) == bench.budget_store.spent


async def a_retry_asks_the_breaker_too() -> None:
    bench = make_bench(retry=HASTE, breaker={"minimum_calls": 4, "wait_open_s": 10})
    client = ScriptedClient(lambda call, before: overloaded())
    stack = build_stack(bench.parts, client)
    waiting = [asyncio.ensure_future(stack(bench.call(f"row {row}", row=row))) for row in range(4)]
    await asyncio.sleep(9)
    assert len(client.sent) == 4, "it opened at the fourth failure, and nothing went out after that"
    bench.drain.start("enough")
    assert all(
        isinstance(end, Draining) for end in await asyncio.gather(*waiting, return_exceptions=True)
    )


async def a_shut_pool_takes_no_money() -> None:
    bench = make_bench(
        cap=10**12,
        fallbacks=CHAIN,
        retry={"max_attempts": 1},
        breaker={"minimum_calls": 1, "wait_open_s": 60},
    )
    client = ScriptedClient(haiku_fails)
    stack = build_stack(bench.parts, client)
    await stack(bench.call("opens it"))
    bench.budget_store.asked.clear()
    reply = await stack(call := bench.call("finds it shut"))
    assert (reply.model, reply.fallback_reason) == (SONNET, "circuit_open")
    assert bench.budget_store.asked == [bench.worst(bench.run_setup.builder.hop(call, SONNET))]


async def every_attempt_has_its_own_hold_and_an_unknown_one_stays_charged() -> None:
    bench, client = (
        make_bench(cap=10**12, retry=HASTE),
        ScriptedClient([timed_out(), overloaded(), timed_out(), None]),
    )
    call = bench.call()
    reply = await build_stack(bench.parts, client)(call)
    worst = bench.worst(call)
    assert reply.attempts == 4
    assert bench.budget_store.asked == [worst] * 4
    assert bench.budget_store.ended == ["forfeit", "release", "forfeit", "settle"]
    assert (bench.budget_store.spent, bench.budget_store.held) == (2 * worst + reply.cost, 0)
    assert [entry.unknown for entry in bench.log.entries] == [True, False, True, False]


async def a_retry_that_no_longer_fits_under_the_cap_is_not_sent() -> None:
    bench = make_bench(retry=HASTE)
    worst = bench.worst(bench.call())
    bench = make_bench(cap=2 * worst - 1, retry=HASTE)
    client = ScriptedClient([timed_out(), None])
    (refused,) = await results([bench.call()], build_stack(bench.parts, client))
    assert isinstance(refused, BudgetExhausted)
    assert (len(client.sent), bench.budget_store.spent) == (1, worst)


async def a_refused_budget_takes_no_capacity() -> None:
    cap = make_bench().worst(make_bench().call()) * 2
    bench = make_bench(cap=cap, limits=rpm(6, "haiku-5.5"))
    client = ScriptedClient()
    stack = build_stack(bench.parts, client)
    refused = await results(
        [bench.call(f"row {row}", max_tokens=100_000) for row in range(20)], stack
    )
    assert all(isinstance(error, BudgetExhausted) for error in refused)
    await stack(bench.call("small"))
    assert client.times == [0.0], "nobody before it took a turn"


async def retries_keep_to_the_pace() -> None:
    bench = make_bench(limits=rpm(60, "haiku-5.5"), retry=HASTE, breaker=PATIENT_BREAKER)
    client = ScriptedClient(lambda call, before: overloaded() if before < 15 else None)
    await results(
        [bench.call(f"row {row}", row=row) for row in range(5)], build_stack(bench.parts, client)
    )
    gaps = [b - a for a, b in zip(client.times, client.times[1:], strict=False)]
    assert len(client.sent) == 20 and min(gaps) > 0.999


async def a_429_makes_everybody_wait_and_costs_nobody_an_attempt() -> None:
    bench = make_bench(retry={**HASTE, "max_attempts": 1})
    client = ScriptedClient(
        lambda call, before: rate_limited(30.0) if before < 3 else None, takes_s=1
    )
    stack = build_stack(bench.parts, client)
    met = asyncio.ensure_future(
        results([bench.call(f"row {row}", row=row) for row in range(3)], stack)
    )
    await asyncio.sleep(5)
    later = await stack(bench.call("came later", row=4))
    assert all(isinstance(reply, Reply) for reply in [*await met, later])
    assert len(client.times) == 7 and all(at >= 31 for at in client.times[3:])


async def a_request_is_written_down_when_it_leaves_and_not_while_it_waits() -> None:
    bench, client = make_bench(limits=rpm(6, "haiku-5.5")), ScriptedClient()
    stack = build_stack(bench.parts, client)
    waiting = [asyncio.ensure_future(stack(bench.call(f"row {row}", row=row))) for row in range(5)]
    await asyncio.sleep(25)
    assert [entry.begun_at for entry in bench.log.entries] == client.times and len(client.sent) == 3
    bench.drain.start("interrupted")
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end).__name__ for end in ends] == ["Reply"] * 3 + ["Draining"] * 2
    assert len(bench.log.entries) == 3, "what never left may not count as money that is gone"
    assert bench.budget_store.held == 0


async def a_hop_has_its_own_key_pool_price_and_hold() -> None:
    bench = make_bench(
        cap=10**12,
        fallbacks=CHAIN,
        limits=rpm(1, "haiku-5.5"),
        retry={"max_attempts": 1},
        breaker=PATIENT_BREAKER,
    )
    client = ScriptedClient(haiku_fails)
    stack = build_stack(bench.parts, client)
    call = bench.call()
    hop = bench.run_setup.builder.hop(call, SONNET)
    reply = await stack(call)
    assert [sent.call.model for sent in client.sent] == [HAIKU, SONNET]
    assert now() == 0, "the first model's pace is not the second's"
    assert bench.budget_store.asked == [bench.worst(call), bench.worst(hop)] and bench.worst(
        call
    ) != bench.worst(hop)
    assert reply.cost == bench.run_setup.prices.cost(SONNET, reply.usage)
    assert [entry.call.model for entry in bench.log.entries] == [HAIKU, SONNET]
    assert [(event.model, event.next_model) for event in bench.told(FellBack)] == [(HAIKU, SONNET)]
    assert len(bench.cache.kept) == 1
    assert (await stack(bench.call(model=SONNET))).source == "cache"


async def a_hop_that_no_longer_fits_under_the_cap_is_not_sent() -> None:
    config: dict[str, Any] = {
        "fallbacks": CHAIN,
        "retry": {"max_attempts": 1},
        "breaker": PATIENT_BREAKER,
    }
    cap = make_bench().worst(make_bench().call())
    bench = make_bench(cap=cap, **config)
    client = ScriptedClient(haiku_fails)
    (refused,) = await results([bench.call()], build_stack(bench.parts, client))
    assert isinstance(refused, BudgetExhausted)
    assert len(client.sent) == 1 and bench.budget_store.spent == 0


async def whatever_goes_wrong_the_cap_holds_and_every_hold_ends_once() -> None:
    rng = random.Random(11)
    worst = make_bench().worst(make_bench().call())
    bench = make_bench(
        cap=30 * worst, fallbacks=CHAIN, retry={**HASTE, "max_attempts": 3}, concurrency=8
    )
    bill = 0

    def script(call: Call, before: int) -> Reply | Exception | None:
        nonlocal bill
        end = rng.choice(["answer", "answer", "529", "429", "timeout", "full"])
        reply = make_reply(model=call.model, usage={"output_tokens": 100 if end == "full" else 20})
        if end in ("answer", "full", "timeout"):
            bill += bench.run_setup.prices.cost(call.model, reply.usage)
            assert bill <= 30 * worst
        errors = {"529": overloaded(), "429": rate_limited(1.0), "timeout": timed_out()}
        return errors.get(end, replace(reply, cost=0))

    stack = build_stack(bench.parts, ScriptedClient(script, takes_s=0.5))
    ends = await results([bench.call(f"row {row % 150}", row=row) for row in range(200)], stack)
    unexpected = [
        end for end in ends if not isinstance(end, Reply | AttemptError | BudgetExhausted)
    ]
    assert unexpected == []
    assert any(isinstance(end, BudgetExhausted) for end in ends)
    assert bench.budget_store.highest <= 30 * worst and bench.budget_store.spent >= bill
    assert (bench.budget_store.held, len(bench.budget_store.ended)) == (
        0,
        bench.budget_store.granted,
    )
    assert all(len(entry.outcomes) == 1 for entry in bench.log.entries)
    # Not all that were granted: a call that waits while its breaker opens stays.
    assert len(bench.log.entries) == bench.budget_store.left, "every hold stands for one attempt"


SHARED = {
    "type": "text",
    "text": "A clause of the contract. " * 500,
    "cache_control": {"type": "ephemeral"},
}


def sharing(bench: Bench, rows: range, **params: Any) -> list[Call]:
    """Questions of *rows* about a text that all of them share."""
    system = [SHARED]
    return [
        bench.call(f"row {row}", row=row, model=SONNET, system=system, **params) for row in rows
    ]


async def a_shared_beginning_is_written_once() -> None:
    bench, api = make_bench(), CachingApi()
    await results(sharing(bench, range(20)), build_stack(bench.parts, api))
    assert (api.writes, len(api.came)) == (1, 20)


async def a_row_that_waits_for_anothers_answer_holds_no_money() -> None:
    bench, api = make_bench(cap=10**12), CachingApi()
    calls = sharing(bench, range(20))
    waiting = asyncio.ensure_future(results(calls, build_stack(bench.parts, api)))
    await asyncio.sleep(0.5)
    assert bench.budget_store.asked == [bench.worst(calls[0])]
    await waiting
    assert len(bench.budget_store.asked) == 20


async def a_row_that_waits_for_anothers_answer_takes_no_turn_in_the_pace() -> None:
    bench, api = make_bench(limits=rpm(6, "sonnet-5.5")), CachingApi()
    stack = build_stack(bench.parts, api)
    waiting = asyncio.ensure_future(results(sharing(bench, range(5)), stack))
    await asyncio.sleep(0.5)
    other = await stack(bench.call("of its own", row=9, model=SONNET))
    assert isinstance(other, Reply) and [row for _, row in api.came[:2]] == [0, 9]
    await waiting


async def the_lead_goes_on_while_its_row_waits_for_a_retry() -> None:
    bench = make_bench(retry={"base_s": 100, "cap_s": 100}, breaker=PATIENT_BREAKER)
    api = CachingApi(befalls=lambda call, number: overloaded() if number == 0 else None)
    stack = build_stack(bench.parts, api)
    first, *others = [asyncio.ensure_future(stack(call)) for call in sharing(bench, range(5))]
    await asyncio.gather(*others)
    assert now() < 20
    await first


async def no_row_that_waits_for_anothers_answer_is_a_probe() -> None:
    breaker = {"minimum_calls": 4, "wait_open_s": 10, "probes": 1}
    bench, down = make_bench(retry={"max_attempts": 1}, breaker=breaker), [True]
    slow = CachingApi(latency_s=500, streams=False)
    quick = CachingApi(befalls=lambda call, number: overloaded() if down[0] else None)

    async def client(call: Call) -> Reply:
        return await (slow if call.prompt.params.get("system") else quick)(call)

    stack = build_stack(bench.parts, client)
    plain = [bench.call(f"plain {row}", row=row, model=SONNET) for row in range(10, 15)]
    leader, *followers = sharing(bench, range(10))
    waiting = [asyncio.ensure_future(stack(leader))]
    await asyncio.sleep(1)
    waiting += [asyncio.ensure_future(results(plain[:4], stack))]
    await asyncio.sleep(1)
    down[0] = False
    waiting += [asyncio.ensure_future(results(followers, stack))]
    await asyncio.sleep(20)
    served = await stack(plain[4])
    assert isinstance(served, Reply) and now() < 60, "it may be sent, and shows that all may"
    await asyncio.gather(*waiting)


async def an_answer_is_found_whatever_is_cached_of_its_prompt() -> None:
    bench, api = make_bench(), CachingApi()
    marked = build_stack(bench.parts, api)
    (call,) = sharing(bench, range(1))

    def place(call: Call) -> PlacedCall:
        return PlacedCall(without_marks(call), None, 0.0)

    plain = build_stack(replace(bench.parts, place=place), api)
    assert [(await stack(call)).source for stack in (marked, plain)] == ["api", "cache"]


CLAIMS: dict[str, Claim] = {
    claim.__name__: claim
    for claim in (
        a_cache_hit_takes_no_money_no_capacity_and_no_network,
        a_cache_hit_is_served_when_the_money_is_gone_and_the_pool_is_shut,
        the_model_that_answers_is_in_the_cache_key,
        equal_calls_of_two_models_in_flight_are_two_calls,
        an_answer_of_a_fallback_is_kept_as_its_own_and_not_as_the_first_models,
        fifty_equal_calls_in_flight_are_one_call,
        equal_calls_share_one_row_of_retries,
        an_answer_that_fits_no_schema_is_never_kept,
        every_request_of_a_row_is_counted_unfit_or_failed,
        a_retry_asks_the_breaker_too,
        a_shut_pool_takes_no_money,
        every_attempt_has_its_own_hold_and_an_unknown_one_stays_charged,
        a_retry_that_no_longer_fits_under_the_cap_is_not_sent,
        a_refused_budget_takes_no_capacity,
        retries_keep_to_the_pace,
        a_429_makes_everybody_wait_and_costs_nobody_an_attempt,
        a_request_is_written_down_when_it_leaves_and_not_while_it_waits,
        a_hop_has_its_own_key_pool_price_and_hold,
        a_hop_that_no_longer_fits_under_the_cap_is_not_sent,
        whatever_goes_wrong_the_cap_holds_and_every_hold_ends_once,
        a_shared_beginning_is_written_once,
        a_row_that_waits_for_anothers_answer_holds_no_money,
        a_row_that_waits_for_anothers_answer_takes_no_turn_in_the_pace,
        the_lead_goes_on_while_its_row_waits_for_a_retry,
        no_row_that_waits_for_anothers_answer_is_a_probe,
        an_answer_is_found_whatever_is_cached_of_its_prompt,
    )
}
