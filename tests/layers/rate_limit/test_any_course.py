"""Whatever befalls requests, in whatever order: a pace never breaks, never waits for
ever, and forgets what is over.
"""

from __future__ import annotations

import math
import random

import pytest

from claudebatch.core.domain import Usage
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage, PoolBooking
from claudebatch.layers.rate_limit.limiter import PoolLimiter
from claudebatch.layers.rate_limit.settings import PoolLimits


class Course:
    """One pool, and what a seed does to it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        rng = self.rng
        limits = PoolLimits(
            requests_per_minute=rng.choice([None, None, 6000]),
            input_tokens_per_minute=rng.choice([None, None, 100_000]),
            output_tokens_per_minute=rng.choice([10_000, 400_000]),
        )
        self.pace = PoolLimiter(
            limits, now=0.0, cautious=rng.random() < 0.2, share=rng.choice([1.0, 0.9])
        )
        self.at = 0.0
        self.out: list[PoolBooking] = []
        self.watched = 0

    def play(self, steps: int) -> None:
        for _ in range(steps):
            self.at += self.rng.choice([0.0, 1e-9, 0.01, 0.01, 0.05, 0.3, 1.0]) * (
                100 if self.rng.random() < 0.01 else 1
            )
            self.rng.choice(
                [
                    self._leave,
                    self._leave,
                    self._show,
                    self._show,
                    self._begin,
                    self._hide,
                    self._end,
                ]
            )()

    def _need(self) -> ExpectedUsage:
        rng = self.rng
        return ExpectedUsage(
            rng.choice([0, 100, 50_000]),
            rng.choice([0, 1, 300, 5000]),
            0.0,
            rng.choice([0.0, 0.2, 3.0]),
        )

    def _leave(self) -> None:
        need = self._need()
        for _ in range(20):
            wait = self.pace.wait(need, self.at)
            if wait is None:
                self.out.append(self.pace.take(need, self.at))
                self.watched += self.out[-1].watched
                return
            assert 0 < wait.seconds < math.inf
            self.at += wait.seconds

    def _one(self) -> PoolBooking | None:
        return self.rng.choice(self.out) if self.out else None

    def _show(self) -> None:
        if (booking := self._one()) is not None:
            self.pace.showed(booking, self.rng.choice([1, 50, 4000]), self.at)

    def _hide(self) -> None:
        if (booking := self._one()) is not None:
            self.pace.hides(booking)

    def _begin(self) -> None:
        if (booking := self._one()) is not None:
            self.pace.began(booking, self._limits(), self.at)

    def _limits(self) -> Limits | None:
        rng = self.rng
        return rng.choice([None, Limits(), Limits(*(self._reading() for _ in range(3)))])

    def _reading(self) -> LimitReading:
        return LimitReading(
            self.rng.choice([None, 100_000]), self.rng.choice([None, 0, 1000, 10**6])
        )

    def _end(self) -> None:
        if not self.out:
            return
        booking = self.out.pop(self.rng.randrange(len(self.out)))
        rng = self.rng
        match rng.randrange(4):
            case 0:
                self.pace.cancel(booking, self.at, counted=rng.random() < 0.5)
            case 1:
                self.pace.refused(booking, rng.choice([0.0, 5.0, 60.0]), self.at)
            case _:
                usage = Usage(rng.choice([0, 100, 90_000]), rng.choice([0, 1, 500, 5000]))
                self.pace.settle(booking, usage, self._limits(), self.at)

    def finish(self) -> None:
        while self.out:
            self._end()

    def waits(self, need: ExpectedUsage) -> float:
        """Until one may leave, asked as the limiter asks."""
        begin = self.at
        for _ in range(100_000):
            wait = self.pace.wait(need, self.at)
            if wait is None:
                return self.at - begin
            self.at += wait.seconds
        raise AssertionError("it waits for ever")


@pytest.mark.parametrize("seed", range(80))
def test_after_any_course_of_things_a_request_leaves_and_nothing_is_left_behind(seed: int) -> None:
    course = Course(seed)
    course.play(400)
    course.finish()
    course.at += 24 * 3600
    assert course.waits(ExpectedUsage(100, 100)) < 3600
    output = course.pace._output
    assert output is not None
    flight, sight = output._live._in_flight, output._live._streamed
    assert (flight.answers, sight.answers) == (0, 0)
    assert (flight.tokens, flight.per_s, sight.per_s, sight.uncertainty) == (0.0, 0.0, 0.0, 0.0)
    assert output._out == pytest.approx(0.0, abs=1e-3)


def test_many_answers_of_these_courses_are_watched() -> None:
    courses = [Course(seed) for seed in range(80)]
    for course in courses:
        course.play(400)
    assert sum(course.watched > 20 for course in courses) > 20


@pytest.mark.parametrize("seed", range(20))
def test_requests_that_hang_for_ever_do_not_stop_the_others(seed: int) -> None:
    course = Course(seed)
    course.play(400)
    course.at += 24 * 3600
    assert course.waits(ExpectedUsage(100, 100)) < 24 * 3600
