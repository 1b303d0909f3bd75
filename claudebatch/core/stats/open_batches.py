"""The message batches of a run that are not collected, as its events tell of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from claudebatch.core.domain import Pico
from claudebatch.core.events import BatchChanged

_OVER = ("collected", "never made", "lost")
_NOT_KNOWN = ("looked for", "not ours")


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """Those batches at one moment."""

    batches: int = 0
    rows: int = 0
    held: Pico = 0
    """The worst cases of rows that have no outcome yet."""
    looked_for: int = 0
    """Of the batches: nobody knows yet whether they were made."""
    canceling: int = 0
    age_s: float | None = None
    """Since the oldest one was made; None: not known."""
    left_s: float | None = None
    """Until the first of them expires; None: not known."""
    usual_s: float | None = None
    """How long batches of this machine have taken; None: there were none."""
    collected: int = 0
    """Batches that this session has collected."""


class OpenBatches:
    """Call it with each event of a batch, ask it for the progress."""

    def __init__(self, now: Callable[[], float], *, usual_s: float | None = None) -> None:
        self._now = now
        self._usual_s = usual_s
        # Mutable, changed by `__call__` only: the last event of each open batch, and
        # its moment.
        self._last: dict[int, tuple[float, BatchChanged]] = {}
        self._collected = 0

    def __call__(self, event: BatchChanged) -> None:
        """Count *event*."""
        # A batch is its last event: the API tells nothing that adds up.
        if event.state not in _OVER:
            self._last[event.batch] = (self._now(), event)
            return
        self._last.pop(event.batch, None)
        self._collected += event.state == "collected"

    def progress(self, now: float) -> BatchProgress:
        """The open batches as they stand at *now*."""
        # A copy: the event loop may add one while a display reads.
        last = list(self._last.values())
        events = [event for _, event in last]
        # The API's clock may be ahead of ours: no batch is younger than nothing.
        ages = [
            max(0.0, (event.at_ms - event.created_ms) / 1000 + now - seen)
            for seen, event in last
            if event.created_ms is not None
        ]
        lefts = [
            max(0.0, (event.expires_ms - event.at_ms) / 1000 - (now - seen))
            for seen, event in last
            if event.expires_ms is not None
        ]
        return BatchProgress(
            batches=len(events),
            rows=sum(event.requests for event in events),
            held=sum(event.held for event in events),
            looked_for=sum(event.state in _NOT_KNOWN for event in events),
            canceling=sum(event.state == "canceling" for event in events),
            age_s=max(ages, default=None),
            left_s=min(lefts, default=None),
            usual_s=self._usual_s,
            collected=self._collected,
        )
