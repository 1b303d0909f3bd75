"""Moves deadlines on by the time in which the process was suspended.

After Ctrl-Z and ten minutes, every attempt in flight would be past its deadline at the
moment when its answer, which arrived long ago, could be read: paid for and thrown away.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

_BEAT_S = 1.0
_STOOD_STILL_S = 2.0
"""A beat later than this means suspension: no work on the loop takes so long."""


class Postponable(Protocol):
    """Anything with a deadline."""

    def postpone(self, seconds: float) -> None:
        """Move the deadline on."""
        ...


class SuspendGuard:
    """A heartbeat of the event loop while any deadline is watched. Make it inside a
    running loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Mutable: the watched deadlines, and the next beat.
        self._watched: set[Postponable] = set()
        self._beat: asyncio.TimerHandle | None = None

    def watch(self, limit: Postponable) -> None:
        """Postpone *limit* from now on."""
        self._watched.add(limit)
        if self._beat is None:
            self._arm()

    def leave(self, limit: Postponable) -> None:
        """Watch *limit* no more: its attempt has ended."""
        self._watched.discard(limit)

    def stop(self) -> None:
        """Cancel the heartbeat, so that no timer outlives the client."""
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    def _arm(self) -> None:
        self._beat = self._loop.call_later(_BEAT_S, self._look)

    def _look(self) -> None:
        # Timers that are due together run in the order of their times: this one before
        # any deadline that passed during the suspension, except for deadlines of the
        # same second in which it began.
        late_s = self._loop.time() - (
            self._beat.when() if self._beat is not None else self._loop.time()
        )
        self._beat = None
        if late_s > _STOOD_STILL_S:
            for limit in self._watched:
                limit.postpone(late_s)
        if self._watched:
            self._arm()
