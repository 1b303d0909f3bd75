"""Produced: a watched answer leaves its tokens in the picture as it comes. Whole runs:
tests/scenarios.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

import pytest

from claudebatch.layers.rate_limit.output.live_output import LiveAnswer, LiveOutput
from claudebatch.simulator.limits import SimulatedBucket as ApiBucket

RATE = 60_000
"""A thousand tokens a second."""


@dataclass(order=True)
class Coming:
    at: float
    number: int
    answer: LiveAnswer = field(compare=False)
    tokens: int = field(compare=False)
    piece_s: float = field(compare=False)
    left: int = field(compare=False)


class Beside:
    """The picture beside an API's bucket of one second that no header shows; each
    answer comes in twenty pieces.
    """

    def __init__(self, *, latency_s: float = 3.0, told_as: float = 1.0, seed: int = 1) -> None:
        """*told_as*: what is shown is taken to be so many times as many tokens as it
        is, until an answer is over.
        """
        self.api = ApiBucket(RATE, 1.0, 0.0)
        self.produced = LiveOutput(RATE, now=0.0, share=1.0)
        self.rng = random.Random(seed)
        self.latency_s, self.told_as = latency_s, told_as
        self.at, self.sent, self.full_s = 0.0, 0, 0.0
        self.coming: list[Coming] = []
        self.errors: list[float] = []

    def run(self, until: float) -> None:
        """Send as fast as it lets them go, and hold every request against the API."""
        while self.at < until:
            wait = (
                self.produced.wait_watched(self.at, hold_burst=False)
                if self.produced.latency_s
                else 0.3
            )
            if wait > 0:
                self._pass(self.at + max(wait, 1e-6))
                if self.produced.latency_s:
                    continue
            self.errors.append(
                self.produced.bucket.snapshot(self.at).level - self.api.level(self.at)
            )
            assert self.api.level(self.at) >= 1, f"refused at {self.at}"
            self._send()

    def _send(self) -> None:
        tokens = round(self.rng.lognormvariate(0, 0.5) * 250)
        latency_s = self.rng.lognormvariate(0, 0.5) * self.latency_s
        self.api.drain(tokens, latency_s, self.at)
        self.sent += tokens
        answer = self.produced.depart(250, self.at, watched=True)
        heappush(
            self.coming,
            Coming(self.at + latency_s / 20, self.sent, answer, tokens, latency_s / 20, 20),
        )

    def _pass(self, until: float) -> None:
        if not self.coming or self.coming[0].at > until:
            self._to(until)
            return
        one = heappop(self.coming)
        self._to(one.at)
        self.produced.showed(one.answer, one.tokens / 20 * self.told_as, self.at)
        one.left -= 1
        if one.left:
            one.at += one.piece_s
            heappush(self.coming, one)
        else:
            self.produced.end(one.answer, one.tokens, self.at, answered=True)
            self.told_as = 1.0

    def _to(self, until: float) -> None:
        if self.api.level(self.at) >= self.api.capacity:
            self.full_s += until - self.at
        self.at = until


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("told_as", [0.85, 1.0, 2.0])
@pytest.mark.parametrize("latency_s", [0.5, 3.0, 10.0])
def test_in_sight_a_bucket_of_one_second_is_used_in_full_and_never_empty_for_a_request(
    latency_s: float, told_as: float, seed: int
) -> None:
    both = Beside(latency_s=latency_s, told_as=told_as, seed=seed)
    both.run(20 * latency_s)
    begin, sent = both.at, both.sent
    both.full_s = 0.0
    both.run(begin + 100)
    assert both.sent - sent == pytest.approx(100_000, rel=0.05), "what the rate brings"
    assert both.full_s <= 2.0, "seconds in which what was refilled ran over"
    assert max(both.errors) <= 500, "less than what is left for such errors"


def known(latency_s: float = 10.0) -> LiveOutput:
    """One answer has told how long they take."""
    produced = LiveOutput(RATE, now=0.0, share=1.0)
    produced.end(produced.depart(1000, 0.0, watched=True), 1000, latency_s, answered=True)
    produced.produce(100.0)
    return produced


def test_what_an_answer_shows_replaces_what_it_was_thought_to_have() -> None:
    produced = known()
    one = produced.depart(20_000, 100.0, watched=True)
    assert produced.bucket.snapshot(100.5).level == pytest.approx(400), (
        "two thousand a second, less what is refilled"
    )
    produced.showed(one, 600.0, 100.5)
    assert produced.bucket.snapshot(100.5).level == pytest.approx(400 + 1000 - 600)
    assert produced.bucket.gains_per_s == pytest.approx(1000 - 600 / 0.5)


def test_thoughts_count_by_time_until_the_answer_shows_how_fast_it_is() -> None:
    produced = known()
    one = produced.depart(10_000, 100.0, watched=True)
    produced.hides(one)
    produced.showed(one, 10.0, 102.0)
    assert produced.bucket.snapshot(102.0).level == pytest.approx(
        900 - (2000 + 10 - 2000), abs=1
    ), "refilled meanwhile"
    produced.showed(one, 50.0, 103.0)
    assert one.growing is not None and one.growing.tokens == pytest.approx(60 + 2 * 50)


def test_what_is_not_watched_shows_nothing() -> None:
    produced = known()
    one = produced.depart(1000, 100.0, watched=False)
    produced.hides(one)
    produced.showed(one, 500.0, 101.0)
    assert one.growing is None and produced._streamed.answers == 0


def test_what_is_cancelled_in_sight_leaves_no_trace() -> None:
    produced = known()
    one = produced.depart(1000, 100.0, watched=True)
    produced.showed(one, 50.0, 100.5)
    produced.end(one, 50.0, 100.5, answered=False)
    assert (
        produced.bucket.gains_per_s,
        produced._streamed.answers,
        produced._in_flight.answers,
    ) == (
        1000,
        0,
        0,
    )


def test_what_ran_over_meanwhile_is_not_given_back() -> None:
    """It was thought to have twice what it has; but for that the bucket would have been
    full all the time.
    """
    produced = known()
    one = produced.depart(1000, 100.0, watched=True)
    for second in range(1, 11):
        produced.showed(one, 200.0, 100.0 + second)
    level = produced.bucket.snapshot(110.0).level
    produced.end(one, 1000.0, 110.0, answered=True)
    assert produced.bucket.snapshot(110.0).level <= max(level, produced.bucket.guaranteed_capacity)


def test_nor_of_one_that_nobody_watched_and_that_came_so_late_that_it_was_forgotten() -> None:
    produced = LiveOutput(RATE, now=0.0, share=1.0)
    late = produced.depart(800, 0.0, watched=False)
    produced.end(produced.depart(10, 0.0, watched=False), 10, 1.0, answered=True)
    produced.produce(10.0)
    assert produced.bucket.snapshot(10.0).level == pytest.approx(900), (
        "three times what it has, and long made up for"
    )
    other = produced.depart(500, 10.0, watched=True)
    produced.showed(other, 500.0, 10.0)
    produced.end(late, 800, 10.0, answered=True)
    assert produced.bucket.snapshot(10.0).level == pytest.approx(400)


def test_what_a_header_has_put_right_is_not_given_back() -> None:
    def after(*, told: bool) -> float:
        produced = LiveOutput(600_000, now=0.0, share=1.0)
        first = produced.depart(1000, 0.0, watched=True)
        produced.observe(first, 10_000, 0.1)
        produced.end(first, 1000, 10.0, answered=True)
        one = produced.depart(100_000, 20.0, watched=True)
        for second in range(1, 10):
            produced.showed(one, 30_000.0, 20.0 + second)
        if told:
            produced.observe(produced.depart(10, 29.0, watched=True), 4000, 29.0)
        level = produced.bucket.snapshot(29.5).level
        produced.end(one, 150_000, 29.5, answered=True)
        return produced.bucket.snapshot(29.5).level - level

    assert 0 < after(told=True) < after(told=False) / 4


def test_until_the_first_answer_is_over_no_more_go_unseen_than_are_seen() -> None:
    produced = LiveOutput(RATE, now=0.0, share=1.0)
    first = [produced.depart(100, 0.0, watched=True) for _ in range(3)]
    for at in (0.5, 1.0):
        produced.showed(first[0], 10.0, at)
    assert produced.latency_s is not None
    assert produced.wait_watched(1.0, hold_burst=False) == 0
    produced.depart(100, 1.0, watched=True)
    assert produced.wait_watched(1.5, hold_burst=False) > 0
    produced.showed(first[1], 10.0, 1.6)
    produced.showed(first[2], 10.0, 1.6)
    assert produced.wait_watched(1.7, hold_burst=False) == 0


@pytest.mark.parametrize(("latency_s", "goes"), [(0.5, True), (1.5, False), (10.0, False)])
def test_the_longer_answers_take_the_more_is_left_of_a_bucket_that_holds_more(
    latency_s: float, goes: bool
) -> None:
    produced, now = LiveOutput(RATE, now=0.0, share=1.0), latency_s
    first = produced.depart(100, 0.0, watched=False)
    produced.end(first, 100, now, answered=True)
    produced.observe(first, 60_000, now)
    steady = produced.depart(100, now, watched=True)
    produced.showed(steady, RATE / 60, now + 1)
    produced.bucket.adjust(1300 - produced.bucket.snapshot(now + 1).level)
    assert (produced.wait_watched(now + 1, hold_burst=False) == 0) is goes


def test_calm_means_that_nothing_is_spent_of_what_is_saved_up() -> None:
    produced = known()
    one = produced.depart(1000, 100.0, watched=True)
    produced.showed(one, 600.0, 100.5)
    produced.showed(one, 600.0, 101.0)
    assert produced.wait_watched(101.0, hold_burst=True) > 0
    produced.end(one, 1200, 101.0, answered=True)
    assert produced.wait_watched(102.0, hold_burst=True) == 0


def test_without_any_answer_on_its_way_nothing_need_be_left() -> None:
    assert known().wait_unwatched(inf, 100.0) == 0
