"""Whose a 429 is: the row's, if requests of others are let in that left after it."""

from __future__ import annotations

from dataclasses import replace

from claudebatch.core.tries import RowLimited, RowTries
from claudebatch.layers.rate_limit.passed_over import PassedOver
from tests.support.scripted import HAIKU, make_call


class Course:
    """Requests in the order of their events: `a4` leaves, `a!` meets a 429, `a+`."""

    def __init__(self) -> None:
        self.rows = PassedOver()
        self.calls = {
            name: replace(make_call(), row=number, tries=RowTries())
            for number, name in enumerate("abcdefgh")
        }
        self.numbers: dict[str, int] = {}

    def play(self, *events: str) -> list[str]:
        """The blame of each 429."""
        blames = []
        for name, what in events:
            call = self.calls[name]
            self.numbers[name] = self.numbers.get(name, 0)
            if what == ">":
                self.numbers[name] = self.rows.left(call)
            elif what == "+":
                self.rows.let_in(call, self.numbers[name])
            else:
                blames.append(self.rows.refused(call, self.numbers[name]))
        return blames

    def times(self, name: str) -> int:
        limited = self.calls[name].tries.limited.get(HAIKU)
        return limited.times if limited else 0


def test_a_429_counts_once_a_later_request_of_another_row_was_let_in():
    course = Course()
    assert course.play("a>", "a!", "b>", "b+", "a>", "a!") == ["pool", "row"]
    assert course.times("a") == 1


def test_a_request_that_left_before_shows_nothing():
    course = Course()
    assert course.play("b>", "c>", "d>", "a>", "a!", "b+", "c>", "d>", "a>", "a!") == ["pool"] * 2
    assert course.times("a") == 0


def test_where_all_are_refused_none_counts():
    course = Course()
    blames = course.play("d>", "d+", *(f"{row}{what}" for _ in range(9) for row in "abc"
                                       for what in ">!"))  # fmt: skip
    assert set(blames) == {"pool"} and [course.times(row) for row in "abc"] == [0, 0, 0]


def test_a_row_that_was_passed_over_counts_on_where_nobody_else_asks_and_not_in_an_outage():
    course = Course()
    course.play("a>", "a!", "b>", "b+", "a>", "a!")
    assert course.play("a>", "a!", "c>", "c!", "a>", "a!") == ["row", "pool", "row"]
    course.play("c>", "c!", "d>", "d!", "e>", "e!", "a>", "a!")
    assert course.times("a") == 3, "three others are refused, too: the pool is limited"


def test_rows_that_are_let_in_when_they_come_again_take_the_suspicion_away():
    course = Course()
    course.play("a>", "a!", "b>", "b+", "a>", "a!")
    assert course.play("c>", "c!") == ["pool"], "one such row may be chance"
    course.play("b>", "b+", "c>", "c!")
    assert course.play("d>", "d!") == ["maybe row"]
    course.play("d>", "d+")
    assert course.play("e>", "e!") == ["pool"]


def test_an_answer_ends_the_count():
    course = Course()
    course.play("a>", "a!", "b>", "b+", "a>", "a!", "a>", "a+", "a>", "a!")
    assert course.times("a") == 0


def test_a_row_that_was_passed_over_in_an_earlier_session_counts_at_once():
    course = Course()
    course.calls["a"].tries.limited[HAIKU] = RowLimited(0, 4, others_served=True)
    assert course.play("a>", "a!") == ["row"] and course.times("a") == 5
