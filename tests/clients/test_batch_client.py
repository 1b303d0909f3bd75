"""The client of the batch endpoints, byte by byte: what goes up, what comes down, and
what each failure says about a batch that may or may not exist.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from claudebatch.clients import batch_upload, error_table
from claudebatch.clients.batch_protocol import all_pages
from claudebatch.core.errors import (
    AccountRefused,
    AttemptError,
    BatchNotFound,
    BatchTooLarge,
    CommandRefused,
    NotServed,
    PathFault,
    RateLimited,
    Unreachable,
)
from tests.clients.wire import HANG, RESET, http, refusal
from tests.support import batch_bodies

JSON = "content-type: application/json"
BATCH = {
    "id": "msgbatch_01",
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": {"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
    "ended_at": None,
    "created_at": "2026-08-19T14:44:51.493319+00:00",
    "expires_at": "2026-08-20T14:44:51.493319+00:00",
    "archived_at": None,
    "cancel_initiated_at": None,
    "results_url": None,
}
REQUESTS = [batch_upload.encode_request(f"r-{n}", b'{"model":"m"}') for n in range(3)]


def upload(requests=REQUESTS, *, sized=True):
    length = batch_bodies.body_length(len(requests), sum(map(len, requests)))
    return batch_bodies.of_requests(requests, length=length if sized else None)


def answer(value, *lines, status=200):
    return http(status, json.dumps(value).encode(), JSON, "request-id: req_1", *lines)


def results(*lines, cut=0, **extra):
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    whole = http(200, body, "content-type: application/x-jsonl", "request-id: req_1")
    return whole[: len(whole) - cut]


def succeeded(custom_id, text="hi"):
    message = {"type": "message", "content": [{"type": "text", "text": text}]}
    return {"custom_id": custom_id, "result": {"type": "succeeded", "message": message}}


async def taken(client, batch_id="msgbatch_01"):
    async with aclosing(client.results(batch_id)) as lines:
        return [line async for line in lines]


async def test_a_create_streams_its_requests_and_brings_the_batch(wire, batches):
    wire.does(answer(BATCH, "date: Wed, 19 Aug 2026 14:44:52 GMT"))
    made = await batches(wire.url).create(upload())
    assert json.loads(wire.requests[0]) == {
        "requests": [{"custom_id": f"r-{n}", "params": {"model": "m"}} for n in range(3)]
    }
    assert (made.id, made.status, made.ended, made.counts.total) == (
        "msgbatch_01",
        "in_progress",
        False,
        2,
    )
    assert made.created_at == datetime(2026, 8, 19, 14, 44, 51, 493319, tzinfo=UTC)
    assert made.server_time == datetime(2026, 8, 19, 14, 44, 52, tzinfo=UTC)


async def test_a_body_of_unknown_length_goes_up_in_chunks(raw_http, batches):
    raw_http.answers(answer(BATCH))
    await batches(raw_http.url).create(upload(sized=False), betas=("b-1", "b-2"))
    head, body = raw_http.heard[0]
    assert head["transfer-encoding"] == "chunked"
    assert "content-length" not in head
    assert head["anthropic-beta"] == "b-1,b-2"
    assert len(json.loads(body)["requests"]) == 3


async def test_a_create_says_its_length_and_nothing_twice(raw_http, batches):
    raw_http.answers(answer(BATCH))
    await batches(raw_http.url).create(upload())
    head, body = raw_http.heard[0]
    assert head["content-length"] == str(len(body))
    assert head["content-type"] == "application/json"
    assert "transfer-encoding" not in head


async def test_a_file_goes_up_as_it_is(wire, batches, tmp_path):
    spool = tmp_path / "body.json"
    body = batch_upload.HEAD + b",".join(REQUESTS * 2000) + batch_upload.TAIL
    spool.write_bytes(body)
    wire.does(answer(BATCH))
    await batches(wire.url).create(batch_upload.of_file(spool))
    assert wire.requests == [body]


@pytest.mark.parametrize("change", [1, -1])
async def test_a_body_that_is_not_as_long_as_it_said_makes_no_batch(change, wire, batches):
    wire.does(answer(BATCH))
    wrong = batch_upload.BatchUpload(upload().pieces, (upload().length or 0) + change)
    with pytest.raises(batch_upload.UploadMismatch):
        await batches(wire.url).create(wrong)


async def test_an_error_of_the_requests_comes_out_as_it_is(wire, batches):
    def broken():
        yield REQUESTS[0] + b" " * 2**17
        raise OSError(5, "the disk")

    wire.does(answer(BATCH))
    with pytest.raises(OSError, match="the disk"):
        await batches(wire.url).create(batch_bodies.of_requests(broken(), length=10**6))


@pytest.mark.parametrize(
    ("steps", "error", "may_exist"),
    [
        ((refusal(500, "api_error"),), AttemptError, True),
        ((refusal(529, "overloaded_error"),), AttemptError, True),
        ((refusal(504, "timeout_error"),), AttemptError, True),
        ((refusal(409, "conflict_error"),), AttemptError, True),
        ((http(502, b"<html>bad gateway", "content-type: text/html"),), AttemptError, True),
        ((RESET,), AttemptError, True),
        ((HANG,), AttemptError, True),
        ((b"",), AttemptError, True),
        ((answer({"id": "x"}),), AttemptError, True),
        ((answer(BATCH)[:-20],), AttemptError, True),
        ((refusal(429, "rate_limit_error", "no.", None, "retry-after: 7"),), RateLimited, False),
        ((refusal(413, "request_too_large"),), BatchTooLarge, False),
        ((http(413, b"<html>", "content-type: text/html"),), BatchTooLarge, False),
        ((http(404, b"<html>", "content-type: text/html"),), PathFault, False),
        ((http(511, b"<html>log in", "content-type: text/html"),), PathFault, False),
        ((http(200, b"<html>log in", "content-type: text/html"),), PathFault, False),
        ((http(307, b"", "location: http://127.0.0.1:1/"),), PathFault, False),
    ],
)
async def test_a_failed_create_says_whether_the_batch_may_exist(
    steps, error, may_exist, wire, batches
):
    wire.does(*steps)
    client = batches(wire.url, created_within_s=0.5)
    with pytest.raises(error) as caught:
        await client.create(upload())
    assert caught.value.may_be_billed is may_exist
    assert len(wire.requests) == 1


async def test_a_429_says_how_long_to_wait(wire, batches):
    wire.does(refusal(429, "rate_limit_error", "no.", None, "retry-after: 7"))
    with pytest.raises(RateLimited) as caught:
        await batches(wire.url).create(upload())
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, None),
        (402, None),
        (403, None),
        (400, "organization_on_hold"),
        (400, "workspace_human_review_disabled"),
        (429, "enforced_spend_limit_reached"),
    ],
)
async def test_what_is_about_the_account_stops_the_run(status, code, wire, batches):
    wire.does(refusal(status, "x_error", "no.", code))
    with pytest.raises(AccountRefused):
        await batches(wire.url).create(upload())


async def test_a_batch_that_is_refused_as_such_stops_the_run(wire, batches):
    wire.does(refusal(400, "invalid_request_error", "requests: Duplicate custom_id"))
    with pytest.raises(CommandRefused, match="Duplicate custom_id") as caught:
        await batches(wire.url).create(upload())
    assert caught.value.id == "E718"


async def test_a_create_that_never_left_was_not_made_and_a_second_says_why(batches):
    client = batches("http://127.0.0.1:9")
    with pytest.raises(AttemptError) as caught:
        await client.create(upload())
    assert not caught.value.may_be_billed
    with pytest.raises(Unreachable):
        await client.create(upload())


async def test_a_connection_lost_in_the_middle_of_an_upload_made_nothing(raw_http, batches):
    raw_http.closes_after = 1000
    requests = [REQUESTS[0][:-1] + b" " * 2**20 + b"}"] * 32
    with pytest.raises(AttemptError) as caught:
        await batches(raw_http.url).create(upload(requests))
    assert not caught.value.may_be_billed


async def test_an_upload_that_stands_still_ends_and_made_nothing(wire, batches):
    async def stalls():
        yield REQUESTS[0] + b" " * 2**17
        await asyncio.Event().wait()

    wire.does(answer(BATCH))
    client = batches(wire.url, idle_timeout_s=0.2)
    with pytest.raises(AttemptError) as caught:
        await client.create(batch_bodies.of_requests(stalls(), length=10**6))
    assert (caught.value.type, caught.value.may_be_billed) == ("timeout", False)


async def test_an_unknown_batch_is_told_from_every_other_failure(wire, batches):
    client = batches(wire.url)
    wire.does(refusal(404, "not_found_error", "Message Batch msgbatch_01 not found."))
    for ask in (client.retrieve, client.cancel, client.delete, taken_of(client)):
        with pytest.raises(BatchNotFound) as caught:
            await ask("msgbatch_01")
        assert (caught.value.status, caught.value.may_be_billed) == (404, False)


async def test_other_failures_of_a_question_cost_nothing_and_may_be_asked_again(wire, batches):
    client = batches(wire.url)
    for step in (refusal(500, "api_error"), refusal(529, "overloaded_error"), RESET, b""):
        wire.does(step)
        with pytest.raises(AttemptError) as caught:
            await client.retrieve("msgbatch_01")
        assert (caught.value.retryable, caught.value.may_be_billed) == (True, False)


async def test_a_running_batch_says_when_to_ask_again(wire, batches):
    wire.does(answer(BATCH, "retry-after: 10"))
    assert (await batches(wire.url).retrieve("msgbatch_01")).retry_after == 10


async def test_a_name_from_outside_stays_inside_its_path(raw_http, batches):
    raw_http.answers(answer(BATCH))
    await batches(raw_http.url).retrieve("../files?x#1")
    assert raw_http.lines[0] == "GET /v1/messages/batches/..%2Ffiles%3Fx%231 HTTP/1.1"


async def test_results_are_fetched_from_the_address_that_has_the_key_already(raw_http, batches):
    ended = {**BATCH, "processing_status": "ended", "results_url": "http://evil.example/x"}
    raw_http.answers(answer(ended), results(succeeded("r-0")))
    client = batches(raw_http.url)
    assert (await client.retrieve("msgbatch_01")).ended
    (line,) = await taken(client)
    assert raw_http.lines[1] == "GET /v1/messages/batches/msgbatch_01/results HTTP/1.1"
    assert json.loads(line.message or b"")["content"] == [{"type": "text", "text": "hi"}]


async def test_every_kind_of_line_is_told_and_what_nobody_knows_is_kept(wire, batches):
    nested = {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "m", "details": {"error_code": "c"}},
        "request_id": "req_9",
    }
    flat = {"type": "invalid_request_error", "message": "max_tokens: 0"}
    lines = [
        succeeded("a"),
        {"custom_id": "b", "result": {"type": "errored", "error": nested}},
        {"custom_id": "c", "result": {"type": "errored", "error": flat}},
        {"custom_id": "d", "result": {"type": "canceled"}},
        {"custom_id": "e", "result": {"type": "expired"}},
        {"custom_id": "f", "result": {"type": "postponed", "until": 3}},
        {"custom_id": "g", "result": {"type": "succeeded"}},
        {"custom_id": "h", "result": {"type": "errored", "error": "?"}},
        {"custom_id": 5},
    ]
    wire.does(results(*lines))
    got = await taken(batches(wire.url))
    assert [(one.custom_id, one.kind, one.type) for one in got] == [
        ("a", "succeeded", "succeeded"),
        ("b", "errored", "errored"),
        ("c", "errored", "errored"),
        ("d", "canceled", "canceled"),
        ("e", "expired", "expired"),
        ("f", "unknown", "postponed"),
        ("g", "unknown", "succeeded"),
        ("h", "unknown", "errored"),
        ("", "unknown", ""),
    ]
    assert [(e.type, e.message, e.code, e.request_id) for one in got if (e := one.error)] == [
        ("overloaded_error", "m", "c", "req_9"),
        ("invalid_request_error", "max_tokens: 0", None, None),
    ]
    assert json.loads(got[5].line) == lines[5]


async def test_a_download_that_breaks_off_says_so_after_the_lines_that_came(wire, batches):
    for cut in (1, 30):
        wire.does(results(succeeded("a"), succeeded("b"), cut=cut))
        got = []
        with pytest.raises(AttemptError) as caught:
            async with aclosing(batches(wire.url).results("msgbatch_01")) as lines:
                async for line in lines:
                    got.append(line.custom_id)
        assert got == ["a"]
        assert (caught.value.retryable, caught.value.may_be_billed) == (True, False)


async def test_a_body_that_ends_in_half_a_line_is_not_whole(wire, batches):
    body = json.dumps(succeeded("a")).encode() + b"\n" + json.dumps(succeeded("b")).encode()
    wire.does(http(200, body, "content-type: application/x-jsonl"))
    assert [one.custom_id for one in await taken(batches(wire.url))] == ["a", "b"]
    wire.does(http(200, body[:-9], "content-type: application/x-jsonl"))
    with pytest.raises(AttemptError, match="broke off"):
        await taken(batches(wire.url))


async def test_lines_come_while_the_download_is_still_going_on(wire, batches):
    go_on = asyncio.Event()
    whole = results(succeeded("a"), succeeded("b"))
    place = whole.index(b'{"custom_id": "b"')
    wire.does(whole[:place], go_on, whole[place:])
    async with aclosing(batches(wire.url).results("msgbatch_01")) as lines:
        assert (await anext(lines)).custom_id == "a"
        go_on.set()
        assert [line.custom_id async for line in lines] == ["b"]


async def test_a_silent_download_ends_but_a_slow_reader_has_time(wire, batches):
    whole = results(succeeded("a"), succeeded("b"))
    wire.does(whole)
    async with aclosing(batches(wire.url, idle_timeout_s=0.3).results("msgbatch_01")) as lines:
        await anext(lines)
        await asyncio.sleep(0.6)
        assert (await anext(lines)).custom_id == "b"
    wire.does(whole[:-30], HANG)
    with pytest.raises(AttemptError) as caught:
        await taken(batches(wire.url, idle_timeout_s=0.3))
    assert caught.value.type == "timeout"


async def test_a_page_in_the_place_of_results_is_no_line(wire, batches):
    wire.does(http(200, b"<html>log in</html>", "content-type: text/html"))
    with pytest.raises(PathFault, match="log in"):
        await taken(batches(wire.url))


async def test_the_list_comes_page_by_page_newest_first(raw_http, batches):
    first = {"data": [BATCH], "has_more": True, "first_id": "msgbatch_01", "last_id": "msgbatch_01"}
    last = {"data": [{**BATCH, "id": "b"}], "has_more": False, "first_id": "b", "last_id": "b"}
    raw_http.answers(answer(first), answer(last))
    pages = [page async for page in all_pages(batches(raw_http.url), limit=1)]
    assert [batch.id for page in pages for batch in page.batches] == ["msgbatch_01", "b"]
    assert [line.split()[1] for line in raw_http.lines] == [
        "/v1/messages/batches?limit=1",
        "/v1/messages/batches?limit=1&after_id=msgbatch_01",
    ]


async def test_cancel_and_delete_ask_for_just_that(raw_http, batches):
    cancelling = {**BATCH, "processing_status": "canceling"}
    raw_http.answers(
        answer(cancelling), answer({"id": "msgbatch_01", "type": "message_batch_deleted"})
    )
    client = batches(raw_http.url)
    assert (await client.cancel("msgbatch_01")).status == "canceling"
    await client.delete("msgbatch_01")
    assert raw_http.lines == [
        "POST /v1/messages/batches/msgbatch_01/cancel HTTP/1.1",
        "DELETE /v1/messages/batches/msgbatch_01 HTTP/1.1",
    ]


async def test_no_error_quotes_the_key(wire, batches):
    key = "sk-ant-secret-0123456789"
    wire.does(refusal(500, "api_error", f"you sent {key}"))
    client = batches(wire.url, api_key=key)
    for ask in (client.retrieve("b"), client.create(upload()), taken(client)):
        with pytest.raises(AttemptError) as caught:
            await ask
        assert key not in caught.value.message
        assert "[hidden]" in caught.value.message


def taken_of(client):
    return lambda batch_id: taken(client, batch_id)


@pytest.mark.parametrize(
    ("kind", "message", "error", "retryable"),
    [
        ("invalid_request_error", "max_tokens: 0", AttemptError, False),
        ("api_error", "Internal server error", AttemptError, True),
        ("overloaded_error", "Overloaded", AttemptError, True),
        ("timeout_error", "Timed out", AttemptError, True),
        ("something_new", "?", AttemptError, True),
        ("not_found_error", "model: x", NotServed, False),
        ("invalid_request_error", "prompt is too long: 5 tokens > 3 maximum", NotServed, False),
        ("billing_error", "no.", AccountRefused, None),
    ],
)
def test_an_errored_row_has_the_meaning_of_its_status_and_was_never_billed(
    kind, message, error, retryable
):
    found = error_table.row_failed(kind, message, request_id="req_1")
    assert type(found) is error
    if isinstance(found, AttemptError):
        assert (found.retryable, found.may_be_billed) == (retryable, False)
        assert (found.type, found.status, found.request_id) == (kind, None, "req_1")


async def test_requests_are_taken_no_faster_than_the_connection_carries_them(batches):
    taken, arrived, left = [0], asyncio.Event(), asyncio.Event()

    def requests():
        for _ in range(1000):
            taken[0] += 1
            yield REQUESTS[0][:-1] + b" " * 2**17 + b"}"

    async def reads_nothing(reader, writer):
        arrived.set()
        await left.wait()
        writer.transport.abort()

    server = await asyncio.start_server(reads_nothing, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    length = 1000 * (len(REQUESTS[0]) + 2**17)
    client = batches(url, idle_timeout_s=1.0)
    with pytest.raises(AttemptError) as caught:
        await client.create(
            batch_bodies.of_requests(requests(), length=batch_bodies.body_length(1000, length))
        )
    assert arrived.is_set()
    assert (caught.value.type, caught.value.may_be_billed) == ("timeout", False)
    # 125 MB in all; what stands between the two are the kernel's buffers.
    assert taken[0] < 200
    left.set()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.01)
