"""Learned: what requests will take, from what others took."""

from __future__ import annotations

from dataclasses import replace

import pytest

from claudebatch.core.domain import Call, Route, Size, Usage
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.usage_estimates import UsageEstimates
from tests.support.scripted import HAIKU, OPUS, make_call

FIRST = 1.25
"""Of the guess, until answers say better."""


def call(
    model: str = HAIKU,
    rule: str = "default",
    *,
    estimate: int = 1000,
    guess: int = 500,
    most: int = 8000,
) -> Call:
    size = Size(
        input_tokens=estimate, input_bound=10 * estimate, output_tokens=guess, output_bound=most
    )
    return replace(make_call(model=model, size=size), route=Route(model, rule, ()))


def used(input_tokens: int = 1000, output_tokens: int = 500, **more: int) -> Usage:
    return Usage(input_tokens=input_tokens, output_tokens=output_tokens, **more)


def after(*usages: Usage, of: Call | None = None) -> UsageEstimates:
    learned = UsageEstimates()
    for usage in usages:
        learned.learn(of or call(), usage)
    return learned


class Before:
    """Earlier runs that knew one model and one rule."""

    def input_factor(self, model: str) -> float | None:
        """Haiku's."""
        return 0.8 if model == HAIKU else None

    def mean_output(self, model: str, rule: str, bound: int) -> float | None:
        """The default rule's."""
        return min(300.0, bound) if (model, rule) == (HAIKU, "default") else None


def test_at_first_it_expects_more_than_the_guess() -> None:
    need = UsageEstimates().expect(call())
    assert (need.input_tokens, need.output_tokens) == (1000 * FIRST, 500 * FIRST)


def test_it_never_expects_more_output_than_is_allowed() -> None:
    assert UsageEstimates().expect(call(guess=500, most=600)).output_tokens == 600
    assert after(*[used(output_tokens=5000)] * 20).expect(call(most=100)).output_tokens == 100


@pytest.mark.parametrize("truth", [0.7, 1.0, 1.5])
def test_input_comes_to_what_was_counted(truth: float) -> None:
    learned = after(*[used(input_tokens=round(1000 * truth))] * 9)
    assert learned.expect(call()).input_tokens == pytest.approx(1000 * truth, rel=0.001)
    assert learned.expect(call(estimate=20_000)).input_tokens == pytest.approx(
        20_000 * truth, rel=0.001
    )


def test_the_first_answers_pull_it_down_step_by_step() -> None:
    expected = [after(*[used()] * count).expect(call()).input_tokens for count in range(10)]
    assert expected == sorted(expected, reverse=True)
    assert expected[1] > (1000 + 1000 * FIRST) / 2, "one answer is not trusted"


def test_large_requests_weigh_more_than_small_ones() -> None:
    learned = UsageEstimates()
    for _ in range(10):
        learned.learn(call(estimate=10), used(input_tokens=100))
        learned.learn(call(estimate=10_000), used(input_tokens=10_000))
    assert learned.expect(call()).input_tokens == pytest.approx(1000, rel=0.02)


def test_what_the_api_reads_from_its_cache_does_not_count() -> None:
    learned = after(*[used(input_tokens=100, cache_read_input_tokens=900)] * 20)
    assert learned.expect(call()).input_tokens == pytest.approx(100)


def test_models_learn_apart_and_so_do_the_routes_of_one_for_their_output() -> None:
    learned = after(*[used(300, 50)] * 20)
    assert learned.expect(call(OPUS)).input_tokens == 1000 * FIRST
    other = learned.expect(call(rule="essays"))
    assert (other.input_tokens, other.output_tokens) == (pytest.approx(300), 500 * FIRST)
    assert learned.expect(call()).output_tokens == 50
    for _ in range(20):
        learned.learn(call(rule="essays"), used(300, 5000))
    assert learned.expect(call()).output_tokens == 50


