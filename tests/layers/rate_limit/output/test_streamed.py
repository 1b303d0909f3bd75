"""Sight: what watched answers have by now, and how fast they go on."""

from __future__ import annotations

import random
from math import inf

import pytest

from claudebatch.layers.rate_limit.output.streamed import StreamedAnswer, StreamedOutput


def seen(
    sight: StreamedOutput,
    shown: float = 10.0,
    *,
    left_at: float = 0.0,
    now: float = 1.0,
    hides: bool = False,
) -> StreamedAnswer:
    """One that is seen for the first time."""
    sight.produce(now)
    return sight.appear(0.0, shown, left_at, now, hides=hides)


def test_an_answer_goes_on_as_fast_as_it_has_come() -> None:
    sight = StreamedOutput(0.0)
    answer = seen(sight, 10.0)
    assert sight.per_s == 10.0, "since it left"
    assert sight.produce(1.5) == pytest.approx(5)
    assert sight.show(answer, 8.0, 1.5) == pytest.approx(3), "three more than was thought"
    assert sight.per_s == pytest.approx(16), (
        "since it was first seen: before that it may have waited"
    )
    assert sight.produce(2.0) == pytest.approx(8)
    assert sight.end(answer, 2.0) == pytest.approx(26)
    assert (sight.per_s, sight.answers, sight.mean_per_s) == (0.0, 0, None)


def test_who_shows_nothing_more_stands_still_after_two_seconds_however_late_that_is_noticed() -> (
    None
):
    sight = StreamedOutput(0.0)
    answer = seen(sight, 10.0)
    assert sight.stalls_in_s == 2.0
    assert sight.produce(100.0) == pytest.approx(20)
    assert (sight.per_s, sight.stalls_in_s) == (0.0, inf)
    assert sight.show(answer, 30.0, 100.0) == pytest.approx(10)
    assert sight.per_s == pytest.approx(30 / 99)


def test_others_go_on_when_one_stands_still() -> None:
    sight = StreamedOutput(0.0)
    still, other = seen(sight, 10.0), seen(sight, 20.0)
    sight.produce(2.0)
    sight.show(other, 20.0, 2.0)
    assert sight.produce(3.5) == pytest.approx(1.0 * 10 + 1.5 * 20)
    assert sight.end(still, 3.5) == pytest.approx(30)
    assert sight.per_s == pytest.approx(20)


def test_a_model_thinks_as_fast_as_it_writes() -> None:
    sight = StreamedOutput(0.0)
    sight.produce(4.0)
    answer = sight.appear(15.0, 5.0, 0.0, 4.0, hides=True)
    assert sight.show(answer, 10.0, 5.0) == pytest.approx((15 + 4 * 10) - (20 + 5)), (
        "four seconds of thoughts at 10 a second"
    )
    assert sight.end(answer, 5.0) == pytest.approx(55)


def test_all_of_them_together_are_worth_what_each_of_them_is() -> None:
    rng = random.Random(3)
    sight, at, produced = StreamedOutput(0.0), 0.0, 0.0
    out: list[StreamedAnswer] = []
    for _ in range(2000):
        at += rng.expovariate(10)
        produced += sight.produce(at)
        if out and rng.random() < 0.8:
            answer = rng.choice(out)
            if rng.random() < 0.2:
                out.remove(answer)
                sight.end(answer, at)
                continue
            produced += sight.show(answer, rng.uniform(0, 30), at)
        else:
            out.append(sight.appear(0.0, 5.0, at - 0.3, at, hides=False))
            produced += 5.0
    held = sum(sight._estimated(answer, at) for answer in out)
    assert sight.per_s == pytest.approx(sum(answer.per_s for answer in out if answer.running))
    assert sight._shown == pytest.approx(sum(answer.tokens for answer in out))
    assert sight._squares == pytest.approx(sum(answer.tokens**2 for answer in out))
    while out:
        produced -= sight.end(out.pop(), at)
    assert held > 0 and sight.uncertainty == 0


def test_doubt_follows_how_far_answers_turn_out_to_be_off() -> None:
    sure, unsure = StreamedOutput(0.0), StreamedOutput(0.0)
    for sight, counted in ((sure, 100.0), (unsure, 150.0)):
        for _ in range(300):
            sight.learn(100.0, counted)
        seen(sight, 100.0)
    assert seen(StreamedOutput(0.0), 100.0) and sure.uncertainty < 7, "thirty, to begin with"
    assert unsure.uncertainty == pytest.approx(100, rel=0.1), "three times a third"


def test_many_small_answers_are_less_in_doubt_than_one_large_one() -> None:
    many, one = StreamedOutput(0.0), StreamedOutput(0.0)
    for _ in range(100):
        seen(many, 10.0)
    seen(one, 1000.0)
    assert many.uncertainty < one.uncertainty / 6
