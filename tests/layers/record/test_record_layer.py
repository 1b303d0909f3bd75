"""Record: nothing is sent that is not written down first, and every attempt gets
exactly one outcome.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AccountRefused, AttemptError, CredentialError, JournalFailed
from claudebatch.core.events import AttemptFinished, AttemptStarted, Event
from claudebatch.layers.record.layer import Record
from tests.support.scripted import (
    MemoryLog,
    ScriptedClient,
    bad_request,
    make_call,
    make_reply,
    overloaded,
    timed_out,
)
from tests.support.virtual import cancelled, now, settled, virtual

WORST, COST = 900, 250


def record(log: MemoryLog, events: list[Event] | None = None, *, cost: int | None = COST) -> Record:
    return Record(
        log,
        worst=lambda call: WORST,
        cost=lambda call, usage: cost,
        pool_of=lambda model: "haiku",
        now=now,
        emit=(events if events is not None else []).append,
    )


@virtual
async def test_the_intent_is_durable_before_the_request_leaves():
    log, client = MemoryLog(takes_s=0.5), ScriptedClient()
    await record(log)(make_call(), client)
    assert client.times == [0.5]
    assert (log.entries[0].begun_at, log.entries[0].worst) == (0.5, WORST)


@virtual
async def test_an_attempt_that_cannot_be_written_down_is_not_sent():
    class BrokenLog(MemoryLog):
        async def begin(self, call: Call, worst: int) -> int:
            raise JournalFailed("E000", "disk full")

    client, events = ScriptedClient(), []
    with pytest.raises(JournalFailed):
        await record(BrokenLog(), events)(make_call(), client)
    assert (client.sent, events) == ([], [])


@virtual
async def test_an_answer_is_priced_numbered_and_written_down_once():
    log, events = MemoryLog(), []
    call = make_call()
    answer = make_reply(latency_ms=850, request_id="req_1")
    reply = await record(log, events)(call, ScriptedClient([answer]))
    assert (reply.cost, reply.cost_known, reply.attempt_id) == (COST, True, 1)
    assert (log.entries[0].outcomes, log.entries[0].cost) == (["answered"], COST)
    started, finished = events
    assert started == AttemptStarted("claude-haiku-5-5", "haiku")
    assert (finished.model, finished.pool, finished.usage) == (
        "claude-haiku-5-5",
        "haiku",
        reply.usage,
    )
    assert (finished.cost, finished.error, finished.unknown) == (COST, None, False)
    assert (finished.call, finished.reply, finished.attempt) == (call, reply, 1)
    assert (finished.latency_ms, finished.request_id) == (850, "req_1")


@virtual
async def test_a_failed_attempt_tells_what_the_api_said_and_how_long_it_took():
    log, events = MemoryLog(), []
    call = make_call()
    error = AttemptError(
        "no", type="overloaded_error", status=529, request_id="req_1", retry_after=7.0
    )
    with pytest.raises(AttemptError):
        await record(log, events)(call, ScriptedClient([error], takes_s=1.5))
    told = events[-1]
    assert (told.status, told.request_id, told.retry_after) == (529, "req_1", 7.0)
    assert (told.call, told.reply, told.attempt, told.latency_ms) == (call, None, 1, 1500)


@virtual
async def test_an_answer_without_a_price_says_so():
    reply = await record(MemoryLog(), cost=None)(make_call(), ScriptedClient())
    assert (reply.cost, reply.cost_known) == (0, False)


@pytest.mark.parametrize(
    ("error", "name", "unknown"),
    [
        (overloaded(), "overloaded_error", False),
        (bad_request(), "invalid_request_error", False),
        (timed_out(), "timeout", True),
        (AccountRefused("E000", "401"), "AccountRefused", False),
        (CredentialError("E000", "no client without a key"), "CredentialError", False),
        # A bug of ours after the request left says nothing about the bill.
        (ZeroDivisionError("bug"), "ZeroDivisionError", True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
@virtual
async def test_every_failure_is_written_down_once_and_told_at_what_it_may_cost(
    error, name, unknown
):
    log, events = MemoryLog(), []
    with pytest.raises(type(error)):
        await record(log, events)(make_call(), ScriptedClient([error]))
    assert (log.entries[0].outcomes, log.entries[0].unknown) == ([name], unknown)
    finished = events[-1]
    assert isinstance(finished, AttemptFinished)
    assert (finished.cost, finished.error, finished.unknown) == (
        WORST if unknown else 0,
        name,
        unknown,
    )


@virtual
async def test_a_cancelled_request_may_be_billed():
    log, events = MemoryLog(), []
    task = asyncio.ensure_future(record(log, events)(make_call(), ScriptedClient(takes_s=10)))
    await settled()
    assert await cancelled(task)
    assert (log.entries[0].outcomes, log.entries[0].unknown) == (["cancelled"], True)
    assert isinstance(events[-1], AttemptFinished) and events[-1].unknown


@virtual
async def test_an_attempt_cancelled_before_it_is_durable_is_not_sent():
    log, client = MemoryLog(takes_s=1.0), ScriptedClient()
    task = asyncio.ensure_future(record(log)(make_call(), client))
    await settled()
    assert await cancelled(task)
    assert client.sent == [] and log.entries == []


@virtual
async def test_many_at_once_keep_their_outcomes_apart():
    log = MemoryLog(takes_s=0.1)

    def script(call: Call, before: int) -> Any:
        return {0: overloaded(), 1: timed_out()}.get(call.row % 4)

    client = ScriptedClient(script, takes_s=1.0)
    layer = record(log)
    results: list[Reply | BaseException] = await asyncio.gather(
        *(layer(make_call(row=row), client) for row in range(40)), return_exceptions=True
    )
    expected = {0: "overloaded_error", 1: "timeout"}
    assert [entry.outcomes for entry in log.entries] == [
        [expected.get(e.call.row % 4, "answered")] for e in log.entries
    ]
    assert sum(isinstance(result, AttemptError) for result in results) == 20
    assert now() == pytest.approx(1.1)
