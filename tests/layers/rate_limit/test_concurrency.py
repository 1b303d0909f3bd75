"""Slots: requests in flight grow while they are put to use and shrink when the API says
that they are too many.
"""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.layers.rate_limit.concurrency import ConcurrencyLimit


def filled(start: int, most: int = 1000, *, used: int | None = None) -> ConcurrencyLimit:
    """*used* in flight, or all of them."""
    slots = ConcurrencyLimit(start, most)
    for _ in range(start if used is None else used):
        slots.take()
    return slots


def fill(slots: ConcurrencyLimit) -> None:
    while slots.in_flight < slots.limit:
        slots.take()


def swap(slots: ConcurrencyLimit, now: float, *, answered: bool = True) -> None:
    """One comes back and another leaves."""
    slots.free(now, answered=answered)
    slots.take()


def refused(start: int, *, at: float = 0.0) -> ConcurrencyLimit:
    """A full house that met its first refusal."""
    slots = filled(start)
    slots.crowded(at)
    slots.free(at, answered=False)
    return slots


def test_a_free_one_waits_for_nothing_and_a_full_house_for_an_answer() -> None:
    slots = filled(4, 4, used=3)
    assert slots.wait(0) == 0
    slots.take()
    assert slots.wait(0) == inf
    slots.free(1, answered=True)
    assert slots.wait(1) == 0


def test_a_full_house_doubles_once_a_second_as_long_as_answers_come() -> None:
    slots, sizes = filled(600, 10_000), []
    assert slots.wait(0) == inf, "nobody answered yet"
    for second in range(1, 4):
        swap(slots, second)
        fill(slots)
        assert slots.wait(second) == 0
        sizes.append(slots.limit)
        fill(slots)
        assert slots.wait(second + 0.25) == inf, "not one answer since"
        swap(slots, second + 0.25)
        fill(slots)
        assert slots.wait(second + 0.25) == pytest.approx(0.75)
    assert sizes == [1202, 2408, 4820], "one for each answer, and twice as many"


def test_up_to_512_it_doubles_without_an_answer_for_those_may_take_half_a_minute() -> None:
    slots, sizes = filled(64), []
    for second in range(6):
        slots.wait(second)
        fill(slots)
        sizes.append(slots.limit)
    assert sizes == [128, 256, 512, 512, 512, 512]


def test_there_are_never_more_than_the_most() -> None:
    slots = filled(64, 100)
    for second in range(1, 50):
        swap(slots, second)
        slots.wait(second)
        fill(slots)
    assert slots.limit == 100 and slots.wait(99) == inf


@pytest.mark.parametrize(("used", "limit"), [(10, 11), (8, 11), (7, 10), (1, 10)])
def test_only_who_uses_four_in_five_gets_more(used: int, limit: int) -> None:
    slots = filled(10, used=used)
    slots.free(0, answered=True)
    assert slots.limit == limit


def test_what_is_not_answered_says_nothing() -> None:
    slots = filled(600)
    swap(slots, 1, answered=False)
    assert slots.limit == 600 and slots.wait(1) == inf


@pytest.mark.parametrize("start", [1, 7, 64])
def test_a_number_that_was_chosen_stays(start: int) -> None:
    slots = filled(start, start)
    for second in range(50):
        swap(slots, second)
    assert slots.limit == start and slots.wait(50) == inf


def test_a_refusal_takes_a_fifth_of_what_was_in_flight() -> None:
    assert refused(100).limit == 80
    few = filled(100, used=50)
    few.crowded(0)
    assert few.limit == 40, "what was not used did not crowd anything"


def test_after_many_refusals_at_once_as_many_may_be_in_flight_as_were_let_in() -> None:
    slots = filled(100)
    for _ in range(30):
        slots.crowded(5)
        slots.free(5, answered=False)
    assert slots.limit == 70, "and not 100 x 0.8 to the power of thirty"
    for _ in range(10):
        slots.take()
    slots.crowded(15.1)
    assert slots.limit == 56


def test_answers_to_what_was_sent_before_a_refusal_change_nothing() -> None:
    slots = refused(100)
    while slots.in_flight < 80:
        slots.take()
    for _ in range(200):
        swap(slots, 9.9)
    assert slots.limit == 80


def test_after_its_first_refusal_it_takes_a_round_of_answers_to_add_one() -> None:
    slots = refused(100)
    while slots.in_flight > 80:
        slots.free(0, answered=False)
    sizes = []
    for _ in range(3):
        for _ in range(83):
            swap(slots, 20)
        sizes.append(slots.limit)
    assert sizes == [81, 82, 83]
    fill(slots)
    assert slots.wait(100) == inf, "no doubling any more"


def test_one_is_always_left() -> None:
    slots = filled(2)
    for number in range(20):
        slots.crowded(number * 11.0)
    assert slots.limit == 1
    while slots.in_flight:
        slots.free(300, answered=False)
    assert slots.wait(300) == 0


@given(
    start=st.integers(1, 64),
    more=st.integers(0, 100),
    story=st.lists(
        st.tuples(
            st.sampled_from(["take", "take", "answer", "fail", "crowded", "wait"]), st.floats(0, 3)
        )
    ),
)
def test_whatever_happens_it_stays_between_one_and_the_most(
    start: int, more: int, story: list[tuple[str, float]]
) -> None:
    slots, at = ConcurrencyLimit(start, start + more), 0.0
    for what, later in story:
        at += later
        if what == "take" and slots.wait(at) == 0:
            slots.take()
        elif what in {"answer", "fail"} and slots.in_flight:
            slots.free(at, answered=what == "answer")
        elif what == "crowded" and slots.in_flight:
            slots.crowded(at)
            slots.free(at, answered=False)
        assert 1 <= slots.limit <= start + more
        assert slots.in_flight >= 0


def test_a_refused_slot_stays_shut_for_a_second_or_until_an_answer_makes_room() -> None:
    slots = refused(10, at=5.0)
    while slots.in_flight >= slots.limit:
        slots.free(5.0, answered=False)
    assert slots.wait(5.4) == pytest.approx(0.6)
    assert slots.wait(6.0) == 0
    slots.crowded(7.0)
    slots.free(7.0, answered=False)
    slots.free(7.1, answered=False)
    assert slots.wait(7.1) == pytest.approx(0.9)
    slots.free(7.2, answered=True)
    assert slots.wait(7.2) == 0


def test_how_long_it_is_refused_counts_from_the_first_refusal_after_the_last_answer() -> None:
    slots = refused(10, at=5.0)
    slots.crowded(8.0)
    assert slots.refused_for(15.0) == 10
    slots.free(16.0, answered=True)
    assert slots.refused_for(17.0) == 0
