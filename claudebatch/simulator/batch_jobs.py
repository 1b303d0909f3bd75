"""One simulated batch: what it holds, how far it has come, and how the API tells of
it.
"""

from __future__ import annotations

import math
import weakref
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import BinaryIO

from claudebatch.simulator import wire
from claudebatch.simulator.batch_body import StoredRequests
from claudebatch.simulator.clock import Clock
from claudebatch.simulator.http import Request

DAY_S = 86_400.0
ARCHIVED_AFTER_S = 29 * DAY_S
# Whatever is being processed when a cancel comes is finished; then the batch is closed.
_IN_FLIGHT_S = 5.0
_WIND_DOWN_S = 20.0
COUNTED = ("succeeded", "errored", "canceled", "expired")


class BatchTime:
    """Seconds of the time that batches live in, and the world's moments for them."""

    def __init__(self, clock: Clock, factor: float) -> None:
        self._clock = clock
        self._factor = factor
        # Both from one moment: `created_at` must be the same in every answer, however
        # the two clocks drift apart.
        self._began = (clock.now(), clock.wall())

    def now(self) -> float:
        """Batch seconds."""
        return self._clock.now() * self._factor

    def moment(self, at: float) -> str:
        """The world's time at *at*, as the API writes it."""
        began, wall = self._began
        moment: datetime = wall + timedelta(seconds=at / self._factor - began)
        return moment.isoformat(timespec="microseconds")

    def wait(self, seconds: float) -> int:
        """Whole seconds of the world that a client is asked to wait: at least one."""
        return max(1, round(seconds / self._factor))


@dataclass(slots=True, weakref_slot=True, eq=False)
class BatchResults:
    """The lines of an ended batch, in a file that goes away with them."""

    file: BinaryIO
    ends: array[int] = field(default_factory=lambda: array("Q"))
    digests: list[bytes | None] = field(default_factory=list)
    """The question of each line that was answered and billed."""
    costs: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Nobody else knows when the last one has looked at it.
        weakref.finalize(self, self.file.close)

    def add(self, line: bytes, digest: bytes | None, cost: int) -> None:
        """One more line."""
        self.file.write(line)
        self.ends.append((self.ends[-1] if self.ends else 0) + len(line))
        self.digests.append(digest)
        self.costs.append(cost)

    def __len__(self) -> int:
        return len(self.ends)

    def line(self, number: int) -> bytes:
        """That line."""
        start = self.ends[number - 1] if number else 0
        self.file.seek(start)
        return self.file.read(self.ends[number] - start)


@dataclass(slots=True, eq=False)
class BatchJob:
    """One batch. Times are batch seconds."""

    id: str
    request: Request
    """The create, whose headers hold for all of its rows."""
    rows: StoredRequests | None
    """None once it has ended."""
    size: int
    created: float
    duration: float
    salt: int
    flat: bool = False
    stuck: bool = False
    cancelled_at: float | None = None
    uncanceled: bool = False
    ended: float | None = None
    coming: BatchResults | None = None
    """Lines of what was processed so far."""
    results: BatchResults | None = None
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def expires(self) -> float:
        """When what was not reached expires."""
        return self.created + DAY_S

    @property
    def due(self) -> float:
        """When it ends, as things stand."""
        end = self.expires if self.stuck else min(self.created + self.duration, self.expires)
        return end if self.cancelled_at is None else min(end, self.cancelled_at + _WIND_DOWN_S)

    def archived(self, now: float) -> bool:
        """Whether its results are gone."""
        return now >= self.created + ARCHIVED_AFTER_S

    def waiting(self, now: float) -> int:
        """How many of its rows have not been processed."""
        if self.ended is not None or self.due <= now:
            return 0
        if self.stuck or self.duration <= 0:
            return self.size
        return math.ceil(self.size * max(0.0, 1 - (now - self.created) / self.duration))

    def reached(self, number: int) -> bool:
        """Whether row *number* was processed before the end."""
        if self.cancelled_at is not None and self.uncanceled:
            return True
        # Spread over the batch's time, in an order that has nothing to do with theirs.
        share = ((number * 2_654_435_761 + self.salt) % 2**32) / 2**32
        at = self.created + share * self.duration
        if self.cancelled_at is not None and at > self.cancelled_at + _IN_FLIGHT_S:
            return False
        return not self.stuck and at <= self.expires

    def unreached(self) -> str:
        """What becomes of the rows that were not reached."""
        cancelled = self.cancelled_at is not None and self.cancelled_at < self.expires
        return "canceled" if cancelled else "expired"

    def describe(self, time: BatchTime, base_url: str) -> wire.Body:
        """The batch in the API's words."""
        now, counts = time.now(), self.counts
        archived = self.archived(now)
        status = "in_progress" if self.cancelled_at is None else "canceling"
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": status if self.ended is None else "ended",
            "request_counts": {
                # All but this one are 0 until the very end.
                "processing": self.size if self.ended is None else 0,
                **{name: counts.get(name, 0) if self.ended else 0 for name in COUNTED},
            },
            "ended_at": self._moment(time, self.ended),
            "created_at": time.moment(self.created),
            "expires_at": time.moment(self.expires),
            "archived_at": time.moment(self.created + ARCHIVED_AFTER_S) if archived else None,
            "cancel_initiated_at": self._moment(time, self.cancelled_at),
            "results_url": (
                None
                if self.ended is None or archived
                else f"{base_url}/v1/messages/batches/{self.id}/results"
            ),
        }

    def _moment(self, time: BatchTime, at: float | None) -> str | None:
        return None if at is None else time.moment(at)


def pieces(
    results: BatchResults, order: list[int], written: Callable[[int], None], size: int
) -> Iterator[bytes]:
    """The lines in *order*, in pieces of about *size* bytes; *written* hears of each
    line once its piece was taken.
    """
    piece, held = bytearray(), []
    for number in order:
        piece += results.line(number)
        held.append(number)
        if len(piece) >= size:
            yield bytes(piece)
            for one in held:
                written(one)
            piece, held = bytearray(), []
    if piece:
        yield bytes(piece)
        for one in held:
            written(one)
