"""The official client accepts what the simulator says, streams and errors included."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from claudebatch.simulator import SimulatedBatches

RULES = [{"type": "text", "text": "Rules. " * 400, "cache_control": {"type": "ephemeral"}}]


@asynccontextmanager
async def sdk(served):
    from anthropic import AsyncAnthropic

    async with AsyncAnthropic(api_key="simulated", base_url=served.url, max_retries=0) as client:
        yield client


async def test_messages_and_counts_are_parsed(serve, body):
    served = await serve()
    async with sdk(served) as client:
        message = await client.messages.create(**body(system=RULES))
        counted = await client.messages.count_tokens(
            model="claude-haiku-5-5", messages=body()["messages"], system=RULES
        )
        models = await client.models.list()
        model = await client.models.retrieve("claude-haiku-5-5")
    usage = message.usage
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert usage.cache_creation.ephemeral_5m_input_tokens == usage.cache_creation_input_tokens > 0
    assert usage.output_tokens_details.thinking_tokens > 0
    assert usage.service_tier == "standard"
    assert counted.input_tokens == usage.input_tokens + usage.cache_creation_input_tokens
    assert "claude-opus-5-5" in [m.id for m in models.data]
    assert model.max_tokens == 128_000


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"system": RULES},
        {
            "tools": [{"name": "t", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "any"},
        },
        {"messages": [{"role": "user", "content": "[[simulate: refusal]]"}]},
        {"messages": [{"role": "user", "content": "[[simulate: empty]]"}]},
        {"max_tokens": 3},
        {"stop_sequences": ["answer"]},
    ],
)
async def test_a_stream_adds_up_to_the_same_message_as_a_plain_answer(serve, body, more):
    plain, streamed = await serve(), await serve(latency="fixed:0.001")
    async with sdk(plain) as client:
        wanted = await client.messages.create(**body(**more))
    async with sdk(streamed) as client, client.messages.stream(**body(**more)) as stream:
        message = await stream.get_final_message()
    assert [_as_sent(block) for block in message.content] == [
        _as_sent(block) for block in wanted.content
    ]
    assert (message.stop_reason, message.stop_sequence) == (
        wanted.stop_reason,
        wanted.stop_sequence,
    )
    assert message.stop_details == wanted.stop_details
    assert message.usage == wanted.usage


async def test_a_stream_names_every_event_in_the_recorded_order(serve, body):
    served = await serve()
    heard = await served.ask(body(stream=True))
    names = [line[7:] for line in heard.body.decode().split("\n") if line.startswith("event: ")]
    assert heard.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert names[:2] == ["message_start", "ping"]
    assert names[-2:] == ["message_delta", "message_stop"]
    assert set(names) >= {"content_block_start", "content_block_delta", "content_block_stop"}


async def test_errors_are_the_exceptions_that_the_sdk_has_for_them(serve, body):
    import anthropic

    expected = {
        "529": anthropic.OverloadedError,
        "429": anthropic.RateLimitError,
        "401": anthropic.AuthenticationError,
        "402": anthropic.PaymentRequiredError,
        "spend_limit": anthropic.EnforcedSpendLimitReachedError,
        "reset": anthropic.APIConnectionError,
        "cut": anthropic.APIConnectionError,
    }
    served = await serve(script=tuple(expected))
    async with sdk(served) as client:
        for fault, error in expected.items():
            with pytest.raises(error) as caught:
                await client.messages.create(**body())
            assert type(caught.value) is error, fault
            if isinstance(caught.value, anthropic.APIStatusError):
                assert caught.value.request_id.startswith("req_sim_")


async def test_a_stream_that_is_cut_is_billed_and_does_not_end_well(serve, body):
    served = await serve(script=("cut",))
    async with sdk(served) as client:
        with pytest.raises(Exception, match=r"peer closed|incomplete|closed"):
            async with client.messages.stream(**body()) as stream:
                await stream.get_final_message()
    stats = served.simulator.stats()
    assert stats["billed_undelivered_pico"] == stats["billed_pico"] > 0


def _as_sent(block):
    """Without the fields that the SDK's helpers add to what came over the wire."""
    return {
        name: value
        for name, value in block.to_dict().items()
        if name != "parsed_output" and value is not None
    }


async def test_the_sdks_own_batch_methods_work_from_create_to_delete(serve, body):
    served = await serve(batches=SimulatedBatches(latency="fixed:60"), script=("batch_unknown",))
    async with sdk(served) as client:
        batches = client.messages.batches
        made = await batches.create(
            requests=[
                {"custom_id": "a", "params": body("[[simulate: fault batch_expired]]")},
                {"custom_id": "b", "params": body("row b")},
                {"custom_id": "c", "params": body(max_tokens=0)},
                {"custom_id": "d", "params": body("row d")},
            ]
        )
        assert (made.processing_status, made.request_counts.processing) == ("in_progress", 4)
        other = await batches.create(requests=[{"custom_id": "a", "params": body()}])
        listed = [batch.id async for batch in batches.list(limit=1)]
        assert listed == [other.id, made.id]
        assert (await batches.cancel(other.id)).processing_status == "canceling"
        served.now.seconds += 60
        ended = await batches.retrieve(made.id)
        assert ended.request_counts.to_dict() == {
            "processing": 0,
            "succeeded": 2,
            "errored": 1,
            "canceled": 0,
            "expired": 1,
        }
        lines = {line.custom_id: line.result async for line in await batches.results(made.id)}
        assert lines["a"].type == "expired"
        assert lines["c"].error.error.type == "invalid_request_error"
        kinds = {lines[name].type for name in "bd"}
        assert kinds == {"succeeded", "postponed"}
        answered = next(lines[name] for name in "bd" if lines[name].type == "succeeded")
        assert answered.message.usage.service_tier == "batch"
        assert (await batches.delete(made.id)).type == "message_batch_deleted"
        assert [batch.id async for batch in batches.list()] == [other.id]
