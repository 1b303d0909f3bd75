"""The wire: keep-alive, pipelining, pieces, and requests that are none."""

from __future__ import annotations

import asyncio
import gc
import json

import pytest

from claudebatch.simulator import Simulator


async def test_one_connection_carries_many_requests(serve, body, raw, hear):
    served = await serve()
    reader, writer = await served.open()
    for n in range(5):
        writer.write(raw("POST", "/v1/messages", body(f"row {n}")))
        assert f"row {n}" in (await hear(reader)).text


async def test_pipelined_requests_are_answered_in_their_order(serve, body, raw, hear):
    served = await serve(latency="uniform:0,0.005")
    reader, writer = await served.open()
    writer.write(b"".join(raw("POST", "/v1/messages", body(f"row {n};")) for n in range(20)))
    for n in range(20):
        assert f"row {n};" in (await hear(reader)).text


async def test_a_request_may_come_a_byte_at_a_time(serve, body, raw, hear):
    served = await serve()
    reader, writer = await served.open()
    data = raw("POST", "/v1/messages", body("tiny"))
    for place in range(len(data)):
        writer.write(data[place : place + 1])
        await asyncio.sleep(0)
    assert (await hear(reader)).status == 200


async def test_a_client_that_wants_to_close_is_closed_after_the_answer(serve, body, raw, hear):
    served = await serve()
    reader, writer = await served.open()
    writer.write(raw("POST", "/v1/messages", body(), {"connection": "close"}))
    assert (await hear(reader)).status == 200
    assert await asyncio.wait_for(reader.read(), 20) == b""


async def test_a_large_body_is_read_whole_and_one_above_the_maximum_is_a_413(serve, body):
    served = await serve(max_body_bytes=2_000_000)
    assert (await served.ask(body("x" * 1_900_000))).status == 200
    heard = await served.ask(body("x" * 5_000_000))
    assert heard.status == 413
    assert heard.json == {
        "error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}
    }


async def test_a_client_that_waits_for_permission_to_send_its_body_gets_it(serve, body, hear):
    served = await serve()
    data = json.dumps(body()).encode()
    reader, writer = await served.open()
    writer.write(
        b"POST /v1/messages HTTP/1.1\r\nauthorization: Bearer k\r\nanthropic-version: "
        b"2026-10-21\r\n"
        b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(data)
    )
    assert (
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        == b"HTTP/1.1 100 Continue\r\n\r\n"
    )
    writer.write(data)
    assert (await hear(reader)).status == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / FTP/1.1\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\ncontent-length: -5\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\ncontent-length: many\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", 411),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n", 431),
        (b"\xff\xfe\x00 \x01 \x02\r\n\r\n", 400),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_closed(serve, hear, data, status):
    served = await serve()
    reader, writer = await served.open()
    writer.write(data)
    assert (await hear(reader)).status == status
    assert await asyncio.wait_for(reader.read(), 20) == b""


async def test_clients_that_leave_at_any_byte_of_a_request_leave_nothing_behind(serve, body, raw):
    served = await serve()
    data = raw("POST", "/v1/messages", body())
    for length in range(0, len(data), 7):
        _, writer = await served.open()
        writer.write(data[:length])
        writer.close()
        await writer.wait_closed()
    assert (await served.ask(body())).status == 200
    assert served.simulator.stats()["requests"] == 1


async def test_stop_ends_idle_busy_and_just_opened_connections_without_a_trace(
    serve, body, raw, hear
):
    served = await serve(latency="fixed:3600")
    await served.open()
    _, busy = await served.open()
    busy.write(raw("POST", "/v1/messages", body()))
    await served.until(lambda: served.simulator.stats()["in_flight"] == 1)
    opening = [asyncio.create_task(served.open()) for _ in range(5)]
    await asyncio.sleep(0)
    await served.simulator.stop()
    await served.simulator.stop()
    await asyncio.gather(*opening, return_exceptions=True)
    assert served.simulator.stats()["in_flight"] == 0
    with pytest.raises(OSError):
        await served.open()
    # A socket that nobody closed would warn here, and warnings are errors.
    gc.collect()


async def test_stop_closes_a_connection_whose_task_had_not_begun(monkeypatch, serve):
    opened = asyncio.Event()
    accept = Simulator._accept

    def stop_first(self, reader, writer):
        opened.set()
        accept(self, reader, writer)

    monkeypatch.setattr(Simulator, "_accept", stop_first)
    served = await serve()

    async def stop():
        await opened.wait()
        await served.simulator.stop()

    stopping = asyncio.create_task(stop())
    reader, _ = await served.open()
    await asyncio.wait_for(stopping, 20)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 20)


async def test_it_can_be_started_again_on_the_same_port_with_what_it_knew(serve, body):
    served = await serve(latency="fixed:0.001")
    await served.ask(body())
    await served.simulator.stop()
    await served.simulator.start(served.port)
    assert (await served.ask(body())).status == 200
    assert served.simulator.stats()["duplicates"] == 1


async def test_hundreds_of_connections_at_once_are_all_served(serve, body):
    served = await serve(latency="uniform:0,0.01")
    heard = await asyncio.gather(*(served.ask(body(f"row {n}")) for n in range(300)))
    assert {h.status for h in heard} == {200}
    assert len({h.headers["request-id"] for h in heard}) == 300
    assert served.simulator.stats()["max_in_flight"] > 50


async def test_a_bug_in_a_connection_is_reported_and_does_not_hide(serve, body, raw):
    served = await serve()
    reported = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: reported.append(context["exception"])
    )

    def fail(seen):
        raise ZeroDivisionError

    served.simulator.on_request = fail
    reader, writer = await served.open()
    writer.write(raw("POST", "/v1/messages", body()))
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 20)
    await served.until(lambda: bool(reported))
    assert isinstance(reported[0], ZeroDivisionError)
