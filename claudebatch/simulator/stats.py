"""Counts of the simulator, by which tests, drills and users judge a run."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

from claudebatch.core.domain import TOKEN_KINDS, Pico, Usage, usd_text
from claudebatch.simulator import wire
from claudebatch.simulator.request_log import RequestLog

SECONDS_KEPT = 3_600
ANSWERED_KEPT = 250_000
"""Questions remembered to detect duplicates; older ones are dropped, so that memory is
bounded.
"""


class Stats:
    """Counts Messages requests only; all numbers since the start or the last reset."""

    def __init__(self, now: float) -> None:
        self.reset(now)

    def reset(self, now: float) -> None:
        """Start from nothing; requests now in flight stay in flight."""
        # Mutable state: changed by the methods below only.
        self._since = now
        self._in_flight: int = getattr(self, "_in_flight", 0)
        self._max_in_flight = self._in_flight
        self._requests = 0
        self._others = 0
        self._rate_limited = 0
        self._by_status: Counter[str] = Counter()
        self._by_model: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._billed: Pico = 0
        self._undelivered: Pico = 0
        self._undelivered_answers = 0
        self._duplicates = 0
        self._answered: OrderedDict[bytes, None] = OrderedDict()
        self._per_second: OrderedDict[int, int] = OrderedDict()
        self._batches: Counter[str] = Counter()
        self._rows_billed: OrderedDict[bytes, None] = OrderedDict()
        self.log = RequestLog()

    @property
    def in_flight(self) -> int:
        """Messages requests being handled now."""
        return self._in_flight

    def arrived(self, now: float) -> None:
        """A Messages request has arrived; `left` must follow."""
        self._requests += 1
        self._in_flight += 1
        self._max_in_flight = max(self._max_in_flight, self._in_flight)
        second = int(now - self._since)
        self._per_second[second] = self._per_second.get(second, 0) + 1
        if len(self._per_second) > SECONDS_KEPT:
            self._per_second.popitem(last=False)

    def left(self) -> None:
        """A Messages request is over, with any ending."""
        self._in_flight -= 1

    def other(self) -> None:
        """A request to another endpoint of the API has arrived."""
        self._others += 1

    def asked(self, model: str, digest: bytes, body: wire.Body) -> None:
        """The request is valid."""
        self._by_model[model] += 1
        self._duplicates += digest in self._answered
        self.log.asked(digest, body)

    def befell(self, fault: str) -> None:
        """A fault was drawn."""
        self._faults[fault] += 1

    def answered(self, status: int) -> None:
        """A status line was sent, or would have been."""
        self._by_status[str(status)] += 1

    def rate_limited(self) -> None:
        """One of the limits refused a request."""
        self._rate_limited += 1

    def billed(self, usage: Usage, cost: Pico) -> None:
        """The work has begun and is billed."""
        self._billed += cost
        for name in _TOKENS:
            self._tokens[name] += getattr(usage, name)

    def batch_made(self, size: int) -> None:
        """A batch of *size* requests was made, whether its client knows or not."""
        self._batches["made"] += 1
        self._batches["requests"] += size

    def batch_ended(self, counts: Mapping[str, int]) -> None:
        """A batch has ended, with so many rows of each outcome."""
        self._batches["ended"] += 1
        self._batches.update(counts)

    def row_billed(self, digest: bytes) -> None:
        """A row of a batch was answered and billed."""
        self._batches["billed_again"] += digest in self._rows_billed
        self._rows_billed[digest] = None
        if len(self._rows_billed) > ANSWERED_KEPT:
            self._rows_billed.popitem(last=False)

    def undelivered(self, digest: bytes, cost: Pico) -> None:
        """The client did not receive the answer that it pays for."""
        self._undelivered += cost
        self._undelivered_answers += 1
        self.log.answered(digest, cost, delivered=False)

    def delivered(self, digest: bytes, cost: Pico) -> None:
        """The whole answer to this question was written."""
        self.log.answered(digest, cost, delivered=True)
        self._answered[digest] = None
        # Bounded: a run of millions of rows would otherwise fill the memory.
        if len(self._answered) > ANSWERED_KEPT:
            self._answered.popitem(last=False)

    def snapshot(self) -> dict[str, Any]:
        """All counts, in the format of `GET /__stats`."""
        return {
            "requests": self._requests,
            "other_requests": self._others,
            "by_status": dict(sorted(self._by_status.items())),
            "by_model": dict(sorted(self._by_model.items())),
            "tokens": {name: self._tokens[name] for name in _TOKENS},
            "billed_usd": usd_text(self._billed),
            "billed_pico": self._billed,
            "billed_undelivered_usd": usd_text(self._undelivered),
            "billed_undelivered_pico": self._undelivered,
            "undelivered": self._undelivered_answers,
            "duplicates": self._duplicates,
            "in_flight": self._in_flight,
            "max_in_flight": self._max_in_flight,
            "rate_limited": self._rate_limited,
            "batches": {name: self._batches[name] for name in _OF_BATCHES},
            "faults": dict(sorted(self._faults.items())),
            "per_second": {str(second): count for second, count in self._per_second.items()},
        }


_OF_BATCHES = (
    *("made", "ended", "requests", "succeeded", "errored", "canceled", "expired"),
    "billed_again",
)
_TOKENS = ("cache_creation_input_tokens", *(kind.name for kind in TOKEN_KINDS))
