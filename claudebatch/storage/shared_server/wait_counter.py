"""Counts what a process waits for at the shared server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from claudebatch.core.reports.shared_waits import SharedWaits


class WaitCounter:
    """Sums of one session; the stores add to them."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # Mutable: the sums, each as `SharedWaits` explains it.
        self.round_trips = 0
        self.server_s = 0.0
        self.away_s = 0.0
        self.line_s = 0.0
        self.money_s = 0.0
        self.answers_s = 0.0

    @contextmanager
    def for_money(self) -> Iterator[None]:
        """Count the time until it is left as a wait for money."""
        began = self._now()
        try:
            yield
        finally:
            self.money_s += self._now() - began

    @contextmanager
    def for_answers(self) -> Iterator[None]:
        """Count the time until it is left as a wait for another host's answer."""
        began = self._now()
        try:
            yield
        finally:
            self.answers_s += self._now() - began

    def report(self) -> SharedWaits:
        """The sums until now."""
        return SharedWaits(
            self.round_trips,
            server_s=self.server_s,
            away_s=self.away_s,
            line_s=self.line_s,
            money_s=self.money_s,
            answers_s=self.answers_s,
        )