def test_output_comes_to_the_mean_of_what_came_within_nine_answers() -> None:
    expected = [
        after(*[used(output_tokens=50)] * count).expect(call()).output_tokens for count in range(10)
    ]
    assert expected == sorted(expected, reverse=True)
    assert expected[1] > (50 + 500 * FIRST) / 2, "one answer is not trusted"
    assert expected[9] == 50
    lengths = [used(output_tokens=length) for length in range(1, 102)]
    assert after(*lengths).expect(call()).output_tokens == 51


def test_only_the_last_two_hundred_answers_are_remembered() -> None:
    learned = after(*[used(5000, 4000)] * 500, *[used(1000, 100)] * 199)
    assert learned.expect(call()).input_tokens > 1001
    learned.learn(call(), used(1000, 100))
    need = learned.expect(call())
    assert (need.input_tokens, need.output_tokens) == (pytest.approx(1000), 100)
    assert len(learned._outputs[HAIKU, "default"]._recent) == 200


def test_requests_without_any_input_teach_nothing_and_break_nothing() -> None:
    learned = after(*[used(0, 0)] * 20, of=call(estimate=0))
    assert learned.expect(call()).input_tokens == 1000 * FIRST


def test_counts_of_earlier_runs_are_expected_at_first_and_half_as_much_again_possible() -> None:
    need = UsageEstimates(Before()).expect(call())
    assert need == ExpectedUsage(
        pytest.approx(1000 * 0.8 * 1.015),
        300 * FIRST,
        pytest.approx(1000 * 0.8 * 1.5),
        0.4,
        proven=False,
    )


def test_what_earlier_runs_do_not_know_is_expected_as_without_them() -> None:
    learned = UsageEstimates(Before())
    assert learned.expect(call(OPUS)) == UsageEstimates().expect(call(OPUS))
    assert learned.expect(call(rule="essays")).output_tokens == 500 * FIRST
    assert UsageEstimates().expect(call()).input_worst_case == 0


@pytest.mark.parametrize("truth", [0.7, 1.0, 1.5])
def test_within_nine_answers_earlier_runs_have_no_say_any_more(truth: float) -> None:
    learned = UsageEstimates(Before())
    most = []
    for _ in range(9):
        most.append(learned.expect(call()).input_worst_case)
        learned.learn(call(), used(round(800 * truth), 50))
    need = learned.expect(call())
    assert (need.input_tokens, need.output_tokens, need.input_worst_case) == (
        pytest.approx(800 * truth),
        50,
        0,
    )
    assert all(tokens >= 800 * truth - 1e-6 for tokens in most), "never too low on the way"


def test_tokens_are_told_by_the_length_of_the_text_as_in_the_last_answers_of_the_route() -> None:
    learned = UsageEstimates()
    assert learned.expect(call()).tokens_per_byte == 0.4
    for _ in range(20):
        learned.learn(call(), Usage(output_tokens=350, thinking_tokens=150), shown=1000)
    assert learned.expect(call()).tokens_per_byte == pytest.approx(0.2), "thoughts have no text"
    assert learned.expect(call(rule="essays")).tokens_per_byte == 0.4
    learned.learn(call(), Usage(output_tokens=5000), shown=0)
    assert learned.expect(call()).tokens_per_byte == pytest.approx(0.2), "nobody saw that one"


def test_the_count_of_a_prompt_is_learned_once_when_it_is_read_not_again_when_answered() -> None:
    learned = UsageEstimates()
    assert not learned.expect(call()).proven
    for _ in range(9):
        learned.read(call(), 700)
    assert learned.expect(call()).proven and learned.expect(call()).input_tokens == pytest.approx(
        700
    )
    learned.learn(call(), used(9000, 50), read=True)
    assert learned.expect(call()).input_tokens == pytest.approx(700)
    learned.learn(call(), used(9000, 50))
    assert learned.expect(call()).input_tokens > 1000
