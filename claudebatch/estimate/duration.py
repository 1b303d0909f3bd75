"""The duration of a run and its bottleneck: the rate limiter's decisions, simulated
over all rows without waiting.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil, inf, nextafter
from typing import TypeAlias

from claudebatch.core.domain import Call, Usage
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.layers.rate_limit.booking import PoolBooking
from claudebatch.layers.rate_limit.concurrency import ConcurrencyLimit
from claudebatch.layers.rate_limit.limiter import MustWait
from claudebatch.layers.rate_limit.settings import RateLimitSettings
from claudebatch.layers.rate_limit.usage_estimates import PastUsage, UsageEstimates
from claudebatch.models.catalog import Catalog
from claudebatch.setup.pools import make_pace, slots

# Rows of a pool that are simulated one by one; later rows are extrapolated from the
# second half of them. A million would take minutes.
_DRIVEN = 20_000
# Fewer are enough once that half alone takes so long that nothing saved up before,
# such as full buckets, is left to be used: 20,000 rows took seventeen seconds.
_FEWEST = 6000
_STEADY_S = 240.0
# The API rounds remaining tokens to thousands, and the limiter reads them as such.
_TOKEN_STEP = 1000

Rates: TypeAlias = tuple[float | None, float | None, float | None]
"""Requests, input and output tokens per minute; None for no limit."""

# Waits that are not reported: they dominate short runs only, and no setting helps.
_STARTING = ("first answer", "gentle start")
_PIECE_S = 1.5
# Watched answers are simulated in pieces of this many seconds, and in at least this
# many pieces.
_FEWEST_PIECES = 4
_FIRST_TOKEN_S = 1.0
_TOKENS_PER_S = 60.0


def usual_latency(output_tokens: int) -> float:
    """Typical seconds for an answer of *output_tokens*; models differ by a factor of
    three.
    """
    return _FIRST_TOKEN_S + output_tokens / _TOKENS_PER_S


@dataclass(frozen=True, slots=True)
class ApiModel:
    """Assumptions about the API."""

    latency_s: Callable[[int], float] = usual_latency
    """Seconds for an answer, by its output tokens."""
    burst_s: float = 60.0
    """Seconds of allowance in full buckets: recorded answers of fresh accounts show a
    whole minute remaining.
    """
    start_s: float = 1.5
    """From the command to the first request: most of it loads the SDK."""
    limits: Callable[[str], Rates] | None = None
    """Requests, input and output tokens per minute of a pool; None: as configured."""


@dataclass(frozen=True, slots=True)
class Duration:
    """The seconds of a whole run, and the limit that its slowest pool waits for
    most.
    """

    seconds: float
    pool: str
    reason: str | None
    """None: it waits for answers only."""


class Durations:
    """Simulates the rows that will be sent, in their order. Pools do not wait for each
    other, so the slowest one decides.
    """

    def __init__(
        self,
        limits: RateLimitSettings,
        catalog: Catalog,
        api: ApiModel,
        *,
        before: PastUsage | None = None,
    ) -> None:
        """*before*: past usage, already applied to the sizes of the rows."""
        self._before = _Corrected(before) if before is not None else None
        self._limits = limits
        self._catalog = catalog
        self._api = api
        # Mutable: one simulation per pool.
        self._pool_runs: dict[str, _PoolSimulation] = {}

    def add(self, call: Call) -> None:
        """Send the next row."""
        pool = self.pool_of(call)
        pool_run = self._pool_runs.get(pool)
        if pool_run is None:
            pool_run = self._pool_runs[pool] = _PoolSimulation(
                self._limits, self._catalog, pool, self._api, self._before
            )
        pool_run.add(call)

    def pool_of(self, call: Call) -> str:
        """The pool of limits that *call* takes from."""
        return self._catalog.pool_of(call.limited_as)

    @property
    def start_s(self) -> float:
        """From the command to the first request."""
        return self._api.start_s

    def by_pool(self) -> dict[str, float]:
        """The seconds of each pool, from its first request."""
        return {pool: pool_run.seconds() for pool, pool_run in self._pool_runs.items()}

    def longest(self) -> Duration | None:
        """The duration of the slowest pool; None without rows."""
        start_s = self._api.start_s
        durations = [
            Duration(start_s + pool_run.seconds(), pool, pool_run.bound_by())
            for pool, pool_run in self._pool_runs.items()
        ]
        return max(durations, key=lambda duration: duration.seconds, default=None)


@dataclass(slots=True, eq=False)
class _Arriving:
    """One answer in flight, in pieces."""

    booking: PoolBooking
    call: Call
    piece_s: float
    pieces: int
    came: int = 0


class _PoolSimulation:
    """One pool's run in simulated time."""

    def __init__(
        self,
        limits: RateLimitSettings,
        catalog: Catalog,
        pool: str,
        api: ApiModel,
        before: PastUsage | None,
    ) -> None:
        # Mutable, changed by the methods below only.
        self._pace = make_pace(limits, catalog, pool, now=0.0)
        self._slots = ConcurrencyLimit(*slots(limits))
        self._learned = UsageEstimates(before)
        self._latency_s = api.latency_s
        rates = api.limits(pool) if api.limits else _whole(self._pace.limits, limits.our_share)
        self._levels = [
            _Level(per_minute, api.burst_s) if per_minute else None for per_minute in rates
        ]
        self._now = 0.0
        self._sent_at = array("d")
        self._last = 0.0
        self._rows = 0
        self._is_steady = False
        self._waited: defaultdict[str, float] = defaultdict(float)
        self._events = 0
        self._out: list[tuple[float, int, _Arriving]] = []

    def add(self, call: Call) -> None:
        self._rows += 1
        if self._is_steady:
            return
        while (wait := self._wait(call)) is not None:
            until = min(self._now + wait.seconds, self._out[0][0] if self._out else inf)
            # After centuries at a tiny limit, a short wait is below a float's
            # resolution; without a step the loop would not end.
            until = max(until, nextafter(self._now, inf))
            self._waited[wait.reason] += until - self._now
            self._now = until
            self._answer()
        self._send(call)
        self._sent_at.append(self._now)
        driven = len(self._sent_at)
        self._is_steady = driven >= _DRIVEN or (driven >= _FEWEST and self._half_s() >= _STEADY_S)

    def _half_s(self) -> float:
        """Seconds between the row in the middle of those that were sent and the
        last.
        """
        return self._now - self._sent_at[len(self._sent_at) // 2 - 1]

    def seconds(self) -> float:
        driven = len(self._sent_at)
        beyond = self._rows - driven
        return self._last + (beyond * self._half_s() / (driven / 2) if beyond else 0.0)

    def bound_by(self) -> str | None:
        reason, waited = max(self._waited.items(), key=lambda item: item[1], default=(None, 0.0))
        return reason if waited > self._last / 4 and reason not in _STARTING else None

    def _wait(self, call: Call) -> MustWait | None:
        wait = self._pace.wait(self._learned.expect(call), self._now)
        if wait is None and (seconds := self._slots.wait(self._now)) > 0:
            return MustWait(seconds, "requests in flight")
        return wait

    def _send(self, call: Call) -> None:
        self._slots.take()
        booking = self._pace.take(self._learned.expect(call), self._now)
        for level, units in zip(self._levels[:2], (1, call.size.input_tokens), strict=True):
            if level is not None:
                level.take(units, self._now)
        seconds = self._latency_s(call.size.output_tokens)
        pieces = max(_FEWEST_PIECES, ceil(seconds / _PIECE_S)) if booking.watched else 1
        if booking.watched:
            self._pace.began(booking, self._headers(self._now), self._now)
            self._produce(call.size.output_tokens / max(seconds, _PIECE_S / _FEWEST_PIECES))
        self._last = max(self._last, self._now + seconds)
        self._expect(_Arriving(booking, call, seconds / pieces, pieces), self._now)

    def _produce(self, per_s: float) -> None:
        """Raise the production of tokens per second; negative values lower it."""
        if (output := self._levels[2]) is not None:
            output.take(0, self._now)
            output.drained_per_s += per_s

    def _expect(self, arriving: _Arriving, now: float) -> None:
        """Schedule the next piece of the answer."""
        self._events += 1
        heappush(self._out, (now + arriving.piece_s, self._events, arriving))

    def _answer(self) -> None:
        while self._out and self._out[0][0] <= self._now:
            at, _, arriving = heappop(self._out)
            booking, tokens = arriving.booking, arriving.call.size.output_tokens / arriving.pieces
            arriving.came += 1
            if booking.watched and booking.need.tokens_per_byte:
                self._pace.showed(booking, tokens / booking.need.tokens_per_byte, at)
            if arriving.came < arriving.pieces:
                self._expect(arriving, at)
            else:
                self._settle(arriving, at)

    def _settle(self, arriving: _Arriving, at: float) -> None:
        call, booking = arriving.call, arriving.booking
        if (output := self._levels[2]) is not None:
            output.take(0 if booking.watched else call.size.output_tokens, at)
        if booking.watched:
            self._produce(
                -call.size.output_tokens
                / max(arriving.piece_s * arriving.pieces, _PIECE_S / _FEWEST_PIECES)
            )
        usage = Usage(input_tokens=call.size.input_tokens, output_tokens=call.size.output_tokens)
        self._learned.learn(call, usage)
        self._slots.free(at, answered=True)
        self._pace.settle(booking, usage, None if booking.watched else self._headers(at), at)

    def _headers(self, now: float) -> Limits:
        requests, inputs, outputs = self._levels
        return Limits(
            requests.reading(now, 1) if requests else LimitReading(),
            inputs.reading(now, _TOKEN_STEP) if inputs else LimitReading(),
            outputs.reading(now, _TOKEN_STEP) if outputs else LimitReading(),
        )


def _whole(limits: Rates, ours: float) -> Rates:
    """The API's own limits, where *limits* are our share *ours* of them."""
    requests, inputs, outputs = (per_minute / ours if per_minute else None for per_minute in limits)
    return requests, inputs, outputs


class _Corrected:
    """Past usage after its application to the sizes of rows: applied again, it would
    count twice.
    """

    def __init__(self, before: PastUsage) -> None:
        self._before = before

    def input_factor(self, model: str) -> float | None:
        """1 where there is history."""
        return None if self._before.input_factor(model) is None else 1.0

    def mean_output(self, model: str, rule: str, bound: int) -> float | None:
        """None: the row has the length already."""
        return None


class _Level:
    """The level of one of the API's buckets."""

    def __init__(self, per_minute: float, burst_s: float) -> None:
        self._per_minute = per_minute
        self._capacity = max(1.0, per_minute / 60 * burst_s)
        # Mutable: the level at the moment `_at`.
        self._left = self._capacity
        self._at = 0.0
        self.drained_per_s = 0.0
        """Tokens produced per second; to be set right after `take`."""

    def take(self, units: float, now: float) -> None:
        gained = (now - self._at) * (self._per_minute / 60 - self.drained_per_s)
        self._left = min(self._capacity, self._left + gained) - units
        self._at = now

    def reading(self, now: float, step: int) -> LimitReading:
        self.take(0, now)
        return LimitReading(round(self._per_minute), max(0, int(self._left / step)) * step)
