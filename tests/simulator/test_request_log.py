"""The request log: which questions came, and whose answers left whole."""

from __future__ import annotations

import asyncio

import pytest

from claudebatch.simulator.request_log import EVENTS_KEPT, RequestLog


async def log_of(served):
    return (await served.call("GET", "/__log")).json["events"]


async def test_every_request_is_told_and_whether_its_answer_left_whole(serve, body):
    served = await serve(script=("ok", "cut", "529"))
    await served.ask(body("first"))
    with pytest.raises(asyncio.IncompleteReadError):
        await served.ask(body("second"))
    await served.ask(body("third"))
    told = [(event["event"], event.get("text")) for event in await log_of(served)]
    assert told == [
        ("asked", "first"),
        ("delivered", None),
        ("asked", "second"),
        ("undelivered", None),
        ("asked", "third"),
    ]


async def test_the_log_bills_what_the_statistics_bill(serve, body):
    served = await serve()
    for number in range(5):
        await served.ask(body(f"row {number}"))
    billed = sum(event.get("billed_pico", 0) for event in await log_of(served))
    assert billed == served.simulator.stats()["billed_pico"] > 0


async def test_a_reset_empties_the_log(serve, body):
    served = await serve()
    await served.ask(body())
    await served.call("POST", "/__reset")
    assert await log_of(served) == []


def test_the_log_does_not_grow_without_bound():
    log = RequestLog()
    for number in range(EVENTS_KEPT + 10):
        log.answered(number.to_bytes(8, "big"), 0, delivered=True)
    assert len(log.snapshot()) == EVENTS_KEPT
