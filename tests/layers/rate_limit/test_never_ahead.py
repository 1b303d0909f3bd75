"""Bucket beside the API's own: whatever it grants is admitted there, whatever headers
say and whenever they come.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.layers.rate_limit.bucket_mirror import BucketMirror
from claudebatch.layers.rate_limit.peak_levels import BucketSnapshot
from claudebatch.simulator.limits import SimulatedBucket as ApiBucket

Step: TypeAlias = tuple[str, float]
"""What happens next, and how much of it, from 0 to 1."""
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "idle", "state", "state", "arrive"]),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=80,
)


@dataclass(slots=True)
class Sent:
    """A request, and what the API said remained once it had said so."""

    snapshot: BucketSnapshot
    too_much: float
    remaining: float | None = None


@dataclass
class Beside:
    """Our picture beside the API's bucket, on one clock. Each request is admitted in
    the moment in which it leaves.
    """

    per_minute: int
    burst_s: float
    step: float
    share: float = 1.0
    at: float = 0.0
    in_flight: list[Sent] = field(default_factory=list)
    uses: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = ApiBucket(self.per_minute, self.burst_s, self.at)
        ours, requests = self.per_minute * self.share, self.step == 1
        self.bucket = BucketMirror(
            ours,
            now=self.at,
            step=self.step,
            share=self.share,
            level=float(requests),
            spaced=requests,
        )

    def act(self, what: str, size: float) -> None:
        """One step of a story."""
        if what == "idle":
            self.at += 90 * size**4
        elif what == "send":
            self.send(1.0 if self.step == 1 else 1 + 2 * self.api.capacity * size**3)
        elif what == "guess":
            units = 1 + 0.2 * self.api.capacity * size**3
            self.send(units, too_much=units * (size * 7 % 1) / 2)
        elif what == "state" and self.in_flight:
            self._any(size).remaining = self.remaining()
        elif what == "arrive" and self.in_flight:
            self._arrive(self._any(size))

    def send(self, units: float, *, too_much: float = 0.0) -> None:
        """Wait for the picture's grant, as the pool does, and hold it against the API.
        *too_much*: of the estimate.
        """
        for _ in range(100):
            if (seconds := self.bucket.wait_for(units + too_much, self.at)) <= 0:
                break
            self.at += max(seconds, 1e-9)
        else:
            raise AssertionError("it waits for ever")
        refused_for = self.api.wait_for(units, self.at)
        assert refused_for == 0, (
            f"{units} at {self.at}: {self.api.level(self.at)} of {self.api.capacity} left"
        )
        self.in_flight.append(Sent(self.bucket.take(units + too_much, self.at), too_much))
        self.api.take(units, self.at)
        self.uses.append((self.at, units))

    def remaining(self) -> float:
        """What the headers say of this moment: whole requests, or thousands of
        tokens.
        """
        level = self.api.level(self.at)
        return max(
            0.0,
            math.floor(level + 1e-9) if self.step == 1 else round(level / self.step) * self.step,
        )

    def answer(self) -> None:
        """The last request's answer arrives at once."""
        self.in_flight[-1].remaining = self.remaining()
        self._arrive(self.in_flight[-1])

    def _any(self, size: float) -> Sent:
        return self.in_flight[min(int(size * len(self.in_flight)), len(self.in_flight) - 1)]

    def _arrive(self, sent: Sent) -> None:
        self.in_flight.remove(sent)
        if sent.too_much:
            self.bucket.give_back(sent.too_much, self.at, sent.snapshot)
        if sent.remaining is not None:  # a gateway strips headers
            self.bucket.observe(sent.snapshot, sent.remaining, self.at)


RATES = st.one_of(
    st.sampled_from([60, 1000, 6000, 30_000, 240_000, 4_000_000]), st.integers(60, 10_000_000)
)
BURSTS = st.sampled_from([1.0, 5.0, 60.0])


UNITS = pytest.mark.parametrize("step", [1.0, 1000.0], ids=["requests", "tokens"])


@UNITS
@settings(max_examples=600, deadline=None)
@given(per_minute=RATES, burst_s=BURSTS, story=STEPS)
def test_what_it_grants_the_api_admits_whatever_headers_say_and_whenever_they_come(
    step: float, per_minute: int, burst_s: float, story: list[Step]
) -> None:
    both = Beside(per_minute, burst_s, step)
    for what, size in story:
        both.act(what, size)


