"""The body of an answer, read piece by piece: never more than fits an answer, never
waiting for ever.

Imports `httpx2`, which only comes with the SDK: only `sdk.py` imports this, and only
once something is to be sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import httpx2

from claudebatch.clients.sse import EventReader
from claudebatch.clients.stream_assembler import StreamAssembler
from claudebatch.core.domain import AnswerObserver
from claudebatch.core.message import BadAnswer

MAX_BYTES = 32 * 2**20
"""After decompression. The API takes no request above it, and no answer comes near it;
a gzip bomb does.
"""
_MAX_ERROR_BYTES = 2**18
_ENCODING = "content-encoding"


class ReadTimeout:
    """Ends an attempt at its deadline, and earlier once an answer that had begun falls
    silent.
    """

    def __init__(self, limit: asyncio.Timeout, idle_s: float) -> None:
        self._limit = limit
        self._idle_s = idle_s
        self._end = limit.when() or 0.0
        self._loop = asyncio.get_running_loop()
        self.silent = False
        """Whether the limit now in force is the one on silence."""

    def postpone(self, seconds: float) -> None:
        """Let the attempt end so much later: the process stood still for that long."""
        self._end += seconds
        self._limit.reschedule((self._limit.when() or 0.0) + seconds)

    def heard(self) -> None:
        """Something came: the silence begins anew."""
        gap_ends = self._loop.time() + self._idle_s
        self.silent = gap_ends < self._end
        self._limit.reschedule(min(gap_ends, self._end))


class _Plain:
    """A body that is the message."""

    def __init__(self) -> None:
        # Mutable, changed by `take` only.
        self._pieces: list[bytes] = []

    def take(self, piece: bytes) -> bool:
        """Take the next piece; whether the message is complete, which only the end of
        the body tells.
        """
        self._pieces.append(piece)
        return False

    def message(self) -> bytes:
        return b"".join(self._pieces)


class _Streamed:
    """A body of events that add up to the message."""

    def __init__(self, watch: AnswerObserver | None) -> None:
        self._reader = EventReader()
        self._fold = StreamAssembler()
        self._watch = watch
        # Mutable, changed by `_tell` only: what the watch knows.
        self._told = 0
        self._told_read = self._told_hidden = False

    def take(self, piece: bytes) -> bool:
        """Take the next piece; whether the message is complete. Raises `BadAnswer` and
        `StreamFailed`.
        """
        try:
            for data in self._reader.feed(piece):
                self._fold.take(data)
                if self._fold.done:
                    break
        finally:
            if self._watch is not None:
                self._tell(self._watch)
        return self._fold.done

    def _tell(self, watch: AnswerObserver) -> None:
        """Once for all events that came together."""
        if self._fold.read is not None and not self._told_read:
            self._told_read = True
            watch.read(self._fold.read)
        if self._fold.hides and not self._told_hidden:
            self._told_hidden = True
            watch.hides()
        if self._fold.grown > self._told:
            watch.showed(self._fold.grown - self._told)
            self._told = self._fold.grown

    def message(self) -> bytes:
        return self._fold.message()


async def read_message(
    response: httpx2.Response, patience: ReadTimeout, watch: AnswerObserver | None = None
) -> bytes:
    """The message in *response*, plain or streamed; *watch* sees a streamed one grow.

    Raises `BadAnswer`, `StreamFailed`, and errors of `httpx2`.
    """
    body: _Plain | _Streamed = _Plain()
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        body = _Streamed(watch)
        # From its head on a stream is never silent: the API sends a ping now and then,
        # even while the model thinks.
        patience.heard()
    try:
        await _read(response, patience, body)
    except httpx2.DecodingError as error:
        raise BadAnswer(f"the body cannot be decompressed: {error}") from error
    finally:
        await response.aclose()
    return body.message()


async def _read(response: httpx2.Response, patience: ReadTimeout, body: _Plain | _Streamed) -> None:
    """Give *body* the pieces of *response* until it has enough."""
    left = MAX_BYTES
    pieces = _decoded(response)
    try:
        async for piece in pieces:
            patience.heard()
            left -= len(piece)
            if left < 0:
                raise BadAnswer(f"the body is longer than {MAX_BYTES} bytes")
            if body.take(piece):
                return
    finally:
        # Left half-way it would be closed by the garbage collector, in a task that
        # nobody waits for.
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def _decoded(response: httpx2.Response) -> AsyncIterator[bytes]:
    if _ENCODING in response.headers:
        return response.aiter_bytes()
    # What is not compressed comes straight from the socket: three generators less for
    # each answer.
    assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101  # told to the type checker
    return response.stream.__aiter__()


async def cut_error_body(response: httpx2.Response) -> None:
    """A hook of the transport: the body of an error, which the SDK reads itself, is cut
    where no error goes on.
    """
    if response.is_success:
        return
    whole = httpx2.Response(response.status_code, headers=response.headers, stream=response.stream)
    body = bytearray()
    try:
        async with aclosing(whole.aiter_bytes()) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > _MAX_ERROR_BYTES:
                    break
    except httpx2.HTTPError:
        pass  # the status says what matters
    finally:
        await whole.aclose()
    response.headers.pop(_ENCODING, None)
    response.stream = httpx2.ByteStream(bytes(body[:_MAX_ERROR_BYTES]))
