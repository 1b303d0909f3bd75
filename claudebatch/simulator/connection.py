"""One client's connection to the simulator: requests come out, bytes go in.

Requests of one connection are read one after the other, so answers to a pipelining
client keep their order.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import tempfile
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO

from claudebatch.simulator.http import BadRequest, Request, TooLarge

READ_BYTES = 2**18
# A client that never ends its head would fill the memory.
MAX_HEAD_BYTES = 2**16
# Waiting for the socket costs a turn of the loop; only bytes beyond the kernel's buffer
# need it.
FLUSH_ABOVE_BYTES = 2**16
_NONE_SPOOLED: Mapping[str, int] = MappingProxyType({})
# Linger on, for 0 seconds: closing sends a reset, as a crashed gateway does.
_NO_LINGER = struct.pack("ii", 1, 0)


class ClientLeft(Exception):
    """The client has closed its side."""


class Connection:
    """One client's connection: requests come out, bytes go in."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        max_body_bytes: int,
        spooled: Mapping[str, int] = _NONE_SPOOLED,
    ) -> None:
        """*spooled*: the paths whose bodies go to a file, each with its own limit."""
        self._reader = reader
        self._writer = writer
        self._max_body_bytes = max_body_bytes
        self._spooled = spooled
        # Received bytes of the next request; changed by the reading methods only.
        self._rest = b""
        # Ends together with the connection; made by the first `close`.
        self._closed: asyncio.Task[None] | None = None

    @property
    def closing(self) -> bool:
        """Whether our side has closed, or is about to."""
        return self._writer.is_closing()

    @property
    def client_left(self) -> bool:
        """Whether the client has closed, so that an answer would not be read."""
        # With unread bytes the client has sent another request and still waits for its
        # answer.
        return self._writer.is_closing() or (self._reader.at_eof() and not self._rest)

    async def next_request(self) -> Request | None:
        """The next request; None when the client is done. Raises `BadRequest`."""
        try:
            head = await self._head()
            return None if head is None else await self._request(head)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def send(self, data: bytes) -> None:
        """Write *data*; raises `ClientLeft` once the client is known to have closed."""
        if self.client_left:
            raise ClientLeft
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > FLUSH_ABOVE_BYTES:
            try:
                await self._writer.drain()
            except ConnectionError as error:
                raise ClientLeft from error

    async def wait_until_client_leaves(self) -> None:
        """Read and discard until the client closes its side."""
        try:
            while await self._reader.read(READ_BYTES):
                pass
        except ConnectionError:
            return

    def reset(self) -> None:
        """End the connection with a reset instead of an orderly close."""
        raw: socket.socket | None = self._writer.get_extra_info("socket")
        if raw is not None:
            # An orderly close would look like an empty answer, which clients handle
            # differently.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._writer.transport.abort()

    async def close(self) -> None:
        """Send the unsent data, then close."""
        self._writer.close()
        if self._closed is None:
            self._closed = asyncio.get_running_loop().create_task(self._until_closed())
        # `wait_closed` awaits a future of asyncio's own: a task that is cancelled in it
        # would cancel it for all other tasks.
        await asyncio.wait([self._closed])

    async def abort(self) -> None:
        """Close now and drop unsent data; without effect after an orderly close."""
        self._writer.transport.abort()
        await self.close()

    async def _until_closed(self) -> None:
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return

    async def _head(self) -> bytes | None:
        """Everything up to the empty line; None when the client closed before a next
        request.
        """
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            if len(self._rest) > MAX_HEAD_BYTES:
                raise BadRequest(431, "the request's headers are too long")
            data = await self._reader.read(READ_BYTES)
            if not data:
                return None
            self._rest += data
        head, self._rest = self._rest[:end], self._rest[end + 4 :]
        return head

    async def _request(self, head: bytes) -> Request:
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest(400, "the request line is malformed")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        keep_alive = headers.get("connection", "").lower() != "close" and words[2] != "HTTP/1.0"
        path, _, query = words[1].partition("?")
        if words[0] == "POST" and path in self._spooled:
            spool = await self._spool(headers, self._spooled[path])
            return Request(words[0], path, headers, b"", keep_alive, query=query, spool=spool)
        return Request(words[0], path, headers, await self._body(headers), keep_alive, query=query)

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        # The SDK never sends one, so a parser for it would only be untested code.
        if "transfer-encoding" in headers:
            raise BadRequest(411, "the simulator takes bodies with a content-length only")
        length = self._announced(headers)
        if length > self._max_body_bytes:
            # Read to the end, because a client that is still writing would see a broken
            # pipe instead of the 413.
            await self._discard(length)
            raise TooLarge
        if length > len(self._rest):
            self._rest += await self._reader.readexactly(length - len(self._rest))
        body, self._rest = self._rest[:length], self._rest[length:]
        return body

    def _announced(self, headers: Mapping[str, str]) -> int:
        stated = headers.get("content-length", "0")
        # `int` alone would accept "1_000", "+5" and digits of other scripts.
        if not (stated.isascii() and stated.isdecimal()):
            raise BadRequest(400, "the content-length is malformed")
        if int(stated) and headers.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return int(stated)

    async def _spool(self, headers: Mapping[str, str], most: int) -> BinaryIO:
        """The body in a file without a name, which goes away with its last user."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 - it outlives this request
        try:
            if headers.get("transfer-encoding", "").lower() == "chunked":
                await self._spool_chunks(file, most)
            else:
                length = self._announced(headers)
                if length > most:
                    await self._discard(length)
                    raise TooLarge
                await self._copy(length, file)
        except BaseException:
            file.close()
            raise
        return file

    async def _spool_chunks(self, file: BinaryIO, most: int) -> None:
        total = 0
        while True:
            size_text = (await self._line()).partition(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError:
                raise BadRequest(400, "a chunk's size is malformed") from None
            total += size
            if size == 0:
                # Headers may stand behind the last chunk.
                while await self._line():
                    pass
                break
            # What is too long is read all the same: see `_body`.
            await self._copy(size, file if total <= most else None)
            await self._line()
        if total > most:
            raise TooLarge

    async def _line(self) -> bytes:
        while (end := self._rest.find(b"\r\n")) < 0:
            if len(self._rest) > MAX_HEAD_BYTES:
                raise BadRequest(400, "a line of the chunked body is too long")
            data = await self._reader.read(READ_BYTES)
            if not data:
                raise asyncio.IncompleteReadError(self._rest, None)
            self._rest += data
        line, self._rest = self._rest[:end], self._rest[end + 2 :]
        return line

    async def _copy(self, length: int, file: BinaryIO | None) -> None:
        """The next *length* bytes to *file*, or nowhere."""
        while length > 0:
            if not self._rest:
                self._rest = await self._reader.read(READ_BYTES)
                if not self._rest:
                    raise asyncio.IncompleteReadError(b"", length)
            piece, self._rest = self._rest[:length], self._rest[length:]
            length -= len(piece)
            if file is not None:
                file.write(piece)

    async def _discard(self, length: int) -> None:
        left = length - len(self._rest)
        self._rest = b""
        while left > 0:
            data = await self._reader.read(min(left, READ_BYTES))
            if not data:
                return
            left -= len(data)
