"""Each level of each cap is told once, when it is passed, and none that was passed
before the session.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claudebatch.alerts.cap_levels import CapLevels, CapWatch
from claudebatch.core.domain import PICO_PER_USD
from claudebatch.core.events import AttemptFinished, CapAlert, CapUsed, Event, RunStarted

USUAL = (50, 80, 100)
CAP = 10 * PICO_PER_USD


class Watched:
    """A watch, and the alerts that it gave."""

    def __init__(self, percents: tuple[int, ...] = USUAL) -> None:
        self.told: list[CapAlert] = []
        self._watch = CapWatch(self._note, percents)

    def _note(self, event: Event) -> None:
        assert isinstance(event, CapAlert)
        self.told.append(event)

    def start(self, *, cap: int | None = CAP, spent: int = 0, unknown: int = 0) -> None:
        self._watch(RunStarted("r", 1, 0, spent, cap, "o", False, unknown))

    def pay(self, cost: int, *, unknown: bool = False) -> None:
        self._watch(AttemptFinished("m", "p", None, cost, "timeout" if unknown else None, unknown))

    def use(self, used: int, scope: str = "day", *, full: bool = False, cap: int = CAP) -> None:
        self._watch(CapUsed(scope, cap, used, full))

    @property
    def percents(self) -> list[int]:
        return [alert.percent for alert in self.told]


def test_the_runs_own_cap_is_counted_from_what_its_attempts_cost():
    watched = Watched()
    watched.start()
    for _ in range(20):
        watched.pay(CAP // 20)
    assert [(alert.scope, alert.percent, alert.used) for alert in watched.told] == [
        ("run", 50, CAP // 2),
        ("run", 80, CAP * 8 // 10),
        ("run", 100, CAP),
    ]


def test_what_nobody_knows_counts_at_its_worst_case_now_and_from_before():
    watched = Watched()
    watched.start(spent=CAP // 5, unknown=CAP // 5)
    watched.pay(CAP // 10, unknown=True)
    assert watched.percents == [50]


def test_a_level_that_an_earlier_session_passed_is_not_told_again():
    watched = Watched()
    watched.start(spent=CAP * 6 // 10)
    watched.pay(CAP // 100)
    assert watched.told == []
    watched.pay(CAP * 2 // 10)
    assert watched.percents == [80]


def test_a_leap_over_several_levels_tells_the_highest_only():
    watched = Watched()
    watched.start()
    watched.pay(CAP * 95 // 100)
    assert watched.percents == [80]


def test_a_run_without_a_cap_has_nothing_to_tell():
    watched = Watched()
    watched.start(cap=None)
    watched.pay(10**20)
    assert watched.told == []


def test_a_cap_that_the_next_request_does_not_fit_under_is_used_up():
    watched = Watched()
    watched.start()
    watched.pay(CAP * 95 // 100)
    watched.use(CAP * 95 // 100, "run", full=True)
    watched.use(CAP * 95 // 100, "run", full=True)
    assert watched.percents == [80, 100]


def test_a_session_that_finds_the_cap_used_up_and_spends_nothing_says_nothing():
    watched = Watched()
    watched.start(spent=CAP * 95 // 100)
    watched.use(CAP * 95 // 100, "run", full=True)
    assert watched.told == []


def test_every_cap_has_levels_of_its_own():
    watched = Watched()
    watched.start()
    watched.use(0, "day")
    watched.use(0, "tag x")
    watched.use(CAP // 2, "day")
    watched.use(CAP, "tag x")
    watched.pay(CAP)
    assert [(alert.scope, alert.percent) for alert in watched.told] == [
        ("day", 50),
        ("tag x", 100),
        ("run", 100),
    ]


def test_what_others_had_used_before_is_not_told_as_news():
    watched = Watched()
    watched.use(CAP * 9 // 10)
    watched.use(CAP * 95 // 100)
    assert watched.told == []


def test_a_new_day_has_its_levels_again():
    watched = Watched()
    for used in (0, CAP // 2, CAP, CAP // 100, CAP // 2):
        watched.use(used)
    assert watched.percents == [50, 100, 50]


def test_a_cap_that_is_raised_is_another_cap():
    watched = Watched()
    watched.use(0)
    watched.use(CAP * 9 // 10)
    watched.use(CAP * 9 // 10, cap=2 * CAP)
    watched.use(CAP, cap=2 * CAP)
    assert watched.percents == [80, 50]


def test_a_share_of_the_cap_that_is_no_whole_number_is_passed_above_it():
    levels = CapLevels(3, (50,), used=0)
    assert levels.next_at == 2
    assert [levels.passed(used) for used in (1, 2)] == [None, 50]


def test_no_levels_no_alerts():
    watched = Watched(())
    watched.start()
    watched.pay(CAP)
    watched.use(CAP, "run", full=True)
    assert watched.told == []


@given(
    st.integers(1, 10**15),
    st.lists(st.integers(0, 10**14), max_size=60),
    st.sets(st.integers(1, 100), max_size=6),
    st.integers(0, 10**15),
)
def test_each_level_is_told_at_most_once_in_order_and_exactly_when_it_is_passed(
    cap, costs, percents, before
):
    levels, used, told = CapLevels(cap, percents, used=before), before, []
    for cost in costs:
        due = used + cost >= levels.next_at
        used += cost
        found = levels.passed(used)
        assert (found is not None) == due
        if found is not None:
            told.append(found)
    assert told == sorted(set(told))
    highest = max((percent for percent in percents if used * 100 >= cap * percent), default=0)
    was = max((percent for percent in percents if before * 100 >= cap * percent), default=0)
    assert (told[-1] if told else was) == highest
