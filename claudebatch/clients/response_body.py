"""The body of an answer, read piece by piece, with bounds on its size and its silence.

Imports `httpx2`, which only comes with the SDK: only `client.py` and
`sdk_connection.py` import this, and only once something is to be sent.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import httpx2

from claudebatch.clients.sse_reader import EventReader
from claudebatch.clients.stream_assembler import StreamAssembler
from claudebatch.core.domain import AnswerObserver
from claudebatch.core.message import BadAnswer

MAX_BYTES = 32 * 2**20
"""Largest body after decompression. The API accepts no request above it and no answer
comes near it, but a gzip bomb would fill the memory.
"""
_MAX_ERROR_BYTES = 2**18
_ENCODING = "content-encoding"
_LONGEST_BOM = 4
_LONGEST_LABEL = 16
_BLANKS = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"
_EVENTS = (b"event:", b"data:", b":")
_OF_GZIP = 16 + zlib.MAX_WBITS
_GZIP = b"\x1f\x8b"
# A message, or a page, or packed. No line of an event begins like that.
_NO_EVENTS = (b"{", b"<", _GZIP)


class ReadTimeout:
    """Ends an attempt at its deadline, or earlier when an answer that had begun falls
    silent.
    """

    def __init__(self, limit: asyncio.Timeout, idle_s: float) -> None:
        # Mutable: `postpone` moves the deadline, `allow` sets the gap, `heard` decides
        # which limit is in force.
        self._limit = limit
        self._idle_s = idle_s
        self._end = limit.when() or 0.0
        self._loop = asyncio.get_running_loop()
        self.silent = False
        """Whether the limit now in force is the one on silence."""

    def postpone(self, seconds: float) -> None:
        """Move the deadline by the *seconds* in which the process was suspended."""
        self._end += seconds
        self._limit.reschedule((self._limit.when() or 0.0) + seconds)

    def allow(self, seconds: float) -> None:
        """From now on, and first of all now, let it be silent for so long."""
        self._idle_s = seconds
        self.heard()

    def heard(self) -> None:
        """Restart the idle time-out, because bytes arrived."""
        gap_ends = self._loop.time() + self._idle_s
        self.silent = gap_ends < self._end
        self._limit.reschedule(min(gap_ends, self._end))


class _Plain:
    """A body that is the message."""

    def __init__(self) -> None:
        # Mutable, changed by `take` only.
        self._pieces: list[bytes] = []

    def take(self, piece: bytes) -> bool:
        """Take the next piece; False, because only the body's end completes it."""
        self._pieces.append(piece)
        return False

    def message(self) -> bytes:
        """The body, or the message that its events add up to: gateways call both by
        one name. Raises `BadAnswer` and `StreamFailed`.
        """
        body = b"".join(self._pieces)
        if body.startswith(_GZIP):
            # A gateway has taken the header off that says so.
            body = _unpacked(body)
        if not body[:_LONGEST_LABEL].lstrip(_BLANKS).startswith(_EVENTS):
            return body
        streamed = _Streamed(None)
        streamed.take(body)
        return streamed.message()


def _unpacked(body: bytes) -> bytes:
    unpacking = zlib.decompressobj(_OF_GZIP)
    try:
        unpacked = unpacking.decompress(body, MAX_BYTES)
    except zlib.error as error:
        raise BadAnswer(f"the body cannot be decompressed: {error}") from error
    if not unpacking.eof:
        raise BadAnswer(f"the packed body is cut short, or longer than {MAX_BYTES} bytes")
    return unpacked


