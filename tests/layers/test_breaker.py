"""Breaker: the state machine of one pool, without clock or network."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.layers.breaker import Breaker, BreakerPolicy

POLICY = BreakerPolicy(minimum_calls=4, failure_rate=0.5, window_s=30, wait_open_s=10, probes=3)


def closed() -> Breaker:
    return Breaker(POLICY, now=0)


def opened(at: float = 0) -> Breaker:
    breaker = Breaker(POLICY, now=at)
    for ticket in [breaker.admits(at) for _ in range(4)]:
        breaker.record(ticket, False, at)
    assert breaker.state == "open"
    return breaker


def probed(at: float = 10) -> tuple[Breaker, list[int]]:
    breaker = opened()
    tickets = [breaker.admits(at) for _ in range(3)]
    assert breaker.state == "half-open"
    return breaker, tickets


def test_it_stays_closed_below_the_minimum_of_calls():
    breaker = closed()
    for _ in range(3):
        breaker.record(breaker.admits(0), False, 0)
    assert breaker.state == "closed"


def test_it_opens_at_the_failure_rate_and_not_below():
    breaker = closed()
    for ok in (True, True, True, False, False):
        breaker.record(breaker.admits(0), ok, 0)
        assert breaker.state == "closed"
    breaker.record(breaker.admits(0), False, 0)
    assert breaker.state == "open"


def test_a_success_never_opens_it():
    breaker = closed()
    tickets = [breaker.admits(0) for _ in range(4)]
    for ticket, ok in zip(tickets, (False, False, False, True), strict=True):
        breaker.record(ticket, ok, 0)
    assert breaker.state == "closed"


def test_failures_are_forgotten_after_the_window():
    breaker = closed()
    for _ in range(3):
        breaker.record(breaker.admits(0), False, 0)
    breaker.record(breaker.admits(31), False, 31)
    assert breaker.state == "closed"


def test_open_it_admits_nobody_until_the_wait_is_over():
    breaker = opened(at=5)
    assert breaker.admits(5) is None and breaker.admits(14.9) is None
    assert breaker.opens_in(5) == 10 and breaker.opens_in(14) == 1 and breaker.opens_in(20) == 0
    assert breaker.admits(15) is not None
    assert breaker.state == "half-open"


def test_half_open_it_admits_three_probes_and_no_more():
    breaker, _ = probed()
    assert [breaker.admits(10 + seconds) for seconds in range(100)] == [None] * 100
    assert breaker.opens_in(50) == 1


def test_it_closes_when_every_probe_was_served():
    breaker, tickets = probed()
    for ticket in tickets:
        assert breaker.state == "half-open"
        breaker.record(ticket, True, 11)
    assert breaker.state == "closed" and breaker.served_at == 11


def test_one_failed_probe_opens_it_again_for_the_whole_wait():
    breaker, tickets = probed()
    breaker.record(tickets[0], True, 11)
    breaker.record(tickets[1], False, 12)
    assert breaker.state == "open" and breaker.opens_in(12) == 10
    assert breaker.admits(21.9) is None and breaker.admits(22) is not None


def test_a_probe_that_says_nothing_makes_room_for_another():
    breaker, tickets = probed()
    breaker.forget(tickets[0])
    assert breaker.admits(11) is not None
    assert breaker.admits(11) is None


def test_a_late_answer_of_the_time_before_it_opened_decides_nothing():
    breaker = closed()
    early = [breaker.admits(0) for _ in range(6)]
    for ticket in early[:4]:
        breaker.record(ticket, False, 0)
    breaker.record(early[4], True, 5)
    assert breaker.state == "open", "a late success does not close it"
    assert breaker.served_at == 5, "but it was served"
    breaker.admits(10)
    breaker.record(early[5], False, 11)
    assert breaker.state == "half-open", "a late failure does not open it again"


def test_a_late_probe_of_an_earlier_half_open_time_takes_no_place_in_the_next():
    breaker, tickets = probed()
    breaker.record(tickets[0], False, 11)
    again = [breaker.admits(30) for _ in range(3)]
    breaker.forget(tickets[1])
    breaker.record(tickets[2], True, 30)
    assert None not in again and breaker.admits(30) is None


@dataclass
class Model:
    """What may be said about a breaker from outside, whatever is done to it in whatever order."""

    breaker: Breaker
    now: float = 0.0
    out: list[tuple[int, str]] = field(default_factory=list)
    failures: int = 0

    def ask(self) -> None:
        opens_in, before = self.breaker.opens_in(self.now), self.breaker.state
        ticket = self.breaker.admits(self.now)
        if before == "open":
            assert (ticket is not None) == (opens_in == 0), "it says when it opens"
        if before == "closed":
            assert ticket is not None
        if ticket is not None:
            self.out.append((ticket, self.breaker.state))
        probes = [ticket for ticket, state in self.out if state == "half-open" and ticket == self._newest()]
        if self.breaker.state == "half-open":
            assert len(probes) <= POLICY.probes

    def back(self, which: int, what: str) -> None:
        if not self.out:
            return
        ticket, admitted_in = self.out.pop(which % len(self.out))
        before = self.breaker.state
        if what == "forget":
            self.breaker.forget(ticket)
            assert self.breaker.state == before
            return
        self.breaker.record(ticket, what == "ok", self.now)
        after = self.breaker.state
        if before != after:
            assert admitted_in == before, "only calls of this state change it"
            assert after in {"closed": ("open",), "half-open": ("open", "closed"), "open": ()}[before]
            assert (after == "closed") == (what == "ok"), "a failure opens, a success closes"
        if what == "ok":
            assert self.breaker.served_at == self.now

    def _newest(self) -> int:
        return max(ticket for ticket, _ in self.out)


_STEPS = st.lists(
    st.one_of(
        st.just(("ask",)),
        st.tuples(st.just("back"), st.integers(0, 7), st.sampled_from(["ok", "failed", "failed", "forget"])),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 1.0, 5.0, 10.0, 31.0])),
    ),
    max_size=80,
)


@settings(max_examples=400, deadline=None)
@given(_STEPS)
def test_whatever_the_interleaving_it_keeps_its_promises(steps):
    model = Model(closed())
    for step in steps:
        if step[0] == "ask":
            model.ask()
        elif step[0] == "back":
            model.back(step[1], step[2])
        else:
            model.now += step[1]
    # It is never stuck: once everything is back, a while later it admits again.
    while model.out:
        model.back(0, "forget")
    model.now += POLICY.wait_open_s
    assert model.breaker.admits(model.now) is not None
