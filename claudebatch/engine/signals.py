"""Signals: the first one drains the run, the second stops it at once; nothing received
is lost either way.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from claudebatch.core.process_signals import SignalHandler
from claudebatch.engine.engine import Engine

_REASONS = {
    signal.SIGINT: "interrupted (Ctrl-C again stops at once)",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "the terminal was closed",
}


class Signals:
    """Turns signals into calls of the engine while it works."""

    def __init__(self, handler: SignalHandler, *, grace_s: float) -> None:
        """*grace_s*: how long what is in flight may take after the first one."""
        self._handler = handler
        self._grace_s = grace_s
        # Mutable: whether one has come, the engine that it stops, and until when.
        self._heard = False
        self._engine: Engine | None = None
        self._end: asyncio.TimerHandle | None = None

    @property
    def first(self) -> signal.Signals | None:
        """The first signal that came."""
        return self._handler.first

    @contextmanager
    def caught_by(self, engine: Engine) -> Iterator[None]:
        """Signals stop *engine* within this block, and change nothing after it."""
        self._engine = engine
        self._handler.pass_to(self._on_signal)
        try:
            yield
        finally:
            # What was received is being written: from here on nothing may be cut short.
            self._handler.settle()
            if self._end is not None:
                self._end.cancel()

    def _on_signal(self, number: signal.Signals) -> None:
        if self._engine is None:
            return
        # The second signal: the user waits for nothing any more.
        if self._heard:
            self._engine.abandon()
            return
        self._heard = True
        self._engine.stop(_REASONS[number])
        self._end = asyncio.get_running_loop().call_later(self._grace_s, self._engine.abandon)
