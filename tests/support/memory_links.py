"""Senders in the process of the test: frames through queues, and a sender that dies or
falls silent when it is told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from claudebatch.clients.protocol import Client
from claudebatch.clients.senders.frames import Welcome
from claudebatch.clients.senders.sender_link import LinkLost
from claudebatch.clients.senders.sender_loop import SenderLoop
from tests.support.acting_client import ActingClient

Queue = asyncio.Queue[bytes | None]


class MemoryLink:
    """One side of a link."""

    def __init__(self, out: Queue, into: Queue, why: str) -> None:
        self._out, self._into, self._why = out, into, why
        # Mutable: set by tests. Nothing it says arrives.
        self.mute = False
        self.closed = False

    def put(self, frame: bytes) -> None:
        if self.closed:
            raise LinkLost(self._why)
        if not self.mute:
            self._out.put_nowait(frame)

    async def get(self) -> bytes:
        frame = await self._into.get()
        if frame is None:
            self.closed = True
            raise LinkLost(self._why)
        return frame

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._out.put_nowait(None)


class MemorySender:
    """A sender as the test sees it."""

    def __init__(self, connect: Callable[[Welcome], Client]) -> None:
        down: Queue = asyncio.Queue()
        up: Queue = asyncio.Queue()
        self.of_driver = MemoryLink(down, up, "killed by signal 9")
        self.of_sender = MemoryLink(up, down, "the driver is gone")
        self.task = asyncio.ensure_future(SenderLoop(self.of_sender, connect).run())

    def kill(self) -> None:
        """Kill it: nothing more is said by either side."""
        self.of_sender.mute = True
        self.task.cancel()
        self.of_sender._out.put_nowait(None)

    def cut(self) -> None:
        """Cut the network between it and its driver: both wait."""
        self.of_sender.mute = self.of_driver.mute = True


class MemoryPlaces:
    """`SenderPlaces` whose senders are tasks of this loop."""

    def __init__(
        self, wanted: int = 1, connect: Callable[[Welcome], Client] = ActingClient
    ) -> None:
        # Mutable: set by tests.
        self.number = wanted
        self.broken = False
        self.started: list[MemorySender] = []
        self._connect = connect

    async def wanted(self) -> int:
        return self.number

    async def start(self) -> MemoryLink:
        await asyncio.sleep(0.1)
        if self.broken:
            raise LinkLost("no memory")
        sender = MemorySender(self._connect)
        self.started.append(sender)
        return sender.of_driver

    async def close(self) -> None:
        for sender in self.started:
            sender.task.cancel()
            with suppress(asyncio.CancelledError):
                await sender.task
