"""The state machine of one pool's circuit breaker, without clock or network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from claudebatch.layers.circuit_breaker.bad_rows import BadRows
from claudebatch.layers.circuit_breaker.last_attempts import LastAttempts
from claudebatch.layers.circuit_breaker.settings import (
    LAST_ATTEMPT_AFTER_S,
    SERVED_PER_ROW_LEFT,
    BreakerPolicy,
)
from claudebatch.layers.circuit_breaker.window import BreakerVerdict, CallWindow

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]

# While every probe is out, the moment of their return is unknown.
_LOOK_AGAIN_S = 1.0
# A row that failed before anything else was known of it; tests and look-ups have none.
_NO_ROW = -1
# Rows that wait for an open pool ask again within one and a half waits: so long the
# pool still has callers whose probe tells something.
_WAITS_TO_ASK_AGAIN = 2.0
# Rows that may all be bad are asked once each before that is believed, so much more
# often than an outage is probed.
_HASTE = 4
# Calls out that are no older may still be served. An outage is seen this much later at
# most.
_YOUNG_S = 5.0


@dataclass(slots=True)
class Permit:
    """The leave to send one call, given back with its outcome."""

    generation: int
    sent_at: float
    """When the call was sent; until that is known, when it was admitted."""
    is_out: bool = False
    """Whether it is counted among the calls that are out."""
    spent: bool = False
    """Whether it takes a row's last attempt to find out whether an outage is over."""


