"""The far end of a scenario, in virtual time: the simulator's own token buckets, and
what else befalls requests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil, log

from claudebatch.clients import error_table
from claudebatch.clients.headers import HeaderFacts, read_headers
from claudebatch.core.domain import AnswerObserver, Call, PromptTokens, Reply, Usage
from claudebatch.core.errors import AttemptError, StopRun
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.simulator.latency import parse_latency
from claudebatch.simulator.limits import SimulatedLimits
from claudebatch.simulator.refusals import RefusedRequest
from claudebatch.simulator.settings import SimulatedAllowance
from tests.scenarios.scenario import Server, Window
from tests.support.parts import TODAY
from tests.support.scripted import make_reply
from tests.support.virtual import now

_REFUSED_AFTER_S = 0.05
_OTHER_TRIES_AGAIN_S = 0.1
_BAD_AFTER_S = 0.1
_NO_HEADERS = HeaderFacts(None, None, None, None, simulated=False)
_BAD: dict[str, Callable[[], AttemptError | StopRun]] = {
    "500": lambda: error_of(500, "Internal server error"),
    "reset": lambda: error_table.connection_failed("reset", sent=True),
    "empty": lambda: error_table.bad_answer("empty", 200, _NO_HEADERS),
    "garbage": lambda: error_table.connection_failed("garbage", sent=True),
}
_PLAIN = make_reply()
_DENSITY_SPREAD = 0.05
_PIECE_S = 1.5
_FEWEST_PIECES = 8


class Buckets(SimulatedLimits):
    """The simulator's buckets, whose limits may change while levels stay."""

    def take_over(self, before: Buckets, at: float) -> None:
        """Begin with what *before* holds."""
        for ours, theirs in ((self._requests, before._requests), (self._input, before._input),
                             (self._output, before._output)):  # fmt: skip
            if ours is not None and theirs is not None:
                ours.take(ours.capacity - theirs.level(at), at)
                ours._drains, ours._drained_per_s = theirs._drains, theirs._drained_per_s

    def use_up(self, share: float, at: float) -> None:
        """Others have taken *share* of what each bucket can hold."""
        for bucket in (self._requests, self._input, self._output):
            if bucket is not None:
                bucket.take(share * bucket.capacity, at)


@dataclass
class Seen:
    """What the API saw."""

    came: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    """The row of each request that came."""
    admitted: list[tuple[float, int]] = field(default_factory=list)
    """When a request was let in, and its input tokens."""
    refused: list[tuple[float, float | None]] = field(default_factory=list)
    """When each 429 was sent, and the `retry-after` it carried."""
    made: list[tuple[float, float, int]] = field(default_factory=list)
    """From when to when an answer was produced, and its output tokens."""
    produced: list[tuple[float, int]] = field(default_factory=list)
    """When an answer was ready, and its output tokens."""
    most_in_flight: int = 0
    watched: int = 0
    """Answers that somebody watched."""


