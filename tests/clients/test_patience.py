"""No attempt outlives its deadline, and none waits for an answer that has fallen
silent, wherever the server stops.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import suppress

import pytest

from claudebatch.clients.wire_format import STREAM_ABOVE
from tests.clients.test_wire_table import LOST, check, ending
from tests.clients.wire import AT_ONCE, BODY, HANG, STREAM_HEAD, WHOLE, events, head, http

LONG = STREAM_ABOVE + 1
FAR = 600.0
"""Never reached: the attempt must have ended for another reason."""
PATIENCE_S = 60
"""Against a test that hangs; nothing is expected to take so long."""


async def within(seconds, client, call):
    """The ending of an attempt, which must come by itself."""
    async with asyncio.timeout(seconds):
        return await ending(client, call)


PLAIN = head(200, f"content-length: {len(BODY)}")
STREAM = STREAM_HEAD + events(*WHOLE[:3])


def dripping(body: bytes):
    return [step for n in range(len(body)) for step in (body[n : n + 1], 0.03)]


HANGS = {
    "before the head": ((HANG,), {}),
    "before the request is read": ((AT_ONCE, HANG), {}),
    "in the head": ((b"HTTP/1.1 200 OK\r\ncontent-le", HANG), {}),
    "after the head": ((PLAIN, HANG), {}),
    "in the head of an error": ((b"HTTP/1.1 500 No\r\n", HANG), {}),
    "in the body of an error": ((head(500, "content-length: 99") + b"Over", HANG), {}),
    "before the head of a stream": ((HANG,), {"max_tokens": LONG}),
    "a head that drips": (dripping(PLAIN), {}),
    "a body that drips": ((PLAIN, *dripping(BODY)), {}),
    "a stream that drips": ((STREAM_HEAD, *dripping(events(*WHOLE))), {"max_tokens": LONG}),
    "an error that drips": ((head(500, "content-length: 99"), *dripping(bytes(99))), {}),
    "pings for ever": ((STREAM, *([events({"type": "ping"}), 0.03] * 300)), {"max_tokens": LONG}),
}


@pytest.mark.parametrize("name", HANGS)
async def test_an_attempt_ends_at_its_deadline_whatever_the_server_still_does(
    name, wire, connect, call
):
    steps, params = HANGS[name]
    wire.does(*steps)
    error = await within(
        PATIENCE_S, connect(wire.url, idle_timeout_s=FAR), call(deadline_s=0.25, **params)
    )
    check(error, LOST)
    assert (error.type, error.message) == ("timeout", "no whole answer within 0.25 s")


@pytest.mark.filterwarnings("ignore:Sending a large body directly")
async def test_a_large_request_that_nobody_takes_ends_at_its_deadline(wire, connect, call):
    """More than the socket's buffers hold: the request itself hangs half-way, before
    and after a head came.
    """
    wanted = call("x" * 2**24, deadline_s=0.5)
    for steps in ((AT_ONCE, 10.0), (AT_ONCE, PLAIN, 10.0)):
        wire.does(*steps)
        error = await within(PATIENCE_S, connect(wire.url), wanted)
        check(error, LOST)
        assert error.type == "timeout", error.message


async def test_a_connection_that_is_never_made_ends_at_its_deadline_and_is_not_taken_for_sent(
    connect, call
):
    """A full queue of connections: the kernel leaves the next one unanswered."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(full.getsockname())
            waiting.append(one)
        error = await within(
            5, connect(f"http://127.0.0.1:{full.getsockname()[1]}"), call(deadline_s=0.25)
        )
        for one in waiting:
            one.close()
    assert (error.type, error.retryable, error.unavailable) == ("timeout", True, True)


SILENT = {
    "a stream after its head": ((STREAM_HEAD, HANG), {"max_tokens": LONG}),
    "a stream in a block": ((STREAM, HANG), {"max_tokens": LONG}),
    "a stream in an event": ((STREAM + b"data: {", HANG), {"max_tokens": LONG}),
    "a plain answer in its body": ((PLAIN + BODY[:20], HANG), {}),
}


@pytest.mark.parametrize("name", SILENT)
async def test_an_answer_that_falls_silent_is_given_up_long_before_the_deadline(
    name, wire, connect, call
):
    steps, params = SILENT[name]
    wire.does(*steps)
    error = await within(
        PATIENCE_S, connect(wire.url, idle_timeout_s=0.2), call(deadline_s=FAR, **params)
    )
    check(error, LOST)
    assert (error.type, error.message) == ("timeout", "the answer fell silent for 0.2 s")
    async with asyncio.timeout(PATIENCE_S):
        await wire.left.wait()


async def test_an_answer_that_has_not_begun_may_take_its_time(wire, connect, call):
    # The last one: some gateways send the head at once, and the body when they have it.
    for steps, params in (
        ((0.3, http(200, BODY)), {}),
        ((0.3, STREAM_HEAD, events(*WHOLE)), {"max_tokens": LONG}),
        ((PLAIN, 0.3, BODY), {}),
    ):
        wire.does(*steps)
        assert (await connect(wire.url, idle_timeout_s=0.1)(call(**params))).text == "Hello there"


async def test_a_stream_that_keeps_saying_something_is_waited_for(wire, connect, call):
    pings = [step for _ in range(8) for step in (0.3, events({"type": "ping"}))]
    wire.does(STREAM, *pings, events(*WHOLE[3:]))
    reply = await connect(wire.url, idle_timeout_s=2.0)(call(max_tokens=LONG))
    assert reply.text == "Hello there"


async def test_the_simulators_hanging_stream_is_given_up(simulate, connect, call):
    _, url = await simulate(script=("stream_hang", "ok"))
    client = connect(url, idle_timeout_s=0.2)
    check(await within(PATIENCE_S, client, call(deadline_s=FAR, max_tokens=LONG)), LOST)
    assert (await client(call(max_tokens=LONG))).text


async def test_a_cancelled_attempt_leaves_no_connection_behind(wire, connect, call):
    for steps, params in ((HANG,), {}), ((PLAIN, HANG), {}), ((STREAM, HANG), {"max_tokens": LONG}):
        wire.does(*steps)
        wire.left.clear()
        asked = len(wire.requests)
        asking = asyncio.ensure_future(connect(wire.url)(call(**params)))
        async with asyncio.timeout(PATIENCE_S):
            while len(wire.requests) == asked:
                await asyncio.sleep(0.001)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(PATIENCE_S):
            await wire.left.wait()


@pytest.fixture
def many_files():
    """Room for both ends of a few thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (-1, resource.RLIM_INFINITY) and hard < 4096:
        pytest.skip(f"this machine lets a process open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_every_request_has_a_connection_when_it_is_sent(many_files, connect, call):
    """More at once than the SDK's own pool has room for, and its transport's; nobody
    waits for a place in a pool.
    """
    at_once = 1100
    arrived = asyncio.Event()

    async def serve(reader, writer):
        serving.append(writer)
        if len(serving) == at_once:
            arrived.set()
        await arrived.wait()
        writer.write(http(200, BODY, "connection: close"))
        writer.close()

    serving: list[asyncio.StreamWriter] = []
    listening = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=2048)
    async with listening:
        client = connect(
            f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", concurrency=at_once
        )
        replies = await asyncio.gather(*(client(call()) for _ in range(at_once)))
    assert {reply.text for reply in replies} == {"Hello there"}
