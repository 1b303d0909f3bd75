"""A stream begins when its request is let in, grows evenly over its time, and is not
ready before its end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from heapq import heappop, heappush
from typing import Any

import pytest

from claudebatch.simulator import SimulatedAllowance
from claudebatch.simulator.sse_writer import PIECE
from tests.simulator.conftest import Now, Served

PATIENCE_S = 60
LONG = "[[simulate: tokens 300]]"
"""Has more events than frames in a second."""
SHORT = "[[simulate: empty]]"
"""Shows nothing of the tokens it takes."""


class Sleepers:
    """Every wait of a simulator, on the clock that a test moves."""

    def __init__(self) -> None:
        # The clock itself; it is there once the simulator is.
        self.now = Now()
        # How long each wait was to be, and who waits, the earliest end first; changed
        # by `sleep` and `pass_` only.
        self.asked: list[float] = []
        self._waiting: list[tuple[float, int, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        over = asyncio.Event()
        heappush(self._waiting, (self.now.seconds + seconds, len(self.asked), over))
        await over.wait()

    async def pass_(self, seconds: float) -> None:
        """Move the clock on, and wake at its moment whoever waits for one in
        between.
        """
        end = self.now.seconds + seconds
        while self._waiting and self._waiting[0][0] <= end + 1e-9:
            self.now.seconds, _, over = heappop(self._waiting)
            over.set()
            # Who wakes only writes to a socket and falls asleep again: it waits for
            # nothing else.
            for _ in range(10):
                await asyncio.sleep(0)
        self.now.seconds = end


class Stream:
    """A streamed answer, as far as it has come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        self.over = False
        self._reading: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Wait for the head; what comes after it is read from now on."""
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE_S)).decode()
        first, *lines = head.strip().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.split(": ", 1) for line in lines)
        self._reading = asyncio.create_task(self._read())

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def text(self) -> str:
        return "".join(event["delta"].get("text", "") for event in self.events if "delta" in event)

    def left(self, name: str) -> int:
        """What the head says is left of a limit."""
        return int(self.headers[f"anthropic-ratelimit-{name}-remaining"])

    async def leave(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()
        await self._writer.wait_closed()

    async def _read(self) -> None:
        while line := await self._reader.readline():
            if line.startswith(b"data: "):
                self.events.append(json.loads(line[6:]))
            if line == b"0\r\n":
                break
        self.over = True


Ask = Callable[..., Awaitable[Stream]]


@pytest.fixture
def time() -> Sleepers:
    """The waits of the simulator that is served next."""
    return Sleepers()


@pytest.fixture
def slow(serve, time) -> Callable[..., Awaitable[Served]]:
    """Starts a simulator whose answers take their *latency* of a clock that only the
    test moves.
    """

    async def start(latency: str, **settings: Any) -> Served:
        served = await serve(latency=latency, sleep=time.sleep, **settings)
        time.now = served.now
        return served

    return start


@pytest.fixture
async def begin(raw, body):
    """Asks for streams, and gives each once its head has come."""
    streams: list[Stream] = []

    async def ask(served: Served, prompt: str = LONG, **more: Any) -> Stream:
        reader, writer = await served.open()
        writer.write(raw("POST", "/v1/messages", body(prompt, **{"stream": True, **more})))
        stream = Stream(reader, writer)
        streams.append(stream)
        await stream.begin()
        return stream

    yield ask
    for stream in streams:
        await stream.leave()


async def test_the_head_and_the_first_event_come_before_any_time_has_passed(slow, begin, time):
    served = await slow("fixed:60")
    stream = await begin(served)
    await served.until(lambda: stream.events)
    assert (stream.status, stream.types, served.now.seconds) == (200, ["message_start"], 1000.0)
    assert served.simulator.stats()["in_flight"] == 1
    await time.pass_(59.9)
    assert not stream.over
    await time.pass_(0.1)
    await served.until(lambda: stream.over)
    assert stream.types[-1] == "message_stop"


@pytest.mark.parametrize("fault", ["cut", "drip", "stream_error", "stream_open", "stream_hang"])
async def test_a_stream_that_will_fail_begins_like_any_other_and_goes_on_once_its_time_is_over(
    slow, begin, time, fault
):
    served = await slow("fixed:60", script=(fault,), drip_s=0.001)
    stream = await begin(served)
    await served.until(lambda: stream.events)
    await time.pass_(59.9)
    assert (stream.status, stream.types) == (200, ["message_start"])
    await time.pass_(1)
    await served.until(lambda: len(stream.events) > 1)


async def test_the_headers_of_a_stream_are_of_the_moment_at_which_it_was_let_in(slow, begin, time):
    served = await slow("fixed:10", limits=SimulatedAllowance(rpm=60, itpm=60_000, otpm=6_000))
    prompt = "[[simulate: tokens 5000]] " + "x" * 26_000
    first = await begin(served, prompt, max_tokens=8_000)
    assert (first.left("requests"), first.left("output-tokens")) == (59, 6_000), (
        "nothing is written yet"
    )
    assert first.left("input-tokens") == 50_000, "and all of the prompt is read"
    await time.pass_(5)
    second = await begin(served, prompt, max_tokens=8_000)
    # Of the output 500 a second went and 100 came; 1,000 of the input came back, and
    # every request.
    assert (second.left("requests"), second.left("output-tokens")) == (59, 4_000)
    assert second.left("input-tokens") == 45_000


async def test_a_plain_answers_headers_are_of_its_end(slow, body, time):
    served = await slow("fixed:10", limits=SimulatedAllowance(otpm=6_000))
    asking = asyncio.create_task(served.ask(body("[[simulate: tokens 5000]]", max_tokens=8_000)))
    await served.until(lambda: time.asked)
    await time.pass_(10)
    assert (await asking).headers["anthropic-ratelimit-output-tokens-remaining"] == "2000"


@pytest.mark.parametrize("seconds", [1, 60])
@pytest.mark.parametrize("thinking", ["adaptive", "disabled"])
async def test_text_comes_evenly_while_its_tokens_are_produced(
    slow, body, begin, time, seconds, thinking
):
    served = await slow(f"fixed:{seconds}")
    more = {"thinking": {"type": thinking}}
    asking = asyncio.create_task(served.ask(body(LONG, **more)))
    await served.until(lambda: time.asked)
    await time.pass_(seconds)
    plain = await asking
    thought = plain.json["usage"]["output_tokens_details"]["thinking_tokens"]
    assert (thought > 0) == (thinking == "adaptive")
    stream = await begin(served, LONG, **more)
    for part in range(1, 21):
        await time.pass_(seconds / 20)
        due = len(plain.text) * max(0, 300 * part / 20 - thought) / (300 - thought)
        # Three deltas: one is not yet whole, and up to two are of a frame that is not
        # yet over.
        await served.until(lambda due=due: len(stream.text) >= due - 3 * PIECE)
        assert len(stream.text) <= due + PIECE
    await served.until(lambda: stream.over)
    assert stream.text == plain.text


async def test_no_more_frames_leave_than_twenty_a_second_and_each_after_the_same_time(
    slow, begin, time
):
    served = await slow("fixed:1")
    stream = await begin(served)
    await time.pass_(1)
    await served.until(lambda: stream.over)
    assert len(stream.events) > 20
    assert time.asked == [pytest.approx(0.05)] * 20


async def test_a_stream_shorter_than_a_frame_comes_whole_at_its_end(slow, begin, time):
    served = await slow("fixed:0.04")
    stream = await begin(served)
    await served.until(lambda: stream.events)
    await time.pass_(0.03)
    assert stream.types == ["message_start"]
    await time.pass_(0.01)
    await served.until(lambda: stream.over)
    assert time.asked == [0.04]


@pytest.mark.parametrize(("at_end", "meanwhile", "wait_s"), [(True, 200, "26"), (False, 429, "16")])
async def test_a_streams_output_counts_when_it_is_ready_or_as_it_is_written(
    slow, begin, time, at_end, meanwhile, wait_s
):
    served = await slow(
        "fixed:10", limits=SimulatedAllowance(otpm=600, burst_seconds=5, output_at_end=at_end)
    )
    stream = await begin(served)

    async def probe() -> Stream:
        found = await begin(served, "[[simulate: tokens 1]]")
        await found.leave()
        return found

    for _ in range(3):
        await time.pass_(3)
        assert (await probe()).status == meanwhile
    assert not stream.over
    await time.pass_(1)
    await served.until(lambda: stream.over)
    # All 300 come at once, from a bucket that was full; or 100 of them were refilled
    # meanwhile.
    refused = await probe()
    assert (refused.status, refused.headers["retry-after"]) == (429, wait_s)


async def test_a_client_that_leaves_before_the_end_ends_the_work(slow, begin, time):
    served = await slow("fixed:10")
    stream = await begin(served)
    await time.pass_(5)
    await stream.leave()
    await time.pass_(5)
    await served.until(lambda: served.simulator.stats()["in_flight"] == 0)
    stats = served.simulator.stats()
    assert (stats["undelivered"], stats["billed_undelivered_pico"]) == (1, stats["billed_pico"])


@pytest.mark.parametrize("prompt", [LONG, SHORT])
async def test_the_last_event_comes_when_the_time_is_over_and_who_leaves_then_has_the_answer(
    slow, begin, time, prompt
):
    served = await slow("fixed:60", limits=SimulatedAllowance(otpm=1, output_at_end=True))
    stream = await begin(served, prompt)
    for _ in range(600):
        await time.pass_(0.1)
        if "message_stop" in stream.types:
            break
    came = served.now.seconds
    await stream.leave()
    await time.pass_(60)
    await served.until(lambda: served.simulator.stats()["in_flight"] == 0)
    assert served.simulator.stats()["undelivered"] == 0
    assert (await begin(served, prompt)).status == 429, "its output was counted"
    assert came == pytest.approx(1060, abs=0.2)
