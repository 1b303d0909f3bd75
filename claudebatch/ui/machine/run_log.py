"""The log of a run: lines are made as events come, and written by a heartbeat and at
the end.

A log is not worth a run: a disk that is full or fails costs one warning, and what
cannot be written is kept, up to a bound, until it can.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress

from claudebatch.core.events import Event
from claudebatch.core.notice import Notice
from claudebatch.core.reports import RunSummary
from claudebatch.ui.live.ticker import Ticker
from claudebatch.ui.machine.log_lines import LogLines

# Late enough to write many lines at once, early enough for `tail -f`.
_INTERVAL_S = 0.25
# Bytes kept for a disk that does not take them; beyond, lines are only counted. A run
# of days beside a full disk would otherwise end for want of memory.
_MOST_HELD = 32 << 20


class RunLog:
    """Subscribes to events and writes their lines to *file*, a descriptor that it
    closes in the end.
    """

    def __init__(
        self,
        file: int,
        lines: LogLines,
        *,
        warn: Callable[[Notice], None],
        own_thread: bool = True,
        most_held: int = _MOST_HELD,
        write: Callable[[int, memoryview], int] = os.write,
    ) -> None:
        """*warn* is called once, and maybe from another thread, if the file cannot be
        written.
        """
        self._file = file
        self._lines = lines
        self._warn = warn
        self._most_held = most_held
        self._write = write
        self._ticker = Ticker(self.flush, interval_s=_INTERVAL_S) if own_thread else None
        self._adding = threading.Lock()
        # Mutable. Under the lock: the lines that came, their bytes, and how many found
        # no room. By `flush` only: what is left of the last write, and whether it was
        # complained of. `_stopped` by `stop`.
        self._new: list[bytes] = []
        self._held = 0
        self._lost = 0
        self._rest = b""
        self._warned = self._stopped = False

    def start(self) -> None:
        """Begin to write."""
        if self._ticker is not None:
            self._ticker.start()

    def __call__(self, event: Event) -> None:
        """Keep the line of *event* for the next beat; never waits and never raises."""
        line = self._lines(event)
        if line is not None:
            self._add(line)

    def done(self, summary: RunSummary) -> None:
        """Note how the run ended."""
        self._add(self._lines.end(summary))

    def flush(self) -> None:
        """Write what has come."""
        # What a failed write left over goes first: lines keep their order.
        data = self._rest + self._taken()
        written = 0
        try:
            while written < len(data):
                written += self._write(self._file, memoryview(data)[written:])
        except OSError as error:
            self._complain(error.strerror or str(error))
        self._rest = data[written:]
        with self._adding:
            self._held -= written

    def stop(self) -> None:
        """Write the rest and close the file; may be called twice. One that is stuck in
        a write is left alone.
        """
        if self._stopped:
            return
        self._stopped = True
        if self._ticker is not None and not self._ticker.stop():
            self._complain("it hangs")
            return
        self.flush()
        with suppress(OSError):
            os.close(self._file)

    def _add(self, line: bytes) -> None:
        with self._adding:
            # A single line that is larger than the bound is still held: a log that
            # loses every long line for good would not be one.
            if self._held and self._held + len(line) > self._most_held:
                self._lost += 1
                return
            self._new.append(line)
            self._held += len(line)

    def _taken(self) -> bytes:
        with self._adding:
            new, self._new = self._new, []
            lost = self._lost
            # Lines were lost after those that are held: there is room again once they
            # are written.
            if lost and not self._rest:
                self._lost = 0
                new.append(self._lines.lost(lost))
                self._held += len(new[-1])
        return b"".join(new)

    def _complain(self, reason: str) -> None:
        # One warning: a disk that is full stays full for every line.
        if not self._warned:
            self._warned = True
            self._warn(
                Notice(
                    "W006",
                    f"the log cannot be written ({reason}); the run goes on, lines may be "
                    f"missing from it",
                )
            )
