"""Fallback: the next model of the chain serves what the first cannot; when none can for
now, the row waits.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from claudebatch.core.domain import Call
from claudebatch.core.errors import (
    AccountRefused,
    ApiUnavailable,
    AttemptError,
    BudgetExhausted,
    CircuitOpen,
    Draining,
    NotServed,
)
from claudebatch.core.events import Event, FellBack
from claudebatch.layers.fallback.layer import Fallback
from tests.support.scripted import (
    HAIKU,
    OPUS,
    SONNET,
    ScriptedClient,
    bad_request,
    make_call,
    overloaded,
    rate_limited,
)
from tests.support.virtual import now, virtual

CHAIN = (SONNET, OPUS)


def hop(call: Call, model: str) -> Call:
    return replace(call, model=model)


def layer(
    events: list[Event] | None = None,
    *,
    hop: Callable[[Call, str], Call] = hop,
    max_outage_s: float = 900,
) -> Fallback:
    return Fallback(
        hop=hop,
        sleep=asyncio.sleep,
        rng=random.Random(0),
        emit=(events if events is not None else []).append,
        max_outage_s=max_outage_s,
    )


def by_model(**errors: Callable[[], Exception]) -> ScriptedClient:
    """Raises for haiku, sonnet or opus what is given, and answers for the others."""

    def script(call: Call, before: int) -> Exception | None:
        make = errors.get(call.model.split("-")[1])
        return make() if make else None

    return ScriptedClient(script)


def asked(client: ScriptedClient) -> list[str]:
    return [sent.call.model for sent in client.sent]


def shut(probe_in_s: float = 5.0, open_for_s: float = 1.0) -> CircuitOpen:
    return CircuitOpen("pool", probe_in_s=probe_in_s, open_for_s=open_for_s)


def gone() -> NotServed:
    return NotServed("no such model", type="not_found_error", status=404)


@virtual
async def test_while_the_first_model_serves_nobody_else_is_asked():
    client = ScriptedClient()
    reply = await layer()(make_call(fallbacks=CHAIN), client)
    assert asked(client) == [HAIKU]
    assert reply.fallback_reason is None


@pytest.mark.parametrize(
    "make", [overloaded, shut, gone], ids=["overloaded", "circuit open", "not served"]
)
@virtual
async def test_what_another_model_may_serve_goes_down_the_chain(make):
    events: list[Event] = []
    client = by_model(haiku=make, sonnet=overloaded)
    reply = await layer(events)(make_call(fallbacks=CHAIN), client)
    assert asked(client) == [HAIKU, SONNET, OPUS]
    assert (reply.model, reply.fallback_reason) == (OPUS, make().type)
    assert events == [
        FellBack("row-1", HAIKU, SONNET, make().type),
        FellBack("row-1", SONNET, OPUS, "overloaded_error"),
    ]
    assert now() == 0


@pytest.mark.parametrize("make", [bad_request, rate_limited], ids=["400", "429"])
@virtual
async def test_a_rows_own_fault_is_not_carried_to_other_models(make):
    client = by_model(haiku=make)
    with pytest.raises(type(make())):
        await layer()(make_call(fallbacks=CHAIN), client)
    assert asked(client) == [HAIKU]


@pytest.mark.parametrize(
    "error", [AccountRefused("E000", "401"), BudgetExhausted("cap"), Draining("stop")]
)
@virtual
async def test_what_stops_the_run_passes_through(error: Exception):
    client = ScriptedClient([error])
    with pytest.raises(type(error)):
        await layer()(make_call(fallbacks=CHAIN), client)
    assert asked(client) == [HAIKU]


@virtual
async def test_without_a_chain_the_error_is_the_answer():
    client = by_model(haiku=overloaded)
    with pytest.raises(AttemptError):
        await layer()(make_call(), client)
    assert asked(client) == [HAIKU]


@virtual
async def test_when_all_fail_the_last_error_comes_out_and_the_chain_stops_at_a_rows_own_fault():
    with pytest.raises(AttemptError) as caught:
        await layer()(
            make_call(fallbacks=CHAIN),
            by_model(haiku=overloaded, sonnet=overloaded, opus=bad_request),
        )
    assert caught.value.type == "invalid_request_error"
    client = by_model(haiku=overloaded, sonnet=bad_request)
    with pytest.raises(AttemptError) as caught:
        await layer()(make_call(fallbacks=CHAIN), client)
    assert (caught.value.type, asked(client)) == ("invalid_request_error", [HAIKU, SONNET])


@virtual
async def test_a_model_that_cannot_take_the_row_over_is_passed_by():
    def picky(call: Call, model: str) -> Call:
        if model == SONNET:
            raise NotServed("cannot take over: images", type="not_served")
        return hop(call, model)

    client = by_model(haiku=overloaded)
    reply = await layer(hop=picky)(make_call(fallbacks=CHAIN), client)
    assert (asked(client), reply.model) == ([HAIKU, OPUS], OPUS)


@virtual
async def test_when_nobody_else_can_take_it_over_the_first_error_is_the_answer():
    def nobody(call: Call, model: str) -> Call:
        raise NotServed("cannot take over", type="not_served")

    with pytest.raises(AttemptError) as caught:
        await layer(hop=nobody)(make_call(fallbacks=CHAIN), by_model(haiku=overloaded))
    assert caught.value.type == "overloaded_error"


@virtual
async def test_every_hop_starts_from_the_rows_own_prompt_and_route():
    client = by_model(haiku=overloaded, sonnet=overloaded)
    call = make_call(fallbacks=CHAIN)
    await layer()(call, client)
    assert all(
        sent.call.prompt is call.prompt and sent.call.route is call.route for sent in client.sent
    )


@virtual
async def test_when_every_pool_is_shut_the_row_waits_for_the_first_to_open():
    def script(call: Call, before: int) -> Exception | None:
        return shut(probe_in_s={HAIKU: 30, SONNET: 8, OPUS: 20}[call.model]) if now() < 8 else None

    client = ScriptedClient(script)
    reply = await layer()(make_call(fallbacks=CHAIN), client)
    assert 8 <= now() <= 12
    assert asked(client) == [HAIKU, SONNET, OPUS, HAIKU]
    assert reply.fallback_reason is None, "the first model is asked first again"


@virtual
async def test_a_shut_pool_is_waited_for_even_where_the_others_failed_for_good():
    def script(call: Call, before: int) -> Exception | None:
        return gone() if call.model == SONNET else shut(5) if now() < 5 else None

    reply = await layer()(make_call(fallbacks=(SONNET,)), ScriptedClient(script))
    assert reply.model == HAIKU and 5 <= now() <= 7.5


@virtual
async def test_waiting_rows_come_back_spread_out():
    back: list[float] = []

    async def pool(call: Call):
        if now() < 10:
            raise shut(probe_in_s=10 - now())
        back.append(now())
        raise bad_request()

    waiting = layer()
    await asyncio.gather(
        *(waiting(make_call(row=row), pool) for row in range(200)), return_exceptions=True
    )
    assert min(back) >= 10 and max(back) <= 15
    assert all(sum(a <= at < a + 0.5 for at in back) < 60 for a in (10, 11, 12, 13, 14))


@virtual
async def test_an_outage_beyond_the_limit_stops_the_run():
    async def dead(call: Call):
        raise shut(probe_in_s=10, open_for_s=now())

    with pytest.raises(ApiUnavailable, match="no answer from pool or pool or pool for 9"):
        await layer(max_outage_s=900)(make_call(fallbacks=CHAIN), dead)
    assert 900 < now() < 920


@pytest.mark.parametrize("limit_s", [3.0, 6.0, 25.0, 900.0])
@pytest.mark.parametrize("probe_in_s", [0.2, 10.0, 300.0])
def test_an_outage_ends_the_run_within_two_seconds_of_its_limit(limit_s, probe_in_s):
    @virtual
    async def outage() -> None:
        async def dead(call: Call):
            raise shut(probe_in_s=probe_in_s, open_for_s=now())

        with pytest.raises(ApiUnavailable):
            await layer(max_outage_s=limit_s)(make_call(), dead)
        assert limit_s <= now() <= limit_s + 2

    outage()


@virtual
async def test_a_chain_is_only_out_when_none_of_its_models_serves():
    def script(call: Call, before: int) -> Exception | None:
        if call.model == HAIKU:
            return shut(probe_in_s=2, open_for_s=5000)
        return shut(probe_in_s=9, open_for_s=3) if now() < 9 else None

    reply = await layer(max_outage_s=900)(make_call(fallbacks=(SONNET,)), ScriptedClient(script))
    assert reply.model == SONNET, "it had served a moment ago, so this was no outage"


@virtual
async def test_a_drain_ends_the_wait():
    async def sleep(seconds: float) -> None:
        raise Draining("interrupted")

    waiting = Fallback(
        hop=hop, sleep=sleep, rng=random.Random(0), emit=lambda event: None, max_outage_s=900
    )
    with pytest.raises(Draining):
        await waiting(make_call(), by_model(haiku=shut))
