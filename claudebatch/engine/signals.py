"""Signals: the first one drains the run, the second stops it at once; nothing received
is lost either way.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from claudebatch.engine.engine import Engine

_REASONS = {
    signal.SIGINT: "interrupted (Ctrl-C again stops at once)",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "the terminal was closed",
}


class Signals:
    """Turns signals into calls of the engine while it works."""

    def __init__(self, *, grace_s: float) -> None:
        """*grace_s*: how long what is in flight may take after the first one."""
        self._grace_s = grace_s
        # Mutable: the first signal that came, and the engine that it stops.
        self.first: signal.Signals | None = None
        self._engine: Engine | None = None
        self._end: asyncio.TimerHandle | None = None

    @contextmanager
    def caught_by(self, loop: asyncio.AbstractEventLoop, engine: Engine) -> Iterator[None]:
        """Signals stop *engine* within this block."""
        self._engine = engine
        caught = [number for number in _REASONS if self._catch(loop, number)]
        try:
            yield
        finally:
            if self._end is not None:
                self._end.cancel()
            for number in caught:
                loop.remove_signal_handler(number)

    def _catch(self, loop: asyncio.AbstractEventLoop, number: signal.Signals) -> bool:
        if signal.getsignal(number) is signal.SIG_IGN:
            # Ignored by nohup, or by a shell for its background: the user wants it so.
            return False
        try:
            loop.add_signal_handler(number, self._on_signal, number)
        except (RuntimeError, ValueError):
            # Not the main thread: the default stays.
            return False
        return True

    def _on_signal(self, number: signal.Signals) -> None:
        if self._engine is None:
            return
        # The second signal: the user waits for nothing any more.
        if self.first is not None:
            self._engine.abandon()
            return
        self.first = number
        self._engine.stop(_REASONS[number])
        self._end = asyncio.get_running_loop().call_later(self._grace_s, self._engine.abandon)
