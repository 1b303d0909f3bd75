"""The state machine of one pool's circuit breaker, without clock or network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from claudebatch.layers.circuit_breaker.bad_rows import BadRows
from claudebatch.layers.circuit_breaker.dark_time import DarkTime
from claudebatch.layers.circuit_breaker.settings import (
    FEW_ROWS,
    MANY_ATTEMPTS,
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
        self._bad_rows = BadRows()
        self._dark = DarkTime()
        # How many calls were served.
        self._served = 0
        # Open: the generation of the calls that were sent before, and whether more rows
        # were to come then.
        self._shut_after = -1
        self._more_to_come = False
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
        self.trouble_over = False
        """Whether the last call that was served shows that the pool serves again."""

    def was_bad(self, row: int, now: float) -> None:
        """*row* failed in an earlier session, while others were served."""
        self._bad_rows.was_bad(row, now)

    def gives_way(self, now: float, row: int, *, failed: bool) -> bool:
        """Whether *row*, which has *failed* before or not, lets rows ask first that
        have not: at the beginning and at the end of a file it may be a bad one. To be
        asked before `admits`.
        """
        if self.state == "closed":
            return False
        if self.proven:
            failed = row in self._opened_by or self._bad_rows.has_failed(row, self._good_at)
        if not failed:
            self._fresh_at = now
            return False
        return (not self.proven or self._may_be_bad_rows()) and self._fresh_ask(now)

    def admits(
        self, now: float, row: int = _NO_ROW, *, attempts_left: int = MANY_ATTEMPTS
    ) -> Permit | None:
        """Ask to send now: a permit to give back with the outcome, or None while the
        pool is left alone. *attempts_left*: so many the row has.

        A bad row is no probe. Where only bad rows still ask, there is nobody left whom
        an open breaker would serve: it closes, and they come to their end.
        """
        on_last = attempts_left == 1
        if self.state != "closed" and self._only_bad_rows_left(now):
            self._blame_rows(now)
        # The last answer of those sent before may have come after the last failure.
        if self.state == "closed" and on_last and not self.blameless and self._all_left_fail(now):
            self._open(now)
        bad = self.state != "closed" and self._bad_rows.is_bad(row)
        if bad and not self._others_ask(now):
            self._become("closed")
        if self.state == "closed":
            too_early = on_last and self._last_in(now, row) > 0
            return None if too_early else Permit(self._generation, now)
        if bad:
            return None
        self._asked_at = now
        self._dark.asks(row, now, attempts_left)
        if self._more_to_come and self._rows_left() is not None:
            self._more_to_come = False
            self._probe_at = min(self._probe_at, now + self._probe_wait_s(now))
        if self.opens_in(now) > 0 or (on_last and self._saves_last(now)):
            return None
        self._dark.leaves(row)
        if self.state == "open":
            self._become("half-open")
        self._probes_out += 1
        self._probe_at = now + self._probe_wait_s(now)
        return Permit(self._generation, now)

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

    def asks_again_in(self, now: float, row: int, *, attempts_left: int = MANY_ATTEMPTS) -> float:
        """Seconds until *row*, which was not admitted, may ask again."""
        if self.state == "closed":
            return self._last_in(now, row)
        wait_s = self.opens_in(now)
        # Not admitted while a probe may go, it must not spin.
        if self._bad_rows.is_bad(row):
            return max(wait_s, self._policy.wait_open_s)
        if attempts_left == 1 and self._saves_last(now):
            wait_s = max(wait_s, self._dark.last_in(now)) or self._policy.wait_open_s
        return wait_s

    def _saves_last(self, now: float) -> bool:
        left = self._rows_left()
        return not self._probes_won and self._dark.saves_last(now, left, self._policy)

    def _last_in(self, now: float, row: int) -> float:
        failed_at = self._bad_rows.failed_at(row)
        if self.blameless or self._may_be_bad_rows():
            # The rows are the likelier fault, and must come to their end soon.
            failed_at = min(failed_at, self._dark.since)
        return self._dark.last_in(now, failed_at)

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
            and not self._dark.blames_pool
            and self._served >= SERVED_PER_ROW_LEFT * left
        )

    def _blame_rows(self, now: float) -> None:
        self._bad_rows.all_bad(self._opened_by | self._bad_rows.failing(self._good_at), now)
        self._become("closed", blameless=True)

    def _probe_wait_s(self, now: float) -> float:
        left = self._rows_left()
        if left is None or left > FEW_ROWS or self._may_be_bad_rows():
            return self._policy.wait_open_s / (_HASTE if self._may_be_bad_rows() else 1)
        return self._dark.probe_wait_s(now, left, self._policy)

    def record(
        self,
        permit: Permit,
        verdict: BreakerVerdict,
        now: float,
        row: int,
        *,
        may_be_rows: bool = False,
        sent: bool = True,
    ) -> bool:
        """A call came back; returns whether its row has failed before by its own fault,
        as far as is known now. A call that was admitted before the last change of state
        decides nothing any more. *may_be_rows*: single rows fail in this way, too;
        *sent*: the request had left.
        """
        current = permit.generation == self._generation
        if verdict == "failed":
            self._dark.failed(now, may_be_rows=may_be_rows, sent=sent)
            if may_be_rows and self._fails_beside_answers(permit, row):
                self._bad_rows.all_bad([row], now)
            rows_own = self._bad_rows.failed(row, permit.sent_at, now)
            again = self.state == "closed" and row in self._failed_before
        else:
            again = False
            rows_own = self._take_in(permit, row, now)
        if not current:
            if verdict != "failed":
                self._reconsider(permit, now)
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
            if verdict != "served" and (
                self._is_bad(now, may_be_rows=may_be_rows) or self._all_left_fail(now)
            ):
                self._open(now)
        return rows_own or again

    def _take_in(self, permit: Permit, row: int, now: float) -> bool:
        """A call was served; returns whether its row was bad."""
        proves = permit.generation == self._generation and self.state == "closed"
        rows_own = self._bad_rows.answered(row, permit.sent_at, proves=proves)
        self.trouble_over = self._dark.served(permit.sent_at, now)
        self._served += 1
        self._opened_by = frozenset()
        self._failed_before -= {row}
        self.blameless = False
        self._good_at = max(self._good_at, permit.sent_at)
        self._failed_since = tuple(at for at in self._failed_since if at > self._good_at)
        self.served_at = now
        return rows_own

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

    def _fails_beside_answers(self, permit: Permit, row: int) -> bool:
        """Whether *row* failed before another was served, and right after it again: of
        a short file nobody else may be left to tell it from an outage.
        """
        right_after = self._good_at <= permit.sent_at <= self.served_at + _YOUNG_S
        failed_at = self._bad_rows.failed_at(row)
        before = row in self._failed_before or -math.inf < failed_at < self._good_at
        return self.proven and right_after and before and self._rows_left() is not None

    def _reconsider(self, permit: Permit, now: float) -> None:
        """A call is served that was sent before the breaker opened: where it was sent
        after those that failed, they are bad rows, and few slow answers were all that
        was missing. In a short file nobody else may ever tell.
        """
        shut = self.state != "closed" and not self._probes_won
        if not shut or permit.generation != self._shut_after or self._rows_left() is None:
            return
        self._bad_rows.convict(permit.sent_at, now)
        needed = self._policy.outage_rows(self._bad_rows.active(now))
        if self._bad_rows.unexplained(permit.sent_at) < needed:
            self.out_since = now
            self._become("closed")

    def _all_left_fail(self, now: float) -> bool:
        """Whether every row that is left has failed since the pool last served, and
        none is out: few rows would use up their attempts before that were calls enough.
        """
        left = self._rows_left()
        if left is None or self._out:
            return False
        failing = self._bad_rows.failing(self._good_at)
        fresh = sum(not self._bad_rows.is_bad(row) for row in failing)
        needed = self._policy.outage_rows(self._bad_rows.active(now))
        return len(failing) >= left and fresh >= (needed if self._dark.sent else 1)

    def _open(self, now: float) -> None:
        if self._only_bad_rows_left(now):
            self._blame_rows(now)
            return
        if self.state == "closed":
            self._fresh_at = now if self.proven else -math.inf
            self._shut_after = self._generation
            self._opened_by = self._bad_rows.failing(self._good_at)
            self._failed_before |= self._opened_by
            self.out_since = self._good_at
            self._asked_at = now
            self._bad_rows.forgive(self.out_since)
        self._dark.shut_again(int(self.state != "closed"))
        self._probe_at = now + self._probe_wait_s(now)
        self._more_to_come = self._rows_left() is None
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
