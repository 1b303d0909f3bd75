"""One Messages request from its arrival to its last byte: the fault, the limits, the
wait, the bill, the answer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TypeAlias

from claudebatch.core.domain import Pico, Usage, limited_as
from claudebatch.simulator import sse_writer, wire
from claudebatch.simulator.answers import Answer, ParsedRequest, compose
from claudebatch.simulator.cache_diagnostics import CacheDiagnostics
from claudebatch.simulator.clock import Clock, ResponseHeaders
from claudebatch.simulator.connection import Connection
from claudebatch.simulator.faults import BREAKING, LATE, REFUSING, FaultPlan, refusal
from claudebatch.simulator.gates import Gate, Gates
from claudebatch.simulator.http import Request, chunk, response_head
from claudebatch.simulator.latency import parse_latency
from claudebatch.simulator.promptcache import PromptCache
from claudebatch.simulator.reading import RequestReader
from claudebatch.simulator.refusals import RefusedRequest
from claudebatch.simulator.settings import SimulatorSettings
from claudebatch.simulator.stats import Stats

Bill: TypeAlias = Callable[[str, Usage], Pico]

SLOW_FACTOR = 10
_NO_TOKENS = 1e-6
# Events of a stream that are due within this time leave together: a write for each
# would cost more CPU than the client under test.
_FRAME_S = 0.05
EVENT_STREAM = b"text/event-stream; charset=utf-8"
WEB_PAGE = (
    b"<!doctype html><html><head><title>Bad gateway</title></head><body><h1>502</h1></body></html>"
)


class MessagesService:
    """Serves `POST /v1/messages`. The bill is written when the work begins, even if the
    client leaves before its end.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        *,
        reader: RequestReader,
        cache: PromptCache,
        plan: FaultPlan,
        stats: Stats,
        response_headers: ResponseHeaders,
        bill: Bill,
        pool_of: Callable[[str], str],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._settings = settings
        self._latency = parse_latency(settings.latency)
        self._gates = Gates(settings, wall=clock.wall)
        self._reader = reader
        self._cache = cache
        self._plan = plan
        self._stats = stats
        self._response_headers = response_headers
        self._bill = bill
        self._pool_of = pool_of
        self._clock = clock
        self._rng = rng
        # The number of answers, part of each answer's id; changed by `_answer` only.
        self._answers = 0
        self._diagnostics = CacheDiagnostics()

    async def serve(self, request: Request, connection: Connection) -> None:
        """Answer one request, or apply its fault to the connection. Raises
        `ClientLeft`.
        """
        now = self._clock.now()
        self._stats.arrived(now)
        gate: Gate | None = None
        try:
            # Drawn before the request is read: a script counts requests, valid or not.
            fault = self._plan.draw()
            asked = self._reader.read(request, now)
            self._stats.asked(asked.model, asked.digest, asked.body)
            fast = asked.body.get("speed") == "fast"
            pool = self._pool_of(limited_as(asked.model, fast=fast))
            gate = self._gates.gate(pool, now, fast=fast)
            await self._apply_fault(asked, asked.directives.fault or fault, gate, connection)
        except RefusedRequest as refused:
            await self._refuse(refused, gate, connection)
        finally:
            self._stats.left()

    async def _apply_fault(
        self, asked: ParsedRequest, fault: str | None, gate: Gate, connection: Connection
    ) -> None:
        """Apply an early fault; without one, or with a late one, answer."""
        if fault is not None:
            self._stats.befell(fault)
        if asked.directives.error is not None:
            name = str(asked.directives.error)
            raise (
                self._refusal(name) if name in REFUSING else RefusedRequest(asked.directives.error)
            )
        if fault in REFUSING:
            raise self._refusal(fault)
        if fault in BREAKING:
            await self._break(fault, connection)
        else:
            self._admit(asked, gate)
            await self._answer(asked, fault, gate, connection)

    def _refusal(self, name: str) -> RefusedRequest:
        return refusal(name, retry_after=self._settings.retry_after)

    def _admit(self, asked: ParsedRequest, gate: Gate) -> None:
        """Pass the limits or raise a 429."""
        most = self._settings.max_concurrency
        if most is not None and self._stats.in_flight > most:
            message = (
                "Number of concurrent connections has exceeded your rate limit of "
                f"{most}. (simulated)"
            )
            raise RefusedRequest(429, message, retry_after_s=1, should_retry=True, limited=True)
        gate.admit(asked.input_tokens, asked.started)
        self._cache.touch(asked.cache, asked.started)

    async def _refuse(
        self, refused: RefusedRequest, gate: Gate | None, connection: Connection
    ) -> None:
        if refused.limited:
            self._stats.rate_limited()
        if not self._settings.retry_after:
            refused.retry_after_s = None
        lines = self._limit_lines(gate) if refused.status == 429 else b""
        self._stats.answered(refused.status)
        await connection.send(render_refusal(refused, self._response_headers, lines))

    def _limit_lines(self, gate: Gate | None) -> bytes:
        if gate is None or self._settings.strip_headers:
            return b""
        return gate.headers(self._clock.now())

    async def _break(self, fault: str, connection: Connection) -> None:
        if fault == "reset":
            connection.reset()
            return
        self._stats.answered(200)
        page, content_type = (
            (WEB_PAGE, b"text/html") if fault == "html" else (b"", b"application/json")
        )
        lines = self._response_headers.lines(self._response_headers.next_id())
        await connection.send(
            response_head(200, lines, content_type=content_type, length=len(page)) + page
        )

    async def _answer(
        self, asked: ParsedRequest, fault: str | None, gate: Gate, connection: Connection
    ) -> None:
        """Do the work and bill it, then try to deliver."""
        self._answers += 1
        answer = compose(
            asked,
            self._answers,
            use_all=self._settings.use_all_max_tokens or self._settings.adversarial,
            invalid=fault == "invalid",
        )
        if "diagnostics" in asked.body:
            answer.message["diagnostics"] = self._diagnostics.compare(asked, answer.message["id"])
        cost = self._bill(asked.model, answer.usage)
        # Before anything is sent: the API bills work that it has done, whether the
        # client is still there or not. Drills compare this bill with the product's
        # ledger.
        self._stats.billed(answer.usage, cost)
        delivered = False
        try:
            if fault == "hang":
                await connection.wait_until_client_leaves()
            else:
                delivered = await self._deliver(asked, answer, fault, gate, connection)
        finally:
            if delivered:
                self._stats.delivered(asked.digest, cost)
            else:
                self._stats.undelivered(asked.digest, cost)

    async def _deliver(
        self,
        asked: ParsedRequest,
        answer: Answer,
        fault: str | None,
        gate: Gate,
        connection: Connection,
    ) -> bool:
        """Send the answer after its latency; True if all of it was written."""
        delay_s = self._delay(asked, fault)
        gate.produce(answer.usage.output_tokens, delay_s, self._clock.now())
        delay_s -= await self._until_it_begins(asked, delay_s)
        if not asked.stream or self._settings.holds_streams:
            await self._wait(delay_s)
            delay_s = 0.0
            # A client that timed out does not read the answer: it must count as
            # undelivered.
            if connection.client_left:
                return False
            gate.finish(answer.usage.output_tokens, self._clock.now())
        lines = self._begin(asked, answer, gate)
        if not asked.stream:
            return await self._ship(*_plain(answer, lines), fault, connection, streamed=False)
        # With the limits of this moment in its head, as the API's does.
        opening, coming = _stream(answer, lines, fault)
        await connection.send(opening)
        if fault in LATE - {"slow", "invalid"}:
            await self._wait(delay_s)
        else:
            await self._grow(coming, delay_s, connection)
            coming = []
        gate.finish(answer.usage.output_tokens, self._clock.now())
        return await self._ship(
            b"", b"".join(event.data for event in coming), fault, connection, streamed=True
        )

    def _delay(self, asked: ParsedRequest, fault: str | None) -> float:
        # Without output there is nothing to wait for but the beginning.
        if asked.body["max_tokens"] == 0:
            return self._settings.begins_after_s
        return self._latency.draw(self._rng) * (SLOW_FACTOR if fault == "slow" else 1)

    async def _until_it_begins(self, asked: ParsedRequest, delay_s: float) -> float:
        """Wait for the beginning of an answer that takes *delay_s*; returns the seconds
        waited.
        """
        begin_s = min(self._settings.begins_after_s, delay_s)
        if begin_s > 0:
            await self._wait(begin_s)
            # What others may read from now on, long before a plain answer is sent.
            self._cache.keep(asked.cache, asked.started)
        return begin_s

    def _begin(self, asked: ParsedRequest, answer: Answer, gate: Gate) -> bytes:
        """The answer begins: the lines of its head."""
        gate.settle(asked.input_tokens, answer.usage, self._clock.now())
        self._cache.keep(asked.cache, asked.started)
        self._stats.answered(200)
        return self._response_headers.lines(self._response_headers.next_id()) + self._limit_lines(
            gate
        )

    async def _grow(
        self, coming: list[sse_writer.StreamEvent], seconds: float, connection: Connection
    ) -> None:
        """Send each event at the moment of its tokens, with production spread evenly
        over *seconds*.
        """
        frames = max(1, min(len(coming), math.ceil(seconds / _FRAME_S)))
        per_frame = sum(event.tokens for event in coming) / frames
        made, sent = 0.0, 0
        for frame in range(1, frames + 1):
            await self._wait(seconds / frames)
            due = len(coming) if frame == frames else sent
            # Below the limit, not at it: the closing events have no tokens and leave
            # only when the time is over.
            while due < len(coming) and made + coming[due].tokens < per_frame * frame - _NO_TOKENS:
                made += coming[due].tokens
                due += 1
            if due > sent:
                await connection.send(b"".join(event.data for event in coming[sent:due]))
                sent = due

    async def _ship(
        self,
        opening: bytes,
        rest: bytes,
        fault: str | None,
        connection: Connection,
        *,
        streamed: bool,
    ) -> bool:
        match fault:
            case "cut":
                # The head promises the whole length: a client must notice that half of
                # it is missing.
                await connection.send(opening + rest[: len(rest) // 2])
                await connection.close()
                return False
            case "drip":
                await self._drip(opening, rest, connection)
            case "stream_error" | "stream_open" | "stream_hang" if streamed:
                await connection.send(opening + rest)
                if fault == "stream_hang":
                    await connection.wait_until_client_leaves()
                return False
            case _:
                await connection.send(opening + rest)
        return True

    async def _drip(self, opening: bytes, rest: bytes, connection: Connection) -> None:
        if opening:
            await connection.send(opening)
        for place in range(len(rest)):
            await connection.send(rest[place : place + 1])
            await self._wait(self._settings.drip_s)

    async def _wait(self, seconds: float) -> None:
        # A sleep of 0 seconds would still cost a turn of the loop.
        if seconds > 0:
            await self._clock.sleep(seconds)


def render_refusal(
    refused: RefusedRequest, response_headers: ResponseHeaders, lines: bytes = b""
) -> bytes:
    """A whole error answer."""
    request_id = response_headers.next_id()
    body = refused.body(request_id)
    return (
        response_head(
            refused.status,
            response_headers.lines(request_id) + refused.headers() + lines,
            length=len(body),
        )
        + body
    )


def _plain(answer: Answer, lines: bytes) -> tuple[bytes, bytes]:
    body = wire.encode(answer.message)
    return response_head(200, lines, length=len(body)), body


def _stream(
    answer: Answer, lines: bytes, fault: str | None
) -> tuple[bytes, list[sse_writer.StreamEvent]]:
    """The head with the first event, and all that comes after it, in chunks."""
    first, *others = sse_writer.befallen(answer.message, fault)
    head = response_head(
        200, lines + b"cache-control: no-cache\r\n", content_type=EVENT_STREAM, length=None
    )
    coming = [sse_writer.StreamEvent(chunk(event.data), event.tokens) for event in others]
    return head + chunk(first.data), coming if fault == "stream_hang" else [
        *coming,
        sse_writer.StreamEvent(chunk(b"")),
    ]