@settings(max_examples=300, deadline=None)
@given(per_minute=RATES, burst_s=BURSTS, story=STEPS)
def test_nor_are_estimates_that_were_too_high_and_come_back(
    per_minute: int, burst_s: float, story: list[Step]
) -> None:
    both = Beside(per_minute, burst_s, 1000.0)
    for what, size in story:
        both.act("guess" if what == "send" else what, size)


@pytest.mark.parametrize("kind", ["send", "guess", "requests"])
@pytest.mark.parametrize("seed", range(40))
def test_nor_is_it_refused_in_long_stories(kind: str, seed: int) -> None:
    rng, send = random.Random(seed), "guess" if kind == "guess" else "send"
    rate, burst_s = (
        rng.choice([60, 1000, 6000, 30_000, 240_000, 4_000_000]),
        rng.choice([1.0, 5.0, 60.0]),
    )
    both = Beside(rate, burst_s, 1.0 if kind == "requests" else 1000.0)
    kinds = [
        *rng.choice([[send] * 6, [send] * 3 + ["idle"], [send] * 20]),
        "idle",
        "state",
        "arrive",
    ]
    for _ in range(400):
        both.act(rng.choice(kinds), rng.random() * rng.choice([1, 1, 0.5, 0.2]))


def test_headers_that_counted_while_it_stood_higher_than_before_and_after_raise_it_no_further() -> (
    None
):
    both = Beside(60_000, 60.0, 1000.0)
    both.send(1000)
    both.answer()
    both.send(57_000)
    both.at += 20  # a lull: nothing was left to send
    both.in_flight[0].remaining = both.remaining()
    both.send(20_000)
    both.act("arrive", 0.0)
    both.send(10_000)


@pytest.mark.parametrize(("per_minute", "step"), [(60, 1.0), (5600, 1000.0)])
def test_after_a_rest_it_holds_no_more_than_the_api(per_minute: int, step: float) -> None:
    both = Beside(per_minute, 60.0 if step > 1 else 5.0, step)
    both.send(step)
    both.at += 60
    both.act("state", 0.0)
    both.act("arrive", 0.0)
    both.at += 60
    for _ in range(20):
        both.send(step / 2 if step > 1 else 1)


def test_remainders_that_were_rounded_up_are_not_believed() -> None:
    both = Beside(6000, 60.0, 1000.0)
    both.send(450)
    both.answer()
    both.send(3000)
    both.answer()  # 2,550 or a little more are left; it says 3,000
    both.send(2900)


@pytest.mark.parametrize("burst_s", [1.0, 5.0, 60.0])
def test_what_is_larger_than_it_ever_saw_waits_until_the_api_is_full(burst_s: float) -> None:
    both = Beside(240_000, burst_s, 1000.0)
    for units in (10_000, 1000, 30_000, 500_000, 1000, 4000, 239_000, 1000):
        both.send(units)
        both.answer()


@settings(max_examples=200, deadline=None)
@given(per_minute=RATES, burst_s=BURSTS, share=st.sampled_from([0.5, 0.8, 0.9]), story=STEPS)
def test_with_headroom_no_window_sees_more_than_our_share(
    per_minute: int, burst_s: float, share: float, story: list[Step]
) -> None:
    both = Beside(per_minute, burst_s, 1.0, share)
    for what, size in story:
        both.act(what, size)
    for first, (begin, _) in enumerate(both.uses):
        for count, (end, _) in enumerate(both.uses[first:], 1):
            # What it may hold: our share of what the API holds, or what it saves up
            # blindly.
            held = max(both.api.capacity * share, both.api.rate * 0.5)
            assert count <= held + both.api.rate * share * (end - begin) + 1 + 1e-6


def test_with_headroom_what_we_leave_is_not_taken_for_a_gift() -> None:
    both = Beside(6000, 60.0, 1.0, 0.5)
    for _ in range(6000):
        both.send(1)
        both.answer()
    assert both.at == pytest.approx(60, rel=0.05), (
        "half of what was saved up at first, and half of the rate"
    )
