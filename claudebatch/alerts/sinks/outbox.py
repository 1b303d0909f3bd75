"""Hands alerts over in a thread of its own, so that nobody who takes them can hold up
or end a run.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Protocol

from claudebatch.alerts.sinks.failure import DeliveryFailed
from claudebatch.core.notice import Notice

# Alerts are few; where so many wait, nobody takes them.
_MOST_WAITING = 100


class AlertSink(Protocol):
    """A receiver of alerts."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    def deliver(self, payload: bytes) -> None:
        """Hand *payload* over, in seconds; raises `DeliveryFailed`."""
        ...

    def abandon(self) -> None:
        """Leave nothing behind of what is being handed over, and take no more; may be
        called from another thread.
        """
        ...


class AlertOutbox:
    """A queue in front of one sink. Its first failure is reported, the others are
    not.
    """

    def __init__(
        self, sink: AlertSink, *, warn: Callable[[Notice], None], most_waiting: int = _MOST_WAITING
    ) -> None:
        """*warn* is called at most once, and from another thread."""
        self._sink = sink
        self._warn = warn
        self._waiting: queue.Queue[bytes | None] = queue.Queue(most_waiting)
        # Mutable: the thread, made with the first alert; whether a failure was
        # reported.
        self._thread: threading.Thread | None = None
        self._warned = False

    def post(self, payload: bytes) -> None:
        """Leave *payload* to be delivered; never waits and never raises."""
        if self._thread is None:
            # A daemon: one that hangs does not keep the process from ending.
            self._thread = threading.Thread(
                target=self._work, name=f"claudebatch-{self._sink.name}", daemon=True
            )
            self._thread.start()
        try:
            self._waiting.put_nowait(payload)
        except queue.Full:
            self._failed("it takes too long, and some were left out")

    def close(self, patience_s: float) -> None:
        """Wait for what is not delivered yet, but no longer than *patience_s*."""
        if self._thread is None:
            return
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            # So many will not be taken in time, and that was reported.
            patience_s = 0
        self._thread.join(patience_s)
        if self._thread.is_alive():
            self._sink.abandon()
            self._failed("the run has ended before it had taken all")

    def _work(self) -> None:
        while (payload := self._waiting.get()) is not None:
            try:
                self._sink.deliver(payload)
            except DeliveryFailed as error:
                self._failed(str(error))
            # Whatever happens here is no reason to end a run.
            except Exception as error:  # noqa: BLE001
                self._failed(type(error).__name__)

    def _failed(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(
                Notice(
                    "W005",
                    f"an alert could not be sent to the {self._sink.name}: {reason}; "
                    f"the run goes on",
                )
            )
