"""Senders that are processes of this host: frames through their pipes, each after its
length in four bytes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

from claudebatch.clients.senders.sender_link import LinkLost

_LENGTH_BYTES = 4
# An answer with its text twice, and images of 30 MB in a request, are far below.
_MOST_BYTES = 1 << 28
_BUFFER_BYTES = 1 << 20
_READ_BYTES = 1 << 20
# What hangs after its driver has let go of it is killed.
_GOODBYE_S = 5.0


class PipeLink:
    """A `FrameLink` over two pipes; of the sender's process, where the driver has
    it.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.WriteTransport,
        process: asyncio.subprocess.Process | None = None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._process = process
        # Mutable: frames that leave together; whole frames that came, and the bytes of
        # the next one so far.
        self._out: list[bytes] = []
        self._in: deque[bytes] = deque()
        self._rest = bytearray()

    def put(self, frame: bytes) -> None:
        """Send *frame* without waiting, with others of the same moment."""
        if self._writer.is_closing():
            raise LinkLost("its pipe is closed")
        if not self._out:
            asyncio.get_running_loop().call_soon(self._post)
        self._out += (len(frame).to_bytes(_LENGTH_BYTES, "big"), frame)

    def _post(self) -> None:
        out, self._out = self._out, []
        if not self._writer.is_closing():
            self._writer.write(b"".join(out))

    async def get(self) -> bytes:
        """The next frame."""
        # What a reader that is called off has not got yet stays in the stream.
        while not self._in:
            try:
                data = await self._reader.read(_READ_BYTES)
            except OSError as error:
                raise LinkLost(await self._end()) from error
            if not data:
                raise LinkLost(await self._end())
            self._take(data)
        return self._in.popleft()

    def _take(self, data: bytes) -> None:
        self._rest += data
        start = 0
        while len(self._rest) >= (body := start + _LENGTH_BYTES):
            length = int.from_bytes(self._rest[start:body], "big")
            if length > _MOST_BYTES:
                raise LinkLost("it says what cannot be read")
            if len(self._rest) < body + length:
                break
            self._in.append(bytes(self._rest[body : body + length]))
            start = body + length
        del self._rest[:start]

    async def _end(self) -> str:
        if self._process is None:
            return "the driver is gone"
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._process.wait()
        code = self._process.returncode
        if code is None:
            return "its pipe is closed"
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    async def close(self) -> None:
        """End the process, if there is one."""
        self._post()
        self._writer.close()
        process = self._process
        if process is None or process.returncode is not None:
            return
        # Its standard input is closed: it cancels what is under way, and ends.
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class ProcessPlaces:
    """Starts senders as processes of this host."""

    def __init__(
        self, processes: int, *, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """*command* runs `serve_pipes`."""
        self._processes = processes
        self._command = command
        self._environment = environment

    async def wanted(self) -> int:
        """How many the user wants."""
        return self._processes

    async def start(self) -> PipeLink:
        """A new process."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # It has no words for people: they would stand in the middle of the
                # display.
                stderr=asyncio.subprocess.DEVNULL,
                env=dict(self._environment),
                limit=_BUFFER_BYTES,
                # Ctrl-C is for the driver, which lets what is in flight finish.
                start_new_session=True,
            )
        except OSError as error:
            raise LinkLost(f"it cannot be started: {error.strerror}") from error
        if process.stdin is None or process.stdout is None:
            raise LinkLost("it has no pipes")
        return PipeLink(process.stdout, process.stdin.transport, process)

    async def close(self) -> None:
        """Nothing is left: each process ends with its link."""


async def own_pipes() -> PipeLink:
    """The link of this process to the driver that started it. Standard output is that
    from now on: what else is written there goes to standard error.
    """
    loop = asyncio.get_running_loop()
    # Nobody prints into the frames, a library in a bad hour neither.
    down, up = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reader = asyncio.StreamReader(limit=_BUFFER_BYTES)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(down, "rb", buffering=0)
    )
    writer, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(up, "wb", buffering=0))
    return PipeLink(reader, writer)


def sender_command() -> list[str]:
    """Starts `claudebatch` as a sender."""
    return [sys.executable, "-m", "claudebatch", "--sender"]
