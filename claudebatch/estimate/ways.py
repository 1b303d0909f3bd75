"""What the same rows cost, and take, sent at once, by batch, and as the rules say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from claudebatch.core.domain import Call, Pico, RowKind, Via
from claudebatch.core.reports import BatchTimes, Way
from claudebatch.core.send_via import BatchSettings
from claudebatch.estimate.duration import Durations

_USUAL, _SLOW = 0.5, 0.9


class RowCost(NamedTuple):
    """One row by one road."""

    low: Pico
    expected: Pico
    worst: Pico


@dataclass(slots=True)
class _Sum:
    """One way. Mutable, changed by `add` only."""

    durations: Durations
    live_rows: int = 0
    batch_rows: int = 0
    expected: Pico = 0
    worst: Pico = 0

    def add(self, call: Call, via: Via, cost: RowCost) -> None:
        self.expected += cost.expected
        self.worst += cost.worst
        if via == "batch":
            self.batch_rows += 1
        else:
            self.live_rows += 1
            self.durations.add(call)

    def way(self, name: Literal["live", "batch", "mixed"], *, chosen: bool) -> Way:
        # Rows in batches take none of this time.
        longest = self.durations.longest()
        return Way(
            name,
            live_rows=self.live_rows,
            batch_rows=self.batch_rows,
            expected=self.expected,
            worst=self.worst,
            seconds=longest.seconds if longest else 0.0,
            chosen=chosen,
        )


class Ways:
    """Adds up rows by three ways: all at once; all by batch that a batch can take; and
    as the configuration says.
    """

    def __init__(self, settings: BatchSettings, durations: Callable[[], Durations]) -> None:
        """*durations* begins a simulation of what is sent at once."""
        self._settings = settings
        self._live, self._batch, self._chosen = (_Sum(durations()) for _ in range(3))

    @property
    def durations(self) -> Durations:
        """Those of the rows that are sent at once as the configuration says."""
        return (self._chosen if self._settings.used else self._live).durations

    @property
    def at_once(self) -> Durations:
        """Those of all rows, sent at once."""
        return self._live.durations

    def kind(self, rule: str, *, fits: bool) -> RowKind:
        """What a plan may do with rows that *rule* sends; *fits*: a batch can take
        them.
        """
        return self._settings.kind(rule, fits=fits)

    def add(self, call: Call, *, waits: bool, live: RowCost, batch: RowCost) -> Via:
        """Add a row with its costs by each road; returns the one that it goes by.
        *waits*: a batch can take it.
        """
        self._live.add(call, "live", live)
        self._batch.add(call, "batch" if waits else "live", batch if waits else live)
        via = self._settings.road(call.route.rule) if waits else "live"
        # Simulating a row takes most of an estimate's time: not twice for the same.
        if self._settings.used:
            self._chosen.add(call, via, batch if via == "batch" else live)
        return via

    def all(self) -> tuple[Way, ...]:
        """The ways that differ; none where no row would be sent."""
        if not self._live.live_rows:
            return ()
        # By what it comes to, not by the settings: rules may send every row one way.
        by_batch = self._chosen.batch_rows
        mixed = 0 < by_batch < self._batch.batch_rows
        ways = [
            self._live.way("live", chosen=not by_batch),
            self._batch.way("batch", chosen=bool(by_batch) and not mixed),
        ]
        return (*ways, *([self._chosen.way("mixed", chosen=True)] if mixed else ()))


def batch_times(durations: Sequence[tuple[int, float]]) -> BatchTimes | None:
    """What (requests, seconds) of batches that have ended say; None without any."""
    seconds = sorted(taken for _, taken in durations)
    if not seconds:
        return None
    usual, slow = (
        seconds[min(len(seconds) - 1, int(len(seconds) * share))] for share in (_USUAL, _SLOW)
    )
    return BatchTimes(len(seconds), usual, slow)