class Breaker:
    """The state machine of one pool; knows neither clock nor network.

    Open, it admits no call; after a wait one probe, and one more after each further
    wait that brings no news of it. Once a probe was served the others may go at once.
    So many as are wanted must be served before it closes, and one that fails opens it
    again: unless it failed as bad rows do, and no more have failed than were served.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        now: float,
        rows_left: Callable[[], int | None] = lambda: None,
    ) -> None:
        """*rows_left*: how many rows are left, all of them under way; None: more are to
        come.
        """
        self._policy = policy
        self._rows_left = rows_left
        # Mutable, changed by the methods below only.
        self.state: BreakerState = "closed"
        self._generation = 0
        # The same calls in the order in which they came back, and in that in which they
        # were sent; see `_is_bad`.
        self._by_return, self._by_start = CallWindow(policy), CallWindow(policy)
        # Closed: how many calls are out, by when they were sent. Those that wait in the
        # layers below tell nothing.
        self._out: Counter[float] = Counter()
        self._probe_at = now
        self._probes_out = self._probes_won = self._probes_lost = 0
        # Closed: when those calls were sent that failed, since the last served one.
        self._failed_since: tuple[float, ...] = ()
        # When the last served call was sent, and when a row last asked that is not bad.
        self._good_at = self._asked_at = -math.inf
        # Open: when a row last asked that has not failed since then.
        self._fresh_at = -math.inf
        self._last_attempts = LastAttempts(policy)
        self._bad_rows = BadRows()
        # How many calls were served, and when one last failed as no bad row does.
        self._served = 0
        self._pools_fault_at = -math.inf
        # Rows that failed in what was taken for an outage; those that made it open the
        # last time.
        self._failed_before: frozenset[int] = frozenset()
        self._opened_by: frozenset[int] = frozenset()
        self.served_at = now
        """When the pool last served anything."""
        self.out_since = now
        """Open: since when nothing was served that was sent later."""
        self.blameless = False
        """Whether only bad rows are left: see `_only_bad_rows_left`."""

    def was_bad(self, row: int, now: float) -> None:
        """*row* failed in an earlier session, while others were served."""
        self._bad_rows.was_bad(row, now)

    def gives_way(self, now: float, row: int, *, failed: bool, on_last: bool = False) -> bool:
        """Whether *row*, which has *failed* before or not, lets rows ask first that
        have not: at the beginning and at the end of a file it may be a bad one. To be
        asked before `admits`.
        """
        if self.state == "closed":
            return False
        self._last_attempts.asks(row, is_probe=not on_last)
        if self.proven:
            failed = row in self._opened_by or self._bad_rows.has_failed(row, self._good_at)
        if not failed:
            self._fresh_at = now
            return False
        return (not self.proven or self._may_be_bad_rows()) and self._fresh_ask(now)

    def admits(self, now: float, row: int = _NO_ROW, *, on_last: bool = False) -> Permit | None:
        """Ask to send now: a permit to give back with the outcome, or None while the
        pool is left alone. *on_last*: it is the row's last attempt.

        A bad row is no probe. Where only bad rows still ask, there is nobody left whom
        an open breaker would serve: it closes, and they come to their end.
        """
        if self.state != "closed" and self._only_bad_rows_left(now):
            self._blame_rows(now)
        bad = self.state != "closed" and self._bad_rows.is_bad(row)
        if bad and not self._others_ask(now):
            self._become("closed")
        if self.state == "closed":
            return Permit(self._generation, now)
        if bad:
            self._last_attempts.asks(row, is_probe=False)
            return None
        self._asked_at = now
        if self.opens_in(now) > 0 or (on_last and self._saves_last(now)):
            return None
        spent = on_last and self._is_early(now)
        if self.state == "open":
            self._become("half-open")
        self._probes_out += 1
        self._probe_at = now + self._probe_wait_s()
        return Permit(self._generation, now, spent=spent)

    def leaves(self, permit: Permit, now: float) -> bool:
        """The call has passed the layers below; returns whether it may go out: not
        where the breaker has opened meanwhile.
        """
        current = permit.generation == self._generation
        if self.state != "closed" and not current:
            return False
        if current and self.state == "closed":
            self._out[now] += 1
            permit.is_out = True
        permit.sent_at = now
        return True

    @property
    def proven(self) -> bool:
        """Whether the pool has served anything."""
        return self._good_at > -math.inf

    def opens_in(self, now: float) -> float:
        """Seconds until a probe may go; while all of them are out, a short while."""
        if self.state == "closed":
            return 0.0
        if self._probes_out + self._probes_won >= self._policy.probes:
            return _LOOK_AGAIN_S
        return 0.0 if self._probes_won else max(0.0, self._probe_at - now)

    def asks_again_in(self, now: float, row: int, *, on_last: bool = False) -> float:
        """Seconds until *row*, which was not admitted, may ask again."""
        wait_s = self.opens_in(now)
        # Not admitted while a probe may go, it must not spin.
        waits = self._bad_rows.is_bad(row) or (on_last and self._saves_last(now))
        return max(wait_s, self._policy.wait_open_s) if waits else wait_s

    def _is_early(self, now: float) -> bool:
        return not self._probes_won and now - self.served_at < LAST_ATTEMPT_AFTER_S

    def _saves_last(self, now: float) -> bool:
        due = not self._probes_out and self._last_attempts.is_due(now, self._rows_left())
        return self._is_early(now) and not due

    def _others_ask(self, now: float) -> bool:
        return (
            self._probes_out > 0
            or now - self._asked_at <= _WAITS_TO_ASK_AGAIN * self._policy.wait_open_s
        )

    def _only_bad_rows_left(self, now: float) -> bool:
        """Whether every row that is left has failed since the pool last served, each in
        a way that is a row's as well as a pool's, after far more were served: such is
        the end of a file whose last rows are bad.
        """
        if not self._may_be_bad_rows():
            return False
        # Rows that equal one under way are left, too, and ask nothing.
        nobody_else = self.state != "closed" and not self._fresh_ask(now)
        failing = self._opened_by | self._bad_rows.failing(self._good_at)
        return nobody_else or len(failing) >= (self._rows_left() or 0)

    def _fresh_ask(self, now: float) -> bool:
        return now - self._fresh_at <= _WAITS_TO_ASK_AGAIN * self._policy.wait_open_s

    def _may_be_bad_rows(self) -> bool:
        left = self._rows_left()
        return (
            left is not None
            and self.proven
            and self._pools_fault_at < self.served_at
            and self._served >= SERVED_PER_ROW_LEFT * (left + self._last_attempts.spent)
        )

    def _blame_rows(self, now: float) -> None:
        self._bad_rows.all_bad(self._opened_by | self._bad_rows.failing(self._good_at), now)
        self._become("closed", blameless=True)

    def _probe_wait_s(self) -> float:
        return self._policy.wait_open_s / (_HASTE if self._may_be_bad_rows() else 1)

    def record(
        self,
        permit: Permit,
        verdict: BreakerVerdict,
        now: float,
        row: int,
        *,
        may_be_rows: bool = False,
    ) -> bool:
        """A call came back; returns whether its row has failed before by its own fault,
        as far as is known now. A call that was admitted before the last change of state
        decides nothing any more. *may_be_rows*: single rows fail in this way, too.
        """
        current = permit.generation == self._generation
        if verdict == "failed":
            self._last_attempts.failed(row, now, spent=permit.spent)
            if not may_be_rows:
                self._pools_fault_at = now
            rows_own = self._bad_rows.failed(row, permit.sent_at, now)
            again = self.state == "closed" and row in self._failed_before
        else:
            again = False
            proves = current and self.state == "closed"
            rows_own = self._bad_rows.answered(row, permit.sent_at, proves=proves)
            self._served += 1
            self._opened_by = frozenset()
            self._failed_before -= {row}
            self.blameless = False
            self._last_attempts.served(row, now)
            self._good_at = max(self._good_at, permit.sent_at)
            self._failed_since = tuple(at for at in self._failed_since if at > self._good_at)
            self.served_at = now
        if not current:
            return rows_own or again
        self._is_back(permit)
        if rows_own and (self.state == "closed" or verdict == "failed"):
            self.forget(permit, sent=True)
        elif self.state == "half-open":
            self._record_probe(verdict, now, may_be_rows=may_be_rows)
        else:
            self._by_return.add(verdict, now, now, row)
            self._by_start.add(verdict, permit.sent_at, now, row)
            if verdict != "served" and permit.sent_at > self._good_at:
                self._failed_since += (permit.sent_at,)
            # Its own call must be a bad one: a good one is no reason to leave the pool
            # alone.
            if verdict != "served" and self._is_bad(now, may_be_rows=may_be_rows):
                self._open(now)
        return rows_own or again

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

    def _record_probe(self, verdict: BreakerVerdict, now: float, *, may_be_rows: bool) -> None:
        self._probes_out -= 1
        if verdict == "failed":
            self._probes_lost += 1
            # With a third of the rows bad, three in a row are seldom good ones: the
            # pool stayed shut for minutes after it had served.
            if not may_be_rows or self._probes_lost > self._probes_won:
                self._open(now)
            return
        # A slow one is a good one here: the question is whether the pool serves at all.
        self._probes_won += 1
        if self._probes_won >= self._policy.probes:
            self._become("closed")

    def _is_back(self, permit: Permit) -> None:
        if not permit.is_out:
            return
        permit.is_out = False
        self._out[permit.sent_at] -= 1
        if not self._out[permit.sent_at]:
            del self._out[permit.sent_at]

    def _is_bad(self, now: float, *, may_be_rows: bool) -> bool:
        """Whether the pool fails now, in whichever order its last calls are looked at.

        As they come back, time-outs are all that is left at the end of a run, though
        they tell of the moment ten minutes ago when they were sent. As they were sent,
        the last ones seem to fail: failures are the first to come back. At the
        beginning they are all that has come back: more must have failed than are out
        that were sent since the first of them, and may still be served.
        """
        if not (self._by_return.is_bad() and self._by_start.is_bad()):
            return False
        needed = self._policy.outage_rows(self._bad_rows.active(now))
        if min(self._by_return.bad_rows, self._by_start.bad_rows) < needed:
            return False
        since, young = self._by_start.first_bad(), now - _YOUNG_S
        out = sum(n for at, n in self._out.items() if at >= since and at > young)
        # A failure comes back sooner than an answer: of what was sent since the first
        # failure after the last call that was served, more must have failed than may
        # still be served.
        first = max(min(self._failed_since, default=now), young)
        unheard = sum(n for at, n in self._out.items() if at >= first)
        in_a_row = max(unheard, self._policy.failures_in_a_row if may_be_rows else 0)
        return self._by_return.bad >= out and len(self._failed_since) >= in_a_row

    def _open(self, now: float) -> None:
        if self._only_bad_rows_left(now):
            self._blame_rows(now)
            return
        if self.state == "closed":
            self._fresh_at = now if self.proven else -math.inf
            self._opened_by = self._bad_rows.failing(self._good_at)
            self._failed_before |= self._opened_by
            self.out_since = self._good_at
            self._asked_at = now
            self._bad_rows.forgive(self.out_since)
        self._probe_at = now + self._probe_wait_s()
        self._become("open")

    def _become(self, state: BreakerState, *, blameless: bool = False) -> None:
        if state == "closed" and not blameless:
            self._failed_before |= self._bad_rows.failing(self.out_since)
            self._bad_rows.forgive(self.out_since)
        self.state = state
        self.blameless = blameless
        self._generation += 1
        self._by_return, self._by_start = CallWindow(self._policy), CallWindow(self._policy)
        self._probes_out = self._probes_won = self._probes_lost = 0
        self._out.clear()
        self._failed_since = ()
        if state == "closed":
            self._last_attempts.closed()
