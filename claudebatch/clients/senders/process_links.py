"""Senders that are processes of this host: frames through their pipes, each after its
length in four bytes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from claudebatch.clients.senders.sender_link import LinkLost

_LENGTH_BYTES = 4
# An answer with its text twice, and images of 30 MB in a request, are far below.
_MOST_BYTES = 1 << 28
_BUFFER_BYTES = 1 << 20
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
        # Frames are read in two parts: a reader that is called off between them would
        # leave a half.
        self._reading: asyncio.Future[bytes] | None = None

    def put(self, frame: bytes) -> None:
        """Send *frame* without waiting."""
        if self._writer.is_closing():
            raise LinkLost("its pipe is closed")
        self._writer.write(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)

    async def get(self) -> bytes:
        """The next frame."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._frame())
        frame = await asyncio.shield(self._reading)
        self._reading = None
        return frame

    async def _frame(self) -> bytes:
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
            if length > _MOST_BYTES:
                raise LinkLost("it says what cannot be read")
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise LinkLost(await self._end()) from error

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
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError, LinkLost):
                await self._reading
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
