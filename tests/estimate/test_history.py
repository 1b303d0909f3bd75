"""What earlier answers say of those to come."""

from __future__ import annotations

import random
import statistics

import pytest

from claudebatch.core.domain import Usage
from claudebatch.estimate.answer_lengths import AnswerLengths
from claudebatch.estimate.history import ENOUGH, History
from claudebatch.storage.ledger.past_answers import PastAnswer

HAIKU, SONNET = "claude-haiku-5-5", "claude-sonnet-5-5"


def answer(
    output: int = 100,
    *,
    model: str = HAIKU,
    rule: str = "short",
    input_estimate: int = 100,
    **counted: object,
) -> PastAnswer:
    known = {"input_tokens": 90, "inference_geo": "global", **counted}
    return PastAnswer(model, rule, input_estimate, Usage(output_tokens=output, **known))


def test_the_mean_of_lengths_is_that_of_answers_cut_at_max_tokens():
    rng = random.Random(4)
    seen = [round(rng.lognormvariate(5, 1)) for _ in range(500)]
    lengths = AnswerLengths(seen)
    for bound in (1, 50, 150, 1000, 10**6):
        assert lengths.mean(bound) == pytest.approx(
            statistics.fmean(min(length, bound) for length in seen)
        )


def test_quantiles_are_lengths_that_were_seen():
    lengths = AnswerLengths(range(1, 101))
    assert (lengths.quantile(0.1), lengths.quantile(0.9), lengths.quantile(1.0)) == (11, 91, 100)
    assert len(lengths) == 100


def test_the_error_that_is_told_is_the_error_that_is_made():
    """Over many files of one kind, sums differ from what was expected by as much as
    they are said to.
    """
    rng = random.Random(3)
    told, made = [], []
    for _ in range(300):
        lengths = AnswerLengths(round(rng.lognormvariate(5, 0.6)) for _ in range(400))
        actual = sum(round(rng.lognormvariate(5, 0.6)) for _ in range(200))
        told.append(lengths.error(200))
        made.append(lengths.mean(10**6) * 200 / actual - 1)
    assert statistics.fmean(told) == pytest.approx(
        statistics.fmean(off**2 for off in made) ** 0.5, rel=0.15
    )
    assert (
        AnswerLengths([5]).error(10)
        == AnswerLengths([0, 0]).error(10)
        == AnswerLengths([1, 2]).error(0)
        == 0.0
    )


def test_a_route_is_known_by_its_own_model_and_rule_only():
    history = History([(0, answer(output)) for output in [100] * ENOUGH])
    habits = history.habits(HAIKU, "short")
    assert habits is not None
    assert habits.lengths.mean(1000) == 100
    assert habits.geo == "global"
    assert history.habits(HAIKU, "long") is None
    assert history.habits(SONNET, "short") is None


def test_how_a_model_counts_is_known_whatever_the_rule():
    history = History(
        [(0, answer(rule="short" if number % 2 else "long")) for number in range(ENOUGH)]
    )
    inputs = history.inputs(HAIKU)
    assert inputs is not None
    assert inputs.total == pytest.approx(0.9)
    assert history.inputs(SONNET) is None


def test_too_few_answers_say_nothing():
    history = History([(0, answer()) for _ in range(9)])
    assert history.habits(HAIKU, "short") is None
    assert history.inputs(HAIKU) is None
    assert ENOUGH == 10


def test_answers_of_other_inputs_are_left_out_once_there_are_enough_of_the_same():
    same, others = [(0, answer(100))] * 30, [(2, answer(900))] * 500
    habits = History([*same, *others]).habits(HAIKU, "short")
    assert habits is not None
    assert (len(habits.lengths), habits.lengths.mean(1000)) == (30, 100)


def test_answers_of_other_inputs_fill_up_a_few_of_the_same_and_do_not_swamp_them():
    habits = History([*[(0, answer(100))] * 12, *[(2, answer(900))] * 500]).habits(HAIKU, "short")
    assert habits is not None
    assert (len(habits.lengths), habits.lengths.mean(1000)) == (
        20,
        pytest.approx((12 * 100 + 8 * 900) / 20),
    )


def test_answers_of_other_inputs_are_all_there_is_for_a_new_one():
    habits = History([(2, answer(900))] * 500).habits(HAIKU, "short")
    assert habits is not None
    assert len(habits.lengths) == 500


def test_only_so_many_answers_are_remembered_and_the_first_told_are_the_newest():
    habits = History([(0, answer(100))] * 4000 + [(0, answer(900))] * 10).habits(HAIKU, "short")
    assert habits is not None
    assert habits.lengths.mean(1000) == 100


def test_the_mix_of_prompt_cache_reads_and_writes_is_learned():
    written = answer(input_tokens=10, ephemeral_5m_input_tokens=80)
    read = answer(input_tokens=10, cache_read_input_tokens=80)
    inputs = History([(0, written), *[(0, read)] * 9]).inputs(HAIKU)
    assert inputs is not None
    assert inputs.shares == pytest.approx(
        {
            "input_tokens": 0.1,
            "ephemeral_5m_input_tokens": 0.08,
            "ephemeral_1h_input_tokens": 0,
            "cache_read_input_tokens": 0.72,
        }
    )
    assert inputs.scaled(1.8).shares["cache_read_input_tokens"] == pytest.approx(1.44)
