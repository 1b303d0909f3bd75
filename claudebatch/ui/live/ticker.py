"""A heartbeat of its own thread, so that a display moves while nothing happens and
never holds up the run.

A terminal that is stopped with Ctrl-S, or a log reader that hangs, blocks its
writer. That must not be the event loop: events only leave a note, the heartbeat writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

# A run that is done must end, even if its display is stuck in a write.
_LONGEST_STOP_S = 2.0


class Ticker:
    """Calls *beat* every *interval_s* until stopped."""

    def __init__(self, beat: Callable[[], None], *, interval_s: float) -> None:
        self._beat = beat
        self._interval_s = interval_s
        # Mutable state, changed by `start` and `stop`.
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to beat; once."""
        if self._thread is None:
            self._thread = threading.Thread(
                # A daemon: the interpreter must not wait for a stuck terminal.
                target=self._run,
                name="claudebatch-display",
                daemon=True,
            )
            self._thread.start()

    def stop(self) -> bool:
        """End the beat; False when the last one is still stuck in a write."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_LONGEST_STOP_S)
            return not self._thread.is_alive()
        return True

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            self._beat()
