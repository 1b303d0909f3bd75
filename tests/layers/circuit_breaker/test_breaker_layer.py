"""CircuitBreaker: a pool that keeps failing is left alone; a row's own fault never
counts against it.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from claudebatch.core.errors import (
    AccountRefused,
    AttemptError,
    BudgetExhausted,
    CircuitOpen,
    Draining,
    NotServed,
)
from claudebatch.core.events import BreakerChanged, Event, Waiting
from claudebatch.layers.circuit_breaker.layer import CircuitBreaker
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy
from tests.support.scripted import (
    HAIKU,
    OPUS,
    ScriptedClient,
    bad_request,
    make_call,
    make_reply,
    overloaded,
    rate_limited,
    timed_out,
)
from tests.support.virtual import cancelled, now, settled, virtual

POLICY = BreakerPolicy(minimum_calls=4, failure_rate=0.5, window_s=30, wait_open_s=10, probes=3)


def layer(events: list[Event] | None = None) -> CircuitBreaker:
    return CircuitBreaker(
        POLICY,
        pool_of=lambda model: model,
        now=now,
        emit=(events if events is not None else []).append,
    )


ROWS = itertools.count()


async def outcome(
    breaker: CircuitBreaker, client: ScriptedClient, model: str = HAIKU, **call: Any
) -> str:
    """How a call ends, of another row every time unless *call* says which."""
    try:
        await breaker(make_call(model=model, **{"row": next(ROWS), **call}), client)
    except Exception as error:
        return type(error).__name__
    return "ok"


@virtual
async def test_it_opens_after_a_bad_run_and_then_sends_nothing():
    events: list[Event] = []
    breaker, client = layer(events), ScriptedClient(lambda call, before: overloaded())
    assert [await outcome(breaker, client) for _ in range(7)] == ["AttemptError"] * 4 + [
        "CircuitOpen"
    ] * 3
    assert len(client.sent) == 4
    assert events == [BreakerChanged(HAIKU, "open"), Waiting(HAIKU, "circuit open", 10.0)]


@virtual
async def test_an_open_circuit_says_when_it_will_be_tried_and_how_long_nothing_was_served():
    breaker, client = (
        layer(),
        ScriptedClient(lambda call, before: None if before == 0 else overloaded()),
    )
    await outcome(breaker, client)
    await asyncio.sleep(5)
    for _ in range(7):
        await outcome(breaker, client)
    await asyncio.sleep(3)
    with pytest.raises(CircuitOpen) as caught:
        await breaker(make_call(), client)
    assert caught.value.probe_in_s == pytest.approx(7)
    assert caught.value.open_for_s == pytest.approx(8)
    assert caught.value.unavailable and caught.value.retryable and not caught.value.may_be_billed


@virtual
async def test_pools_fail_apart():
    breaker, client = (
        layer(),
        ScriptedClient(lambda call, before: overloaded() if call.model == HAIKU else None),
    )
    for _ in range(10):
        await outcome(breaker, client, HAIKU)
    assert await outcome(breaker, client, HAIKU) == "CircuitOpen"
    assert await outcome(breaker, client, OPUS) == "ok"


@pytest.mark.parametrize("make", [overloaded, timed_out], ids=["529", "timeout"])
@virtual
async def test_what_is_the_models_fault_trips_it(make):
    breaker, client = layer(), ScriptedClient(lambda call, before: make())
    for _ in range(4):
        await outcome(breaker, client)
    assert await outcome(breaker, client) == "CircuitOpen"


@pytest.mark.parametrize(
    "make",
    [
        bad_request,
        rate_limited,
        lambda: NotServed("gone", type="not_found_error", status=404),
        lambda: AttemptError("too large", type="request_too_large", status=413),
        lambda: AccountRefused("E000", "401"),
        lambda: BudgetExhausted("cap"),
        lambda: Draining("stop"),
    ],
    ids=["400", "429", "404", "413", "401", "budget", "drain"],
)
@virtual
async def test_what_is_not_the_models_fault_never_trips_it(make):
    breaker, client = layer(), ScriptedClient(lambda call, before: make())
    assert "CircuitOpen" not in [await outcome(breaker, client) for _ in range(50)]
    assert len(client.sent) == 50


@virtual
async def test_at_most_three_probes_go_while_hundreds_wait():
    breaker, client = (
        layer(),
        ScriptedClient(lambda call, before: overloaded() if before < 4 else None, takes_s=2),
    )
    await asyncio.gather(*(outcome(breaker, client) for _ in range(4)))
    await asyncio.sleep(10)
    first = await asyncio.gather(*(outcome(breaker, client) for _ in range(300)))
    assert first.count("ok") == 1 and first.count("CircuitOpen") == 299
    others = await asyncio.gather(*(outcome(breaker, client) for _ in range(300)))
    assert others.count("ok") == 2 and others.count("CircuitOpen") == 298
    assert await outcome(breaker, client) == "ok", "all three were served: it is closed"


@virtual
async def test_the_way_back_is_told_step_by_step_and_once_each():
    events: list[Event] = []
    back: list[str] = []

    async def is_back(pool: str) -> None:
        back.append(pool)

    breaker = CircuitBreaker(
        POLICY, pool_of=lambda model: model, now=now, emit=events.append, back=is_back
    )
    client = ScriptedClient(lambda call, before: overloaded() if before < 65 else None, takes_s=1)
    await asyncio.gather(*(outcome(breaker, client) for _ in range(64)))
    for _ in range(2):
        await asyncio.sleep(10)
        for _ in range(3):
            await outcome(breaker, client)
    assert [event.state for event in events if isinstance(event, BreakerChanged)] == [
        "open", "half-open", "open", "half-open", "closed",
    ], "64 calls that come back as failures are one opening"  # fmt: skip
    assert [event for event in events if isinstance(event, Waiting)] == [
        Waiting(HAIKU, "circuit open", 10.0)
    ] * 2
    assert back == [HAIKU], "so that its pace can start gently"


@virtual
async def test_answers_that_nearly_miss_their_deadline_open_it():
    breaker = layer()
    slow = ScriptedClient(lambda call, before: make_reply(latency_ms=540_000))
    for _ in range(4):
        assert await outcome(breaker, slow, deadline_s=601.0) == "ok", (
            "nine tenths of its deadline, but for a little"
        )
    assert await outcome(breaker, slow, deadline_s=600.0) == "ok", "the others were quick"
    for _ in range(7):
        await outcome(breaker, slow, deadline_s=600.0)
    assert await outcome(breaker, slow) == "CircuitOpen", "now the whole window is slow"


@virtual
async def test_one_bad_row_never_opens_it_however_often_it_fails():
    breaker, client = (
        layer(),
        ScriptedClient(lambda call, before: overloaded() if call.row == -1 else None),
    )
    for _ in range(50):
        assert await outcome(breaker, client, row=-1) == "AttemptError"
    assert await outcome(breaker, client) == "ok"


@virtual
async def test_a_probe_that_is_called_off_makes_room_for_another():
    breaker, client = (
        layer(),
        ScriptedClient(lambda call, before: overloaded() if before < 4 else None, takes_s=1),
    )
    await asyncio.gather(*(outcome(breaker, client) for _ in range(4)))
    await asyncio.sleep(10)
    probe = asyncio.ensure_future(breaker(make_call(), client))
    await settled()
    assert await outcome(breaker, client) == "CircuitOpen"
    assert await cancelled(probe)
    assert await outcome(breaker, client) == "ok"


@virtual
async def test_probes_that_find_no_money_do_not_keep_it_shut():
    breaker = layer()
    for _ in range(4):
        await outcome(breaker, ScriptedClient([overloaded()]))
    await asyncio.sleep(10)
    assert [await outcome(breaker, ScriptedClient([BudgetExhausted("cap")])) for _ in range(5)] == [
        "BudgetExhausted"
    ] * 5
    assert await outcome(breaker, ScriptedClient()) == "ok"


@virtual
async def test_a_late_answer_is_still_an_answer_and_does_not_close_it():
    breaker = layer()
    slow, quick = (
        ScriptedClient(takes_s=5),
        ScriptedClient(script=lambda call, before: overloaded()),
    )
    late = asyncio.ensure_future(outcome(breaker, slow))
    await settled()
    for _ in range(4):
        await outcome(breaker, quick)
    assert await late == "ok"
    assert await outcome(breaker, quick) == "CircuitOpen"


@pytest.mark.parametrize("takes_s", [0.0, 0.5, 25.0], ids=["at once", "quick", "slow to fail"])
@virtual
async def test_an_outage_of_fifteen_minutes_gets_one_probe_in_ten_seconds_at_most(takes_s):
    breaker, client = layer(), ScriptedClient(lambda call, before: overloaded(), takes_s=takes_s)

    async def insist() -> None:
        while now() < 900:
            await outcome(breaker, client)
            await asyncio.sleep(1)

    await asyncio.gather(*(insist() for _ in range(64)))
    probes = client.times[64:]
    assert client.times[63] == 0.0
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(probes))
    assert 40 < len(probes) <= 90
