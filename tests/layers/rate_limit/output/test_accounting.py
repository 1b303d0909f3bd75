"""Counting: whether output counts while it is produced is believed until something
contradicts it.
"""

from __future__ import annotations

import pytest

from claudebatch.layers.rate_limit.output.accounting import CompetingLevels, OutputAccounting


def weighed(
    remaining: float, produced: float, arrived: float, times: int, *, behind: float = 0.0
) -> OutputAccounting:
    counting = OutputAccounting()
    for _ in range(times):
        counting.weigh(
            remaining,
            produced=CompetingLevels(produced, behind),
            arrived=CompetingLevels(arrived, behind),
            step=1000,
            holds=6000,
        )
    return counting


def test_the_documentation_is_believed_at_first() -> None:
    assert not OutputAccounting().doubted and not OutputAccounting().at_end


@pytest.mark.parametrize("times", [1, 2])
def test_headers_that_only_the_other_way_explains_count_against_it(times: int) -> None:
    counting = weighed(6000, produced=1000, arrived=6000, times=times)
    assert counting.doubted and counting.at_end is (times == 2)


def test_headers_that_both_ways_explain_say_nothing() -> None:
    assert not weighed(3000, produced=3400, arrived=2600, times=100).doubted, "headers are rounded"
    assert not weighed(5000, produced=2000, arrived=2600, times=100, behind=2000).doubted, (
        "pictures stay behind"
    )


def test_slight_contradictions_now_and_then_never_add_up() -> None:
    counting = weighed(3000, produced=1400, arrived=1400, times=1)
    for header in range(1000):
        level = 900 if header % 10 == 0 else 1400
        counting.weigh(
            3000,
            produced=CompetingLevels(level, 1000),
            arrived=CompetingLevels(1800, 2000),
            step=1000,
            holds=3600,
        )
    assert -1 < counting._score < 0, "a picture is too low at times, for that is the safe side"


def test_an_empty_bucket_may_be_in_debt() -> None:
    assert not weighed(0, produced=-50_000, arrived=-9000, times=100).doubted


def test_what_was_shown_often_takes_as_much_to_be_refuted_but_no_more() -> None:
    counting = weighed(6000, produced=6000, arrived=0, times=100)
    for _ in range(5):
        assert not counting.doubted
        counting.weigh(
            6000,
            produced=CompetingLevels(0, 0),
            arrived=CompetingLevels(6000, 0),
            step=1000,
            holds=6000,
        )
    assert counting.doubted


@pytest.mark.parametrize(
    ("produced", "arrived", "explained"),
    [(3000, 0, True), (3000, 1, False), (0, -500, False), (0.5, -500, False)],
)
def test_a_refusal_that_only_the_other_way_explains_settles_it(
    produced: float, arrived: float, explained: bool
) -> None:
    counting = OutputAccounting()
    assert counting.explains(produced=produced, arrived=arrived) is explained
    assert counting.at_end is explained


def test_once_it_is_settled_a_refusal_has_another_reason() -> None:
    counting = OutputAccounting()
    counting.explains(produced=3000, arrived=-10)
    assert not counting.explains(produced=3000, arrived=-10)