class Api:
    """Answers as *server* says; *count* tells the input and output tokens of a row."""

    def __init__(
        self,
        server: Server,
        count: Callable[[int], tuple[int, int]],
        *,
        rng: random.Random,
        bad: frozenset[int] = frozenset(),
    ) -> None:
        """*bad* are the rows that always fail."""
        self._server = server
        self._count = count
        self._rng = rng
        self._bad = bad
        self._texts = random.Random(
            1
        )  # of its own: whether answers are watched changes nothing else
        self._latency = parse_latency(server.latency)
        self._travel = parse_latency(server.travel)
        self.seen = Seen()
        # Mutable: the limits in force, changes to come, requests in flight, and what
        # headers said when.
        self._buckets = _buckets(server, 1.0)
        self._buckets.use_up(1.0 - server.filled, now())
        self._changes = list(server.changes)
        self._in_flight = 0
        self._said: list[tuple[float, Limits | None]] = []
        self._say()

    async def __call__(self, call: Call) -> Reply:
        """The client's part of the stack: sends once."""
        began = now()
        if (travel_s := self._travel.draw(self._rng)) > 0:
            await asyncio.sleep(travel_s)
        self.seen.came.append(now())
        self.seen.rows.append(call.row)
        self._in_flight += 1
        self.seen.most_in_flight = max(self.seen.most_in_flight, self._in_flight)
        try:
            return await self._serve(call, began)
        finally:
            self._in_flight -= 1

    async def other_user(self, input_tokens: int, output_tokens: int) -> None:
        """Takes its share for ever, a request like ours at a time."""
        server, share = self._server, self._server.others_take
        per_s = min(
            share * limit / 60 / units
            for limit, units in (
                (server.rpm, 1),
                (server.itpm, input_tokens),
                (server.otpm, output_tokens),
            )
            if limit
        )
        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        due = now()
        while True:
            due += self._rng.expovariate(per_s)
            await asyncio.sleep(max(0.0, due - now()))
            while not self._admits(input_tokens):
                await asyncio.sleep(_OTHER_TRIES_AGAIN_S)
            self._buckets.produce(output_tokens, 0.0, now())
            self._buckets.settle(input_tokens, usage, now())
            self._buckets.finish(output_tokens, now())

    async def _serve(self, call: Call, began: float) -> Reply:
        await self._meet_trouble(call, began)
        if call.row in self._bad:
            await asyncio.sleep(_BAD_AFTER_S)
            raise _BAD[self._server.bad_as]()
        never = self._server.never_every
        if never and call.row % never == never - 1:
            words = "This request would exceed your organization's rate limit."
            await self._refuse(words, self._server.never_wait, limits=self._say())
        counted_input, counted_output = self._count(call.row)
        most = self._server.max_concurrency
        if most is not None and self._in_flight > most:
            await self._refuse(
                f"Number of concurrent connections has exceeded your rate limit of {most}.", 1
            )
        try:
            self._current().admit(counted_input, now())
        except RefusedRequest as refused:
            await self._refuse(refused.message, refused.retry_after_s, limits=self._say())
        self.seen.admitted.append((now(), counted_input))
        at_start = self._say() if self._server.headers == "start" else None
        latency_s = self._latency.draw(self._rng)
        if self._server.of_a_token:
            latency_s *= counted_output
        self._current().produce(counted_output, latency_s, now())
        self.seen.made.append((now(), now() + latency_s, counted_output))
        self.seen.watched += call.watch is not None
        await self._come(call.watch, counted_input, counted_output, latency_s)
        usage = Usage(
            counted_input,
            counted_output,
            thinking_tokens=round(self._server.thinks * counted_output),
        )
        self._current().settle(counted_input, usage, now())
        self._current().finish(counted_output, now())
        self.seen.produced.append((now(), counted_output))
        limits = at_start if self._server.headers == "start" else self._say()
        return make_answer(usage, limits, now() - began)

    async def _come(
        self, watch: AnswerObserver | None, input_tokens: int, tokens: int, seconds: float
    ) -> None:
        """Be produced for so long, and be seen by *watch*."""
        server = self._server
        if watch is None or server.streams == "not":
            await asyncio.sleep(seconds)
            if watch is not None:
                watch.began(self._say())
            return
        watch.began(self._say())
        watch.read(PromptTokens(input_tokens))
        if server.thinks:
            watch.hides()
            await asyncio.sleep(seconds * server.thinks)
        shown = round(tokens * (1 - server.thinks))
        size = round(
            shown * self._texts.lognormvariate(log(server.bytes_per_token), _DENSITY_SPREAD)
        )
        if server.streams == "late":
            await asyncio.sleep(seconds * (1 - server.thinks))
            watch.showed(size)
            return
        await self._write(watch, size, seconds * (1 - server.thinks))

    async def _write(self, watch: AnswerObserver, size: int, seconds: float) -> None:
        pieces = max(_FEWEST_PIECES, ceil(seconds / _PIECE_S))
        for piece in range(pieces):
            await asyncio.sleep(seconds / pieces)
            watch.showed(size * (piece + 1) // pieces - size * piece // pieces)

    async def _meet_trouble(self, call: Call, began: float) -> None:
        window = next(
            (window for window in self._server.windows if window.since <= now() < window.until),
            None,
        )
        if window is not None:
            await self._trouble(window)
        drawn = self._rng.random()
        for fault, probability in self._server.faults.items():
            drawn -= probability
            if drawn < 0:
                if fault == "hang":
                    await asyncio.sleep(began + call.deadline_s - now())
                    raise error_table.timed_out(call.deadline_s)
                await self._trouble(Window(0, 0, fault, retry_after=1.0))

    async def _trouble(self, window: Window) -> None:
        if window.does == "429":
            await self._refuse(
                "This request would exceed your organization's rate limit.",
                window.retry_after,
                limits=self._say() if self._server.refusals_say else None,
            )
        await asyncio.sleep(_REFUSED_AFTER_S)
        raise (
            error_table.connection_failed("reset", sent=True)
            if window.does == "reset"
            else error_of(529, "Overloaded")
        )

    async def _refuse(
        self, message: str, retry_after: float | None, *, limits: Limits | None = None
    ) -> None:
        await asyncio.sleep(_REFUSED_AFTER_S)
        retry_after = retry_after if self._server.retry_after else None
        self.seen.refused.append((now(), retry_after))
        raise error_of(429, message, retry_after, limits=limits)

    def _admits(self, input_tokens: int) -> bool:
        try:
            self._current().admit(input_tokens, now())
        except RefusedRequest:
            return False
        return True

    def _current(self) -> Buckets:
        while self._changes and self._changes[0].at <= now():
            before, change = self._buckets, self._changes.pop(0)
            self._buckets = _buckets(self._server, change.times)
            self._buckets.take_over(before, change.at)
        return self._buckets

    def _say(self) -> Limits | None:
        """What the headers of an answer say that leaves now."""
        if self._server.headers == "none":
            return None
        lines = self._current().headers(now()).split(b"\r\n")[:-1]
        pairs = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        limits = read_headers(pairs, now=TODAY).limits
        if limits is not None and self._server.headers not in ("start", "end"):
            limits = Limits(
                *(
                    self._lie(reading)
                    for reading in (limits.requests, limits.input_tokens, limits.output_tokens)
                )
            )
        if not self._server.stale_s:
            return limits
        self._said.append((now(), limits))
        while len(self._said) > 1 and self._said[1][0] <= now() - self._server.stale_s:
            del self._said[0]
        return self._said[0][1]

    def _lie(self, reading: LimitReading) -> LimitReading:
        match self._server.headers:
            case "always full":
                return LimitReading(reading.limit, reading.limit)
            case "always empty":
                return LimitReading(reading.limit, 0)
        return LimitReading(
            reading.limit and 10 * reading.limit, reading.remaining and 10 * reading.remaining
        )


def error_of(
    status: int, message: str, retry_after: float | None = None, *, limits: Limits | None = None
) -> AttemptError | StopRun:
    """What the client makes of an error answer."""
    facts = HeaderFacts("req_1", retry_after, None, limits, simulated=False)
    return error_table.from_status(status, type=None, code=None, message=message, headers=facts)


def make_answer(usage: Usage, limits: Limits | None, took_s: float) -> Reply:
    """What the client makes of an answer."""
    plain = _PLAIN
    return Reply(plain.message, plain.model, plain.text, plain.stop_reason, usage, limits=limits,
                 latency_ms=round(took_s * 1000))  # fmt: skip


def _buckets(server: Server, times: float) -> Buckets:
    rpm, itpm, otpm = (
        round(limit * times) if limit else None for limit in (server.rpm, server.itpm, server.otpm)
    )
    began = now()
    allowance = SimulatedAllowance(rpm, itpm, otpm, server.burst_s, server.output_at_end)
    return Buckets(allowance, now=began, wall=lambda: TODAY + timedelta(seconds=now()))
