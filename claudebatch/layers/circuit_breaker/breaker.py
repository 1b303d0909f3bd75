"""The state machine of one pool's circuit breaker, without clock or network."""

from __future__ import annotations

import math
from collections import Counter
from typing import Literal, NamedTuple, TypeAlias

from claudebatch.layers.circuit_breaker.bad_rows import BadRows
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy
from claudebatch.layers.circuit_breaker.window import BreakerVerdict, CallWindow

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]

# While every probe is out, the moment of their return is unknown.
_LOOK_AGAIN_S = 1.0
# A row that failed before anything else was known of it; tests and look-ups have none.
_NO_ROW = -1
# Rows that wait for an open pool ask again within one and a half waits: so long the
# pool still has callers whose probe tells something.
_WAITS_TO_ASK_AGAIN = 2.0
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
        # When the last served call began, and when a row last asked that is not bad.
        self._good_at = self._asked_at = -math.inf
        self._bad_rows = BadRows()
        self.served_at = now
        """When the pool last served anything."""
        self.out_since = now
        """Open: since when nothing was served that was sent later."""

    def was_bad(self, row: int, now: float) -> None:
        """*row* failed in an earlier session, while others were served."""
        self._bad_rows.was_bad(row, now)

    def admits(self, now: float, row: int = _NO_ROW) -> Permit | None:
        """Ask to send now: a permit to give back with the outcome, or None while the
        pool is left alone.

        A bad row is no probe. Where only bad rows still ask, there is nobody left whom
        an open breaker would serve: it closes, and they come to their end.
        """
        bad = self.state != "closed" and self._bad_rows.is_bad(row)
        if bad and not self._others_ask(now):
            self._become("closed")
        if self.state == "closed":
            self._out[now] += 1
            return Permit(self._generation, now)
        if bad:
            return None
        self._asked_at = now
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

    def asks_again_in(self, now: float, row: int) -> float:
        """Seconds until *row*, which was not admitted, may ask again."""
        wait_s = self.opens_in(now)
        # A bad row is not admitted while a probe may go, and must not spin.
        return max(wait_s, self._policy.wait_open_s) if self._bad_rows.is_bad(row) else wait_s

    def _others_ask(self, now: float) -> bool:
        return (
            self._probes_out > 0
            or now - self._asked_at <= _WAITS_TO_ASK_AGAIN * self._policy.wait_open_s
        )

    def record(self, permit: Permit, verdict: BreakerVerdict, now: float, row: int) -> None:
        """A call came back. One that was admitted before the last change of state
        decides nothing any more.
        """
        current = permit.generation == self._generation
        if verdict == "failed":
            rows_own = self._bad_rows.failed(row, now)
        else:
            # Answers to what was sent before an outage still come in during it.
            proves = current and self.state == "closed"
            rows_own = self._bad_rows.answered(row, now, proves=proves)
            self._good_at = max(self._good_at, permit.began)
            self.served_at = now
        if not current:
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
        needed = self._policy.outage_rows(self._bad_rows.active(now))
        if min(self._by_return.bad_rows, self._by_start.bad_rows) < needed:
            return False
        return self._by_return.bad >= sum(
            n for began, n in self._out.items() if began > now - _YOUNG_S
        )

    def _open(self, now: float) -> None:
        if self.state == "closed":
            self.out_since = self._good_at
            self._asked_at = now
            self._bad_rows.forgive(self.out_since)
        self._probe_at = now + self._policy.wait_open_s
        self._become("open")

    def _become(self, state: BreakerState) -> None:
        if state == "closed":
            self._bad_rows.forgive(self.out_since)
        self.state = state
        self._generation += 1
        self._by_return, self._by_start = CallWindow(self._policy), CallWindow(self._policy)
        self._probes_out = self._probes_won = 0
        self._out.clear()
