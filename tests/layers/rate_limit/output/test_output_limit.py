"""Output: when the next request may leave, where the limit of output tokens binds.
Whole runs: tests/scenarios.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

import pytest

from claudebatch.layers.rate_limit.output.output_limit import OutputBooking, OutputLimit
from claudebatch.simulator.limits import SimulatedBucket as ApiBucket

RATE = 60_000
"""A thousand tokens a second."""


@dataclass
class Beside:
    """The pace of output beside the API's bucket, one answer after the other as fast as
    it lets them go.
    """

    burst_s: float
    at_end: bool
    latency_s: float
    spread: float = 0.0
    """Of latencies, from fixed (0) to twice as long and next to nothing (1)."""
    tokens: int = 500
    at: float = 0.0
    answers: list[tuple[float, int, OutputBooking, int]] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self.api = ApiBucket(RATE, self.burst_s, 0.0)
        self.output = OutputLimit(RATE, now=0.0, share=1.0)
        self.rng = random.Random(7)

    def run(self, until: float) -> None:
        """Send until then, and hold each request against the API."""
        while self.at < until:
            wait = self.output.wait_for(self.tokens, self.at)
            if wait > 0:
                self._pass(self.at + max(wait, 1e-6))
                continue
            assert self.api.level(self.at) >= 1, f"refused at {self.at}"
            self._send()

    def _send(self) -> None:
        tokens = round(self.tokens * self.rng.uniform(0.7, 1.3))
        latency_s = self.latency_s * (1 + self.spread * self.rng.uniform(-0.95, 0.95))
        if not self.at_end:
            self.api.drain(tokens, latency_s, self.at)
        self.sent += 1
        self.left.append(self.at)
        heappush(
            self.answers,
            (self.at + latency_s, self.sent, self.output.take(self.tokens, self.at), tokens),
        )

    def _pass(self, until: float) -> None:
        """To that moment, or the next answer."""
        if not self.answers or self.answers[0][0] > until:
            self.at = until
            return
        self.at, _, booking, tokens = heappop(self.answers)
        if self.at_end:
            self.api.take(tokens, self.at)
        self.output.settle(booking, tokens, self.at, answered=True)
        self.output.observe(booking, max(0, round(self.api.level(self.at) / 1000) * 1000), self.at)


@pytest.mark.parametrize("at_end", [False, True], ids=["as produced", "at its end"])
@pytest.mark.parametrize("spread", [0.0, 0.9], ids=["fixed", "spread"])
@pytest.mark.parametrize("latency_s", [0.2, 3.0, 30.0])
@pytest.mark.parametrize("burst_s", [5.0, 60.0])
def test_it_is_never_refused_and_keeps_up_with_the_limit(
    burst_s: float, latency_s: float, spread: float, at_end: bool
) -> None:
    both = Beside(burst_s, at_end, latency_s, spread)
    both.run(600 + latency_s)
    asked = (
        sum(at >= 2 * latency_s for at in both.left) * both.tokens / (600 - latency_s) / (RATE / 60)
    )
    least = 0.87 if (burst_s, latency_s) == (5.0, 30.0) else 0.97
    assert least <= asked <= 1.13, "of the rate, and what was saved up"


def test_where_answers_take_long_what_waited_leaves_one_by_one_and_not_to_catch_up() -> None:
    both = Beside(1.0, at_end=False, latency_s=30.0, tokens=200)
    both.run(100)
    while both.answers:
        both._pass(inf)
    begin = both.at
    both.run(begin + 5)
    after = [at for at in both.left if at >= begin]
    assert min(later - earlier for earlier, later in itertools.pairwise(after)) > 0.13, (
        "at five a second"
    )


def test_a_request_larger_than_the_bucket_leaves_when_it_is_full_and_nothing_is_on_its_way() -> (
    None
):
    output = OutputLimit(RATE, now=0.0, share=1.0)
    assert 0 < output.wait_for(1_000_000, 0.0) <= 6
    assert output.wait_for(1_000_000, 6.0) == 0


def test_an_answer_that_never_comes_does_not_keep_the_others_waiting_for_ever() -> None:
    both = Beside(60.0, at_end=False, latency_s=1.0)
    both.run(20)
    both.output.take(50_000, both.at)
    waits = both.output.wait_for(500, both.at + 60)
    assert waits == 0


def test_what_is_cancelled_before_anything_came_leaves_no_trace() -> None:
    output = OutputLimit(RATE, now=0.0, share=1.0)
    for _ in range(50):
        output.settle(output.take(5000, 100.0), 0, 100.0, answered=False)
    assert output.wait_for(900, 101.0) == 0


def test_a_bucket_that_headers_show_as_one_thousand_or_none_is_used_all_the_same() -> None:
    output = OutputLimit(10_000, now=0.0, share=1.0)
    booking = output.take(60, 1.0)
    output.settle(booking, 60, 4.0, answered=True)
    output.observe(booking, 1000, 4.0)
    assert output._live.bucket.guaranteed_capacity == pytest.approx(
        1000 - 500 - 0.25 * 10_000 / 60
    ), "none of it by rounding up"


def test_the_last_header_of_a_small_bucket_is_believed() -> None:
    output = OutputLimit(400_000, now=0.0, share=1.0)
    bookings = [output.take(100, 0.1 * number) for number in range(10)]
    for number, booking in enumerate(bookings):
        output.settle(booking, 100, 2.0 + number / 10, answered=True)
        output.observe(booking, 6000, 2.0 + number / 10)
    output._live.bucket.give_back(-5500, 3.0)
    low = output.take(100, 3.0)
    assert output._live.bucket.snapshot(4.5).level > 4000
    output.observe(low, 0, 4.5)
    assert output._live.bucket.snapshot(4.5).level <= 500, (
        "though as little was left when it was asked for, and it may say that"
    )


def test_the_larger_the_answers_for_a_small_bucket_the_more_must_be_left_in_it() -> None:
    small, large = (
        OutputLimit(400_000, now=0.0, share=1.0),
        OutputLimit(400_000, now=0.0, share=1.0),
    )
    for output, burst_s in ((small, 1), (large, 60)):
        output.observe(output.take(10, 0.0), round(400 * burst_s / 60) * 1000, 1.0)
    assert small._margin(10) < small._margin(500) < small._margin(1500)
    assert large._margin(10) == large._margin(1500)


# Watching


def bound(latency_s: float | None = 3.0) -> OutputLimit:
    """It binds; an answer has told how long they take."""
    output = OutputLimit(RATE, now=0.0, share=1.0)
    if latency_s is not None:
        output.settle(output.take(100, 0.0), 100, latency_s, answered=True)
    for at in (99.0, 100.0):
        output.note_binding()
        output.settle(output.take(1, at), 1, at, answered=False)
    return output


def test_answers_are_watched_while_the_limit_binds_and_for_a_minute_after() -> None:
    assert not OutputLimit(RATE, now=0.0, share=1.0).take(100, 0.0).watched
    assert bound(None).take(100, 100.0).watched, "nobody knows yet how long answers take"
    once = OutputLimit(RATE, now=0.0, share=1.0)
    once.note_binding()
    assert not once.take(100, 0.0).watched, "the first one may always have to wait"
    output = bound()
    assert output.take(100, 159.0).watched and not output.take(100, 161.0).watched


def test_answers_that_take_no_time_are_not_watched() -> None:
    assert not bound(0.1).take(100, 100.0).watched


def test_who_sees_everything_need_not_wait_until_an_answer_would_be_paid_for() -> None:
    watched, unwatched = bound(), OutputLimit(RATE, now=0.0, share=1.0)
    unwatched.settle(unwatched.take(100, 0.0), 100, 3.0, answered=True)
    for output in (watched, unwatched):
        for at in range(8):
            booking = output.take(3000, 100.0 + at / 100)
            output.showed(booking, 3.0, 101.0)
    assert unwatched.wait_for(3000, 101.0) > 10
    assert watched.wait_for(3000, 101.0) == 0


def show_ten_that_seem_not_to_count(output: OutputLimit) -> None:
    for number in range(10):
        at = 101 + number / 10
        booking = output.take(1000, at)
        output.showed(booking, 900.0, at + 0.05)
        output.observe(booking, 5000, at + 0.06)


def test_headers_of_an_api_that_counts_output_at_the_end_stop_the_watching_of_answers() -> None:
    output = bound()
    for number in range(9):
        booking = output.take(1, 100.0 + number / 10)
        output.showed(booking, 1.0, 100.05 + number / 10)
        output.settle(booking, 1, 100.06 + number / 10, answered=True)
    output.settle(output.take(100, 100.0), 300, 103.0, answered=True)
    show_ten_that_seem_not_to_count(output)
    assert output._accounting.at_end
    assert not output.take(1000, 102.0).watched


def test_headers_do_not_disprove_the_documentation_before_answers_show_tokens_per_text() -> None:
    output = bound()
    show_ten_that_seem_not_to_count(output)
    assert not output._accounting.doubted
    assert output.take(1000, 102.0).watched


def test_a_refusal_that_only_that_explains_teaches_it_and_costs_no_trust_in_the_limit() -> None:
    output = bound()
    output._arrived.give_back(-5000, 100.0)
    margin = output._arrived.margin
    output.refused(100.0)
    assert output._accounting.at_end and output._arrived.margin == margin
    output.refused(100.1)
    assert output._live.bucket.snapshot(100.1).level <= 0, "the next one is about the limit"
