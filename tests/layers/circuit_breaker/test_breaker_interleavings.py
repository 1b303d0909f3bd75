"""Breaker: every interleaving of up to five calls, with every way they can end and time
passing in between (R13).

States that cannot be told apart are walked on from once, so that all of them fit into a
second.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import dataclass, field

import pytest

from claudebatch.layers.circuit_breaker.breaker import Breaker, Permit
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy

MOST_CALLS = 5
WAIT_S = 10.0
ENDS = {
    "closed": ("served", "failed", "slow", "forgotten"),
    "half-open": ("served", "failed", "forgotten", "unsent"),
    "late": ("served", "failed", "unsent"),
}
"""How calls can end that make a difference, by the state of the breaker; late: of an
earlier era.
"""
_ELSEWHERE = {
    "_policy",
    "_generation",
    "_by_return",
    "_by_start",
    "_bad_rows",
    "_last_attempts",
    "_good_at",
    "_asked_at",
    "out_since",
    "_out",
    "served_at",
}


@dataclass
class Walk:
    """A breaker, and what an onlooker knows who saw every call go and come back."""

    policy: BreakerPolicy
    breaker: Breaker
    now: float = 0.0
    begun: int = 0
    out: list[tuple[Permit, int, int]] = field(default_factory=list)
    """Permit, number of the era in which it went, row."""
    era: int = 0
    """Grows with every change of state."""
    won: int = 0
    lost: int = 0
    """Of the probes of this era."""
    heard: list[tuple[float, int, str]] = field(default_factory=list)
    """When they began, row and verdict of the calls of this era."""
    probed_at: float | None = None
    opened_at: float = 0.0

    def key(self) -> object:
        """Equal for walks that must go on alike: calls of earlier eras differ in
        nothing, moments by their distance.

        What the onlooker has heard stands for the windows, and everything else that the
        breaker knows is in the key.
        """
        known = {
            name: value for name, value in vars(self.breaker).items() if name not in _ELSEWHERE
        }
        known["_probe_at"] -= self.now
        probed = None if self.probed_at is None else self.now - self.probed_at
        here = sorted(row for _, era, row in self.out if era == self.era)
        bad_rows, asked_at = self.breaker._bad_rows, self.breaker._asked_at
        known_rows = (
            tuple(sorted(bad_rows._bad.items())),
            tuple(sorted(bad_rows._failed.items())),
            (bad_rows._answered_sent, asked_at, self.breaker._good_at, self.breaker.out_since),
        )
        seen = (
            known_rows,
            self.begun,
            self.won,
            self.lost,
            self._told(),
            probed,
            self.now - self.opened_at,
            self.now,
        )
        return (*known.values(), *seen, *here, len(self.out))

    def _told(self) -> object:
        return tuple(self.heard) if self.breaker.state == "closed" else None

    def copy(self) -> Walk:
        """A walk of its own from here on."""
        other = copy.copy(self)
        other.breaker = copy.copy(self.breaker)
        for order in ("_by_return", "_by_start"):
            window = copy.copy(getattr(self.breaker, order))
            setattr(other.breaker, order, window)
            for name, value in vars(window).items():
                if isinstance(value, list | Counter):
                    setattr(window, name, value.copy())
        other.out = [(copy.copy(permit), era, row) for permit, era, row in self.out]
        other.heard = self.heard[:]
        other.breaker._out = self.breaker._out.copy()
        other.breaker._bad_rows = copy.copy(self.breaker._bad_rows)
        for name in ("_bad", "_failed"):
            setattr(other.breaker._bad_rows, name, getattr(self.breaker._bad_rows, name).copy())
        return other

    def begin(self) -> None:
        """A call asks to go; every second one is of row 0."""
        before, due = self.breaker.state, self.breaker.opens_in(self.now)
        row = self.begun if self.begun % 2 else 0
        bad = before != "closed" and self.breaker._bad_rows.is_bad(row)
        permit = self.breaker.admits(self.now, row)
        if bad:
            assert (permit is not None) == (self.breaker.state == "closed"), "no bad row probes"
        else:
            assert (permit is None) == (due > 0), "it says when it admits"
        if before == "closed":
            assert permit is not None
        if before == "open" and not bad:
            assert (permit is not None) == (self.now - self.opened_at >= WAIT_S)
        self._note(before)
        if permit is None:
            return
        if self.breaker.state == "half-open":
            self._probe()
        self.breaker.leaves(permit, self.now)
        self.begun += 1
        self.out.append((permit, self.era, row))

    def _probe(self) -> None:
        probes_out = sum(era == self.era for _, era, _ in self.out)
        assert probes_out + self.won < self.policy.probes, "at most so many probes"
        if not self.won and self.probed_at is not None:
            assert self.now - self.probed_at >= WAIT_S, "one per wait, until one was served"
        self.probed_at = self.now

    def end(self, which: int, verdict: str) -> None:
        """A call comes back."""
        permit, era, row = self.out.pop(which)
        before, served_at = self.breaker.state, self.breaker.served_at
        if verdict in ("forgotten", "unsent"):
            self.breaker.forget(permit, sent=verdict == "forgotten")
            assert self.breaker.state == before, "what says nothing changes nothing"
            if verdict == "unsent" and era == self.era:
                self.probed_at = None
            return
        rows_own = self.breaker._bad_rows.is_bad(row)
        self.breaker.record(permit, verdict, self.now, row)
        assert self.breaker.served_at == (served_at if verdict == "failed" else self.now), (
            "every answer counts as served"
        )
        if era != self.era:
            assert self.breaker.state == before, "who went before the last change decides nothing"
            return
        if rows_own and (before == "closed" or verdict == "failed"):
            assert self.breaker.state == before, (
                "a row that fails while others are served says nothing of the pool"
            )
            return
        self._judge(before, verdict, (permit.sent_at, row, verdict))
        self._note(before)

    def _judge(self, before: str, verdict: str, call: tuple[float, int, str]) -> None:
        self.heard.append(call)
        self.won += verdict != "failed"
        self.lost += verdict == "failed"
        after = self.breaker.state
        if before == "half-open":
            expected = (
                "open" if self.lost else "closed" if self.won == self.policy.probes else "half-open"
            )
            assert after == expected, "one lost probe opens it, all won close it"
        else:
            assert after == ("open" if verdict != "served" and self._is_bad() else "closed")

    def _is_bad(self) -> bool:
        bad = sum(verdict != "served" for *_, verdict in self.heard[-self.policy.window_calls :])
        by_start = sorted(self.heard, key=lambda call: call[0])
        first_bad = next((at for at, _, verdict in by_start if verdict != "served"), math.inf)
        young = sum(era == self.era and permit.sent_at >= first_bad for permit, era, _ in self.out)
        looks_bad = self._looks_bad(self.heard) and self._looks_bad(by_start)
        return looks_bad and bad >= young and self._more_failed_than_are_out()

    def _more_failed_than_are_out(self) -> bool:
        """Of the calls since the first failure after the last one that was served."""
        good_at = self.breaker._good_at
        failed = [at for at, _, verdict in self.heard if verdict == "failed" and at > good_at]
        first = min(failed, default=self.now)
        out = sum(era == self.era and permit.sent_at >= first for permit, era, _ in self.out)
        return len(failed) >= out

    def _looks_bad(self, calls: list[tuple[float, int, str]]) -> bool:
        heard = calls[-self.policy.window_calls :]
        failed = sum(verdict == "failed" for *_, verdict in heard)
        bad = {row for _, row, verdict in heard if verdict != "served"}
        slow = failed + sum(verdict == "slow" for *_, verdict in heard)
        share = failed >= self.policy.failure_rate * len(
            heard
        ) or slow >= self.policy.slow_call_rate * len(heard)
        return len(heard) >= self.policy.minimum_calls and share and len(bad) >= self._rows_needed()

    def _rows_needed(self) -> int:
        return self.policy.outage_rows(self.breaker._bad_rows.active(self.now))

    def _note(self, before: str) -> None:
        if self.breaker.state == before:
            return
        self.era += 1
        self.won = self.lost = 0
        self.heard, self.probed_at = [], None
        if self.breaker.state == "open":
            self.opened_at = self.now


def steps(walk: Walk) -> list[tuple[str, int, str]]:
    """Everything that can happen next."""
    found = [("begin", 0, "")] if walk.begun < MOST_CALLS else []
    if walk.breaker.state != "closed" and walk.now < 3 * WAIT_S:
        found.append(("wait", 0, ""))
    # Of calls that cannot be told apart, one is enough.
    alike = {
        row if era == walk.era else None: which for which, (_, era, row) in enumerate(walk.out)
    }
    for which in alike.values():
        late = walk.out[which][1] != walk.era
        found += [
            ("end", which, verdict) for verdict in ENDS["late" if late else walk.breaker.state]
        ]
    return found


def after(walk: Walk, step: tuple[str, int, str]) -> Walk:
    """*walk* and one step more."""
    walk = walk.copy()
    what, which, verdict = step
    if what == "begin":
        walk.begin()
    elif what == "wait":
        walk.now += WAIT_S
    else:
        walk.end(which, verdict)
    return walk


@pytest.mark.parametrize(
    "policy",
    [
        BreakerPolicy(minimum_calls=2, wait_open_s=WAIT_S, probes=3),
        BreakerPolicy(
            minimum_calls=3, failure_rate=0.6, slow_call_rate=0.7, wait_open_s=WAIT_S, probes=1
        ),
    ],
    ids=["three probes", "one probe"],
)
def test_whatever_the_interleaving_of_five_calls_it_keeps_its_promises(policy):
    start = Walk(policy, Breaker(policy, now=0.0))
    seen, to_do = {start.key()}, [start]
    states = set()
    while to_do:
        walk = to_do.pop()
        states.add(walk.breaker.state)
        for step in steps(walk):
            next_walk = after(walk, step)
            if (key := next_walk.key()) not in seen:
                seen.add(key)
                to_do.append(next_walk)
    assert states == {"closed", "open", "half-open"}
    assert len(seen) > 1000
