"""Signals: the first one drains the run, the second stops it at once; nothing received
is lost either way.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from claudebatch.core.process_signals import SignalHandler

_REASONS = {
    signal.SIGINT: "interrupted (Ctrl-C again stops at once)",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "the terminal was closed",
}


class Stoppable(Protocol):
    """The work of a session, as far as signals go."""

    def stop(self, reason: str) -> None:
        """Send nothing new; let what is in flight finish."""
        ...

    def abandon(self) -> None:
        """Do not wait for what is in flight either."""
        ...


class Signals:
    """Turns signals into calls of the session's work."""

    def __init__(self, handler: SignalHandler, *, grace_s: float) -> None:
        """*grace_s*: how long what is in flight may take after the first one."""
        self._handler = handler
        self._grace_s = grace_s
        # Mutable: whether one has come, the work that it stops, and until when.
        self._heard = False
        self._work: Stoppable | None = None
        self._end: asyncio.TimerHandle | None = None

    @property
    def first(self) -> signal.Signals | None:
        """The first signal that came."""
        return self._handler.first

    @contextmanager
    def caught_by(self, work: Stoppable) -> Iterator[None]:
        """Signals stop *work* within this block, and change nothing after it."""
        self._work = work
        self._handler.pass_to(self._on_signal)
        try:
            yield
        finally:
            # What was received is being written: from here on nothing may be cut short.
            self._handler.settle()
            if self._end is not None:
                self._end.cancel()

    def _on_signal(self, number: signal.Signals) -> None:
        if self._work is None:
            return
        # The second signal: the user waits for nothing any more.
        if self._heard:
            self._work.abandon()
            return
        self._heard = True
        self._work.stop(_REASONS[number])
        self._end = asyncio.get_running_loop().call_later(self._grace_s, self._work.abandon)
