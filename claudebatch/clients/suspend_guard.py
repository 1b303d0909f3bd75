"""Time in which the process stood still is nobody's delay: deadlines move on by it.

Stopped with Ctrl-Z and resumed after ten minutes, every attempt in flight would be past
its deadline in the very moment in which its answer, long since come, could be read:
paid for and thrown away.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

_BEAT_S = 1.0
_STOOD_STILL_S = 2.0
"""A beat that comes so late was not held up by work."""


class Postponable(Protocol):
    """Something with an end in time."""

    def postpone(self, seconds: float) -> None:
        """Let it end so much later."""
        ...


class SuspendGuard:
    """A heartbeat of the event loop while anything is watched. Make it inside a running
    loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Mutable: what is watched, and the beat to come.
        self._watched: set[Postponable] = set()
        self._beat: asyncio.TimerHandle | None = None

    def watch(self, limit: Postponable) -> None:
        """Postpone *limit* from now on."""
        self._watched.add(limit)
        if self._beat is None:
            self._arm()

    def leave(self, limit: Postponable) -> None:
        """*limit* has ended."""
        self._watched.discard(limit)

    def stop(self) -> None:
        """No beat comes after this."""
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    def _arm(self) -> None:
        self._beat = self._loop.call_later(_BEAT_S, self._look)

    def _look(self) -> None:
        # Timers that are due together run in the order of their moments: this one
        # before any deadline that a standstill has passed, but for those of the beat in
        # which it began.
        late_s = self._loop.time() - (
            self._beat.when() if self._beat is not None else self._loop.time()
        )
        self._beat = None
        if late_s > _STOOD_STILL_S:
            for limit in self._watched:
                limit.postpone(late_s)
        if self._watched:
            self._arm()
