"""The seam between a driver and its senders: bytes that go both ways, and the news that
the other side is gone. Everything else is the same for processes and hosts.
"""

from __future__ import annotations

from typing import Protocol

BEAT_S = 5.0
SILENT_S = 30.0
"""Whoever says nothing for so long counts as dead. Two beats may be late: a process
that is stopped for a moment, or a host whose network stumbles, must not be paid twice.
"""


class LinkLost(Exception):
    """The other side is gone, or was never there; the text says why."""


class FrameLink(Protocol):
    """One side of the way between a driver and a sender."""

    def put(self, frame: bytes) -> None:
        """Send *frame* without waiting; raises `LinkLost` where it cannot leave. It may
        be lost all the same.
        """
        ...

    async def get(self) -> bytes:
        """The next frame of the other side; raises `LinkLost`. Cancelled, it loses
        none.
        """
        ...

    async def close(self) -> None:
        """End the other side, whatever it does; safe to call again."""
        ...


class SenderPlaces(Protocol):
    """Where senders can be started."""

    async def wanted(self) -> int:
        """How many there should be now."""
        ...

    async def start(self) -> FrameLink:
        """A way to a new sender; raises `LinkLost` where none can be started, or
        `StopRun` where none ever can.
        """
        ...

    async def close(self) -> None:
        """Let go of the places, once all links are closed."""
        ...
