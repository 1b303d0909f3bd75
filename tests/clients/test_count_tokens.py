"""Counting tokens: free of charge, of the same request, and none where the API gives
none.
"""

from __future__ import annotations

import json

import pytest

from claudebatch.clients.count_tokens import count_body
from claudebatch.core.errors import AccountRefused, AttemptError
from tests.clients.wire import http, refusal

JSON = "content-type: application/json"


async def test_a_count_is_what_the_bill_will_say_and_may_come_before_between_and_after_answers(
    simulate, connect, call
):
    _, url = await simulate()
    client = connect(url)
    asked = call("hello " * 50)
    first = await client.count(asked)
    reply = await client(asked)
    assert first == await client.count(asked) == reply.usage.total_input
    assert (await client(asked)).usage.total_input == first


def test_only_what_the_input_is_made_of_is_asked_about(call):
    asked = call(
        metadata={"user_id": "x"},
        stop_sequences=["a"],
        inference_geo="us",
        system="s",
        service_tier="auto",
    )
    assert json.loads(count_body(asked)).keys() == {"model", "messages", "system"}


@pytest.mark.parametrize("status", [400, 404, 413])
async def test_what_cannot_be_counted_has_no_count(status, wire, connect, call):
    wire.does(refusal(status, "invalid_request_error", "no."))
    assert await connect(wire.url).count(call()) is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(401, "authentication_error", "no."), AccountRefused),
        (refusal(400, "invalid_request_error", "Your credit balance is too low"), AccountRefused),
        (refusal(529, "overloaded_error", "no."), AttemptError),
        (http(200, b"<html>", "content-type: text/html"), AttemptError),
        (http(200, b"{}", JSON), AttemptError),
        (http(200, b'{"input_tokens": true}', JSON), AttemptError),
        (http(200, b'{"input_tokens": -1}', JSON), AttemptError),
        (b"", AttemptError),
    ],
)
async def test_other_failures_are_the_errors_that_a_call_raises(answer, error, wire, connect, call):
    wire.does(answer)
    with pytest.raises(error):
        await connect(wire.url).count(call())
