"""What every `BatchClient` must do, over real sockets against the simulated API:
another implementation is one more maker in `CLIENTS`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import aclosing

import pytest

from claudebatch.clients import batch_upload
from claudebatch.clients.batch_protocol import all_pages
from claudebatch.core.errors import (
    AccountRefused,
    AttemptError,
    BatchNotFound,
    BatchTooLarge,
    CommandRefused,
    RateLimited,
)
from claudebatch.core.message import parse_message
from claudebatch.simulator import SimulatedBatches
from tests.support import batch_bodies

CLIENTS = ["claude"]


@pytest.fixture(params=CLIENTS)
def make(request, batches):
    """Makes clients of the kind under test."""
    return {"claude": batches}[request.param]


@pytest.fixture
async def api(simulate):
    """Starts simulators whose batches end after *seconds*."""

    async def start(seconds=0.0, **more):
        batches = {name: more.pop(name) for name in ("max_bytes", "rpm", "time") if name in more}
        settings = SimulatedBatches(latency=f"fixed:{seconds}", **batches)
        return await simulate(batches=settings, **more)

    return start


def params(prompt, **more):
    body = {"model": "claude-haiku-5-5", "max_tokens": 64, **more}
    return json.dumps({**body, "messages": [{"role": "user", "content": prompt}]}).encode()


def upload(number, prompt="row", **more):
    requests = [
        batch_upload.encode_request(f"r-{n}", params(f"{prompt} {n}", **more))
        for n in range(number)
    ]
    length = batch_bodies.body_length(number, sum(map(len, requests)))
    return batch_bodies.of_requests(requests, length=length)


async def taken(client, batch_id):
    async with aclosing(client.results(batch_id)) as results:
        return [one async for one in results]


async def until_ended(client, batch_id):
    async with asyncio.timeout(60):
        while not (batch := await client.retrieve(batch_id)).ended:
            await asyncio.sleep(0.01)
    return batch


async def test_a_batch_lives_from_create_to_delete(make, api):
    simulator, url = await api()
    client = make(url)
    made = await client.create(upload(500))
    assert (made.status, made.counts.processing, made.simulated) == ("in_progress", 500, True)
    assert abs((made.server_time - made.created_at).total_seconds()) < 2
    assert made.retry_after is None
    ended = await until_ended(client, made.id)
    assert (ended.counts.succeeded, ended.counts.total) == (500, 500)
    assert ended.created_at == made.created_at
    results = await taken(client, made.id)
    assert sorted(one.custom_id for one in results) == sorted(f"r-{n}" for n in range(500))
    replies = [
        parse_message(one.message, request_id=None, latency_ms=0, limits=None, simulated=True)
        for one in results
    ]
    assert {reply.usage.service_tier for reply in replies} == {"batch"}
    used = sum(reply.usage.total_input + reply.usage.output_tokens for reply in replies)
    assert simulator.stats()["billed_pico"] == used
    await client.delete(made.id)
    with pytest.raises(BatchNotFound):
        await client.retrieve(made.id)


async def test_a_running_batch_says_when_to_ask_again_and_has_no_results(make, api):
    _, url = await api(3600)
    client = make(url)
    made = await client.create(upload(2))
    assert (await client.retrieve(made.id)).retry_after == 10
    with pytest.raises(BatchNotFound, match="no available results"):
        await taken(client, made.id)
    with pytest.raises(AttemptError) as caught:
        await client.delete(made.id)
    assert (caught.value.status, caught.value.retryable) == (400, False)
    assert (await client.cancel(made.id)).status == "canceling"


async def test_every_ending_of_a_row_comes_out(make, api):
    _, url = await api(faults={"batch_expired": 0.2, "batch_canceled": 0.2, "batch_unknown": 0.2})
    client = make(url)
    made = await client.create(upload(300))
    flat = await client.create(upload(2, max_tokens=0))
    await until_ended(client, made.id)
    found = Counter(one.kind for one in await taken(client, made.id))
    assert found.keys() == {"succeeded", "expired", "canceled", "unknown"}
    await until_ended(client, flat.id)
    for one in await taken(client, flat.id):
        if one.kind == "errored":
            assert one.error.type == "invalid_request_error"


@pytest.mark.parametrize("script", [(), ("batch_flat",)])
async def test_errors_are_read_in_both_forms(script, make, api):
    _, url = await api(script=script)
    client = make(url)
    made = await client.create(upload(1, "[[simulate: error 529]]"))
    await until_ended(client, made.id)
    (result,) = await taken(client, made.id)
    assert (result.kind, result.error.type) == ("errored", "overloaded_error")


async def test_a_download_that_was_cut_is_taken_whole_the_next_time(make, api):
    _, url = await api(script=("batch_cut",))
    client = make(url)
    made = await client.create(upload(400))
    await until_ended(client, made.id)
    got = []
    with pytest.raises(AttemptError) as caught:
        async with aclosing(client.results(made.id)) as results:
            async for one in results:
                got.append(one.custom_id)
    assert (caught.value.retryable, caught.value.may_be_billed) == (True, False)
    assert 0 < len(got) < 400
    assert len(await taken(client, made.id)) == 400


@pytest.mark.parametrize("fault", ["batch_504", "batch_lost"])
async def test_a_create_that_was_made_in_silence_may_exist_and_is_found_in_the_list(
    fault, make, api
):
    simulator, url = await api(script=(fault,))
    client = make(url)
    with pytest.raises(AttemptError) as caught:
        await client.create(upload(7))
    assert caught.value.may_be_billed
    found = [batch async for page in all_pages(client) for batch in page.batches]
    assert [batch.counts.total for batch in found] == [7]
    assert simulator.stats()["batches"]["made"] == 1


@pytest.mark.parametrize(
    ("faults", "error", "may_exist"),
    [("batch_500", AttemptError, True), ("batch_429", RateLimited, False)],
)
async def test_nothing_is_tried_again_in_here(faults, error, may_exist, make, api):
    simulator, url = await api(script=(faults,) * 2)
    client = make(url)
    with pytest.raises(error) as caught:
        await client.create(upload(1))
    assert caught.value.may_be_billed is may_exist
    assert caught.value.retry_after == (1 if error is RateLimited else None)
    with pytest.raises(error):
        await client.page()
    assert simulator.stats()["other_requests"] == 2


async def test_refused_batches_say_why(make, api):
    _, url = await api(max_bytes=5000)
    client = make(url)
    with pytest.raises(BatchTooLarge):
        await client.create(upload(100))
    with pytest.raises(CommandRefused, match="at least 1 item"):
        await client.create(upload(0))
    twice = [batch_upload.encode_request("a", params("x"))] * 2
    with pytest.raises(CommandRefused, match="Duplicate"):
        await client.create(batch_bodies.of_requests(twice))
    with pytest.raises(AccountRefused):
        await make(url, api_key="invalid").create(upload(1))


async def test_a_connection_that_the_server_closed_is_not_used_for_a_create(make, api):
    simulator, url = await api()
    client = make(url)
    await client.create(upload(1))
    await client.page()
    await simulator.stop()
    await simulator.start(int(url.rpartition(":")[2]))
    assert (await client.create(upload(1))).counts.total == 1


async def test_a_body_of_unknown_length_is_taken_too(make, api):
    _, url = await api()

    async def requests():
        for n in range(300):
            yield batch_upload.encode_request(f"r-{n}", params(f"row {n}"))

    client = make(url)
    made = await client.create(batch_bodies.of_requests(requests()))
    assert made.counts.total == 300


async def test_pages_follow_each_other_until_the_oldest(make, api):
    _, url = await api(3600)
    client = make(url)
    names = [(await client.create(upload(n + 1))).id for n in range(5)]
    pages = [page async for page in all_pages(client, limit=2)]
    assert [[batch.id for batch in page.batches] for page in pages] == [
        [names[4], names[3]],
        [names[2], names[1]],
        [names[0]],
    ]
    assert [page.has_more for page in pages] == [True, True, False]
    assert all(page.server_time is not None for page in pages)


async def test_a_live_batch_that_is_said_not_to_exist_is_told_apart(make, api):
    _, url = await api(script=("batch_404",))
    client = make(url)
    made = await client.create(upload(1))
    with pytest.raises(BatchNotFound):
        await client.retrieve(made.id)
    assert (await client.retrieve(made.id)).id == made.id


async def test_a_reader_may_leave_after_the_first_line(make, api):
    _, url = await api()
    client = make(url)
    made = await client.create(upload(3000))
    await until_ended(client, made.id)
    async with aclosing(client.results(made.id)) as results:
        assert (await anext(results)).kind == "succeeded"
    assert len(await taken(client, made.id)) == 3000
