"""The state machine of one pool's circuit breaker, without clock or network."""

from __future__ import annotations

import math
from collections import Counter
from typing import Literal, NamedTuple, TypeAlias

from claudebatch.layers.circuit_breaker.settings import BreakerPolicy
from claudebatch.layers.circuit_breaker.window import BreakerVerdict, CallWindow

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]

# While every probe is out, the moment of their return is unknown.
_LOOK_AGAIN_S = 1.0
# Rows that fail one after the other without an end take no memory for it.
_ROWS_REMEMBERED = 10_000
# Calls out that are no older may still be served. An outage is seen this much later at
# most.
_YOUNG_S = 5.0


class Permit(NamedTuple):
    """The leave to send one call, given back with its outcome."""

    generation: int
    began: float


class Breaker:
    """The state machine of one pool; knows neither clock nor network.

    Open, it admits no call; after a wait one probe, and one more after each further
    wait that brings no news of it. Once a probe was served the others may go at once.
    All of them must be served before it closes.
    """

    def __init__(self, policy: BreakerPolicy, *, now: float) -> None:
        self._policy = policy
        # Mutable, changed by the methods below only.
        self.state: BreakerState = "closed"
        self._generation = 0
        # The same calls in the order in which they came back, and in that in which they
        # began; see `_is_bad`.
        self._by_return, self._by_start = CallWindow(policy), CallWindow(policy)
        # Closed: how many calls are out, by when they began.
        self._out: Counter[float] = Counter()
        self._probe_at = now
        self._probes_out = self._probes_won = 0
        # When the last served call began, and when each row last failed (-inf: while
        # others were served).
        self._good_at = -math.inf
        self._failing: dict[int, float] = {}
        self.served_at = now
        """When the pool last served anything."""

    def admits(self, now: float) -> Permit | None:
        """Ask to send now: a permit to give back with the outcome, or None while the
        pool is left alone.
        """
        if self.state == "closed":
            self._out[now] += 1
            return Permit(self._generation, now)
        if self.opens_in(now) > 0:
            return None
        if self.state == "open":
            self._become("half-open")
        self._probes_out += 1
        self._probe_at = now + self._policy.wait_open_s
        return Permit(self._generation, now)

    def opens_in(self, now: float) -> float:
        """Seconds until a probe may go; while all of them are out, a short while."""
        if self.state == "closed":
            return 0.0
        if self._probes_out + self._probes_won >= self._policy.probes:
            return _LOOK_AGAIN_S
        return 0.0 if self._probes_won else max(0.0, self._probe_at - now)

    def record(self, permit: Permit, verdict: BreakerVerdict, now: float, row: int) -> None:
        """A call came back. One that was admitted before the last change of state
        decides nothing any more.
        """
        rows_own = self._is_rows_own(verdict, permit.began, now, row)
        if verdict != "failed":
            self.served_at = now
        if permit.generation != self._generation:
            return
        self._is_back(permit)
        if rows_own and (self.state == "closed" or verdict == "failed"):
            self.forget(permit, sent=True)
        elif self.state == "half-open":
            self._record_probe(verdict, now)
        else:
            self._by_return.add(verdict, now, now, row)
            self._by_start.add(verdict, permit.began, now, row)
            # Its own call must be a bad one: a good one is no reason to leave the pool
            # alone.
            if verdict != "served" and self._is_bad(now):
                self._open(now)

    def forget(self, permit: Permit, *, sent: bool) -> None:
        """A call came back and says nothing about the pool (called off, refused for its
        own fault, rate limited).

        One that was never *sent* makes room for another probe at once.
        """
        if permit.generation != self._generation:
            return
        self._is_back(permit)
        if self.state == "half-open":
            self._probes_out -= 1
            if not sent:
                self._probe_at = -math.inf

    def _is_rows_own(self, verdict: BreakerVerdict, began: float, now: float, row: int) -> bool:
        """Whether a call says more of its row than of the pool: it had failed, and what
        others sent after was served.

        Without this, bad rows that are all that is left at the end of a run would look
        like an outage, for ever.
        """
        again = self._failing.pop(row, math.inf) < self._good_at
        if verdict == "failed":
            self._failing[row] = -math.inf if again else now
            if len(self._failing) > _ROWS_REMEMBERED:
                del self._failing[next(iter(self._failing))]
        else:
            self._good_at = max(self._good_at, began)
        return again

    def _record_probe(self, verdict: BreakerVerdict, now: float) -> None:
        self._probes_out -= 1
        if verdict == "failed":
            self._open(now)
            return
        # A slow one is a good one here: the question is whether the pool serves at all.
        self._probes_won += 1
        if self._probes_won >= self._policy.probes:
            self._become("closed")

    def _is_back(self, permit: Permit) -> None:
        self._out[permit.began] -= 1
        if self._out[permit.began] <= 0:  # a probe was never in it
            del self._out[permit.began]

    def _is_bad(self, now: float) -> bool:
        """Whether the pool fails now, in whichever order its last calls are looked at.

        As they come back, time-outs are all that is left at the end of a run, though
        they tell of the moment ten minutes ago when they were sent. As they began, the
        last ones seem to fail: failures are the first to come back. At the beginning
        they are all that has come back: more must have failed than are out and may
        still be served.
        """
        if not (self._by_return.is_bad() and self._by_start.is_bad()):
            return False
        return self._by_return.bad >= sum(
            n for began, n in self._out.items() if began > now - _YOUNG_S
        )

    def _open(self, now: float) -> None:
        self._probe_at = now + self._policy.wait_open_s
        self._become("open")

    def _become(self, state: BreakerState) -> None:
        self.state = state
        self._generation += 1
        self._by_return, self._by_start = CallWindow(self._policy), CallWindow(self._policy)
        self._probes_out = self._probes_won = 0
        self._out.clear()