class _Streamed:
    """A body of events that add up to the message."""

    def __init__(self, watch: AnswerObserver | None) -> None:
        self._reader = EventReader()
        self._assembler = StreamAssembler()
        self._watch = watch
        # Mutable, changed by `take` only: the message, where the body is none of
        # events, and what makes UTF-8 of it; None until the first bytes are known.
        self._plain: _Plain | None = None
        self._decode: Callable[[bytes], bytes] | None = None
        self._first = b""
        # Mutable, changed by `_report` only: the state that the observer knows.
        self._reported_bytes = 0
        self._reported_input = self._reported_hidden = False

    def take(self, piece: bytes) -> bool:
        """Take the next piece; True when the message is complete. Raises `BadAnswer`
        and `StreamFailed`.
        """
        if self._decode is None:
            self._first += piece
            if len(self._first) < _LONGEST_BOM:
                return False
            piece, self._decode = self._first, _decoder(self._first)
            if piece.lstrip(_BLANKS).startswith(_NO_EVENTS):
                self._plain = _Plain()
        if self._plain is not None:
            return self._plain.take(piece)
        try:
            for data in self._reader.feed(self._decode(piece)):
                self._assembler.take(data)
                if self._assembler.done:
                    break
        finally:
            if self._watch is not None:
                # Also before an error: the bytes of a broken answer were produced and
                # count against the output limit.
                self._report(self._watch)
        return self._assembler.done

    def _report(self, watch: AnswerObserver) -> None:
        """Report the events of one piece together: a call for each would cost more CPU
        than the rest of the reading.
        """
        if self._assembler.read is not None and not self._reported_input:
            self._reported_input = True
            watch.read(self._assembler.read)
        if self._assembler.hides and not self._reported_hidden:
            self._reported_hidden = True
            watch.hides()
        if self._assembler.grown > self._reported_bytes:
            watch.showed(self._assembler.grown - self._reported_bytes)
            self._reported_bytes = self._assembler.grown

    def message(self) -> bytes:
        return self._assembler.message() if self._plain is None else self._plain.message()


def _decoder(first: bytes) -> Callable[[bytes], bytes]:
    """What makes UTF-8 of the pieces of a body that begins with *first*."""
    encoding = json.detect_encoding(first)
    if encoding.startswith("utf-8"):
        return bytes
    decode = codecs.getincrementaldecoder(encoding)("replace").decode
    return lambda piece: decode(piece).encode()


async def read_message(
    response: httpx2.Response, read_timeout: ReadTimeout, watch: AnswerObserver | None = None
) -> bytes:
    """The message in *response*, plain or streamed; *watch* observes a streamed one.

    Raises `BadAnswer`, `StreamFailed`, and errors of `httpx2`.
    """
    body: _Plain | _Streamed = _Plain()
    if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
        body = _Streamed(watch)
        # From its head on a stream is never silent: the API sends a ping now and then,
        # even while the model thinks.
        read_timeout.heard()
    try:
        await _read(response, read_timeout, body)
    except httpx2.DecodingError as error:
        raise BadAnswer(f"the body cannot be decompressed: {error}") from error
    finally:
        await response.aclose()
    return body.message()


async def _read(
    response: httpx2.Response, read_timeout: ReadTimeout, body: _Plain | _Streamed
) -> None:
    """Give *body* the pieces of *response* until it has enough."""
    left = MAX_BYTES
    pieces = decoded(response)
    try:
        async for piece in pieces:
            read_timeout.heard()
            left -= len(piece)
            if left < 0:
                raise BadAnswer(f"the body is longer than {MAX_BYTES} bytes")
            if body.take(piece):
                return
    finally:
        # Otherwise the garbage collector closes an unfinished generator, in a task of
        # its own that nothing awaits.
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def decoded(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The pieces of the body as they come, decompressed."""
    if _ENCODING in response.headers:
        return response.aiter_bytes()
    # An uncompressed body is read straight from the transport: three generators fewer
    # for each answer.
    # Told to the type checker.
    assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101
    return response.stream.__aiter__()


async def cut_error_body(response: httpx2.Response) -> None:
    """A hook of the transport: cut the body of an error, which the SDK itself would
    read to its end.
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
        pass  # the status alone decides what the error means
    finally:
        await whole.aclose()
    response.headers.pop(_ENCODING, None)
    response.stream = httpx2.ByteStream(bytes(body[:_MAX_ERROR_BYTES]))
