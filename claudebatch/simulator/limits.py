"""The API's rate limits: token buckets per pool, and the headers that report them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush

from claudebatch.core.domain import Usage
from claudebatch.simulator.refusals import RefusedRequest
from claudebatch.simulator.settings import SimulatedAllowance

# Tolerance: a float refilled to 0.9999999999 must pass as a whole request, or the wait
# for the rest would be too short to end.
_FUZZ = 1e-9


class SimulatedBucket:
    """A token bucket: refilled continuously, with room for *burst_s* seconds of
    allowance.
    """

    def __init__(self, per_minute: int, burst_s: float, now: float) -> None:
        self.limit = per_minute
        self.rate = per_minute / 60
        # A bucket that cannot hold one request would refuse for ever.
        self.capacity = max(1.0, self.rate * burst_s)
        # Mutable state: the level, which may be below 0; its moment; and the drains of
        # answers in progress, each with its end and units per second, the earliest
        # first.
        self._level = self.capacity
        self._at = now
        self._drains: list[tuple[float, float]] = []
        self._drained_per_s = 0.0

    def level(self, now: float) -> float:
        """Units in the bucket."""
        while self._drains and self._drains[0][0] <= now:
            until, per_s = heappop(self._drains)
            self._pass(until)
            # Rounding errors of the sums would otherwise drain an idle bucket for ever.
            self._drained_per_s = self._drained_per_s - per_s if self._drains else 0.0
        self._pass(now)
        return self._level

    def take(self, units: float, now: float) -> None:
        """Deduct *units*, even below zero; a negative number is a refund."""
        self._level = min(self.capacity, self.level(now) - units)

    def drain(self, units: float, seconds: float, now: float) -> None:
        """Deduct *units* evenly over the next *seconds*."""
        if seconds <= 0:
            self.take(units, now)
            return
        self.level(now)
        heappush(self._drains, (now + seconds, units / seconds))
        self._drained_per_s += units / seconds

    def wait_for(self, units: float, now: float) -> float:
        """Seconds until *units* are in the bucket; those above its capacity wait until
        it is full.
        """
        # A request larger than the bucket would otherwise wait for ever: the API lets
        # it through on a full bucket.
        missing = min(units, self.capacity) - self.level(now)
        return missing / self.rate if missing > _FUZZ else 0.0

    def full_in(self, now: float) -> float:
        """Seconds until the bucket is full."""
        return (self.capacity - self.level(now)) / self.rate

    def _pass(self, until: float) -> None:
        if until > self._at:
            gained = (until - self._at) * (self.rate - self._drained_per_s)
            self._level = min(self.capacity, self._level + gained)
            self._at = until


class SimulatedLimits:
    """The three buckets of one pool."""

    def __init__(
        self,
        allowance: SimulatedAllowance,
        *,
        now: float,
        wall: Callable[[], datetime],
        fast: bool = False,
    ) -> None:
        """*fast*: of fast mode, whose headers have names of their own."""
        self._wall = wall
        self._fast = fast
        self._requests = _bucket(allowance.rpm, allowance, now)
        self._input = _bucket(allowance.itpm, allowance, now)
        self._output = _bucket(allowance.otpm, allowance, now)
        self._output_at_end = allowance.output_at_end

    def admit(self, estimate: int, now: float) -> None:
        """Take one request and its *estimate*, or raise a 429 that names the exhausted
        limit.
        """
        waits = [
            (bucket.wait_for(units, now), bucket.limit, name)
            for bucket, units, name in (
                (self._requests, 1, "requests"),
                (self._input, estimate, "input tokens"),
                # One token is enough: how long the answer will be, the API does not
                # know either.
                (self._output, 1, "output tokens"),
            )
            if bucket is not None
        ]
        # All limits are tested before any is taken from: a refused request takes
        # nothing.
        wait_s, limit, name = max(waits, default=(0.0, 0, ""))
        if wait_s > 0:
            raise _exceeded(wait_s, limit, name)
        if self._requests is not None:
            self._requests.take(1, now)
        if self._input is not None:
            self._input.take(estimate, now)

    def produce(self, tokens: int, seconds: float, now: float) -> None:
        """Deduct the output while it is produced, as the API's documentation says."""
        if self._output is not None and not self._output_at_end:
            self._output.drain(tokens, seconds, now)

    def settle(self, estimate: int, usage: Usage, now: float) -> None:
        """Correct the estimate by the usage."""
        if self._input is not None:
            # Reads of the prompt cache are free of the limit, and only the finished
            # count knows them.
            self._input.take(usage.limited_input - estimate, now)

    def finish(self, tokens: int, now: float) -> None:
        """Deduct the output now, under `output_at_end`."""
        if self._output is not None and self._output_at_end:
            self._output.take(tokens, now)

    def headers(self, now: float) -> bytes:
        """The `anthropic-ratelimit-*` lines: all twelve when all three limits are set;
        of fast mode the `anthropic-fast-*` lines, of input and output only.
        """
        wall = self._wall()
        readings: list[_Reading] = []
        if self._requests is not None:
            level = self._requests.level(now) + _FUZZ
            # A level of 0.9999999999 is a whole request for `admit` and must be one in
            # the headers.
            left = max(0, math.floor(level))
            readings.append(
                _Reading("requests", self._requests.limit, left, self._requests.full_in(now))
            )
        tokens = [
            _Reading(name, bucket.limit, _thousands(bucket.level(now)), bucket.full_in(now))
            for name, bucket in (("input-tokens", self._input), ("output-tokens", self._output))
            if bucket is not None
        ]
        if self._fast:
            return b"".join(reading.lines(wall, "fast") for reading in tokens)
        if tokens:
            readings.append(_together(tokens))
        return b"".join(reading.lines(wall) for reading in readings + tokens)


@dataclass(frozen=True, slots=True)
class _Reading:
    name: str
    limit: int
    remaining: int
    full_in_s: float

    def lines(self, wall: datetime, kind: str = "ratelimit") -> bytes:
        full_at = (wall + timedelta(seconds=self.full_in_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        start = f"anthropic-{kind}-{self.name}"
        return (
            f"{start}-limit: {self.limit}\r\n"
            f"{start}-remaining: {self.remaining}\r\n"
            f"{start}-reset: {full_at}\r\n"
        ).encode()


def _together(tokens: list[_Reading]) -> _Reading:
    """The sum of input and output, as in recorded answers; its reset is the earlier
    of both.
    """
    return _Reading(
        "tokens",
        sum(reading.limit for reading in tokens),
        sum(reading.remaining for reading in tokens),
        min(reading.full_in_s for reading in tokens),
    )


def _bucket(
    per_minute: int | None, allowance: SimulatedAllowance, now: float
) -> SimulatedBucket | None:
    return None if per_minute is None else SimulatedBucket(per_minute, allowance.burst_seconds, now)


def _thousands(level: float) -> int:
    # The API rounds remaining tokens so; a limiter must not believe them to the token.
    return max(0, round(level / 1000) * 1000)


def _exceeded(wait_s: float, limit: int, name: str) -> RefusedRequest:
    message = (
        f"This request would exceed your organization's rate limit of {limit:,} {name} per minute. "
        "Please reduce the pace or try again later. (simulated)"
    )
    return RefusedRequest(
        429, message, retry_after_s=max(1, math.ceil(wait_s)), should_retry=True, limited=True
    )
