"""Counting: whether output counts while it is produced is believed until something
contradicts it.
"""

from __future__ import annotations

import pytest

from claudebatch.layers.rate_limit.output.accounting import CompetingLevels, OutputAccounting


def weighed(
    remaining: float, produced: float, arrived: float, times: int, *, margin: float = 0.0
) -> OutputAccounting:
    accounting = OutputAccounting()
    for _ in range(times):
        accounting.weigh(
            remaining,
            produced=CompetingLevels(produced, margin),
            arrived=CompetingLevels(arrived, margin),
            step=1000,
            holds=6000,
        )
    return accounting


def test_the_documentation_is_believed_at_first() -> None:
    assert not OutputAccounting().doubted and not OutputAccounting().at_end


@pytest.mark.parametrize("times", [1, 2])
def test_headers_that_only_the_other_way_explains_count_against_it(times: int) -> None:
    accounting = weighed(6000, produced=1000, arrived=6000, times=times)
    assert accounting.doubted and accounting.at_end is (times == 2)


def test_headers_that_both_ways_explain_say_nothing() -> None:
    assert not weighed(3000, produced=3400, arrived=2600, times=100).doubted, "headers are rounded"
    assert not weighed(5000, produced=2000, arrived=2600, times=100, margin=2000).doubted, (
        "pictures stay behind"
    )


def test_slight_contradictions_now_and_then_never_add_up() -> None:
    accounting = weighed(3000, produced=1400, arrived=1400, times=1)
    for header in range(1000):
        level = 900 if header % 10 == 0 else 1400
        accounting.weigh(
            3000,
            produced=CompetingLevels(level, 1000),
            arrived=CompetingLevels(1800, 2000),
            step=1000,
            holds=3600,
        )
    assert -1 < accounting._score < 0, "a picture is too low at times, for that is the safe side"


def test_an_empty_bucket_may_be_in_debt() -> None:
    assert not weighed(0, produced=-50_000, arrived=-9000, times=100).doubted


def test_what_was_shown_often_takes_as_much_to_be_refuted_but_no_more() -> None:
    accounting = weighed(6000, produced=6000, arrived=0, times=100)
    for _ in range(5):
        assert not accounting.doubted
        accounting.weigh(
            6000,
            produced=CompetingLevels(0, 0),
            arrived=CompetingLevels(6000, 0),
            step=1000,
            holds=6000,
        )
    assert accounting.doubted


@pytest.mark.parametrize(
    ("produced", "arrived", "explained"),
    [(3000, 0, True), (3000, 1, False), (0, -500, False), (0.5, -500, False)],
)
def test_a_refusal_that_only_the_other_way_explains_settles_it(
    produced: float, arrived: float, explained: bool
) -> None:
    accounting = OutputAccounting()
    assert accounting.explains(produced=produced, arrived=arrived) is explained
    assert accounting.at_end is explained


def test_once_it_is_settled_a_refusal_has_another_reason() -> None:
    accounting = OutputAccounting()
    accounting.explains(produced=3000, arrived=-10)
    assert not accounting.explains(produced=3000, arrived=-10)
