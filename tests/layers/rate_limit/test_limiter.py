"""Pace: when a pool's next request may leave."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from claudebatch.core.domain import Usage
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage, PoolBooking
from claudebatch.layers.rate_limit.limiter import PoolLimiter
from claudebatch.layers.rate_limit.settings import PoolLimits

NEED = ExpectedUsage(1000, 500)
USED = Usage(input_tokens=1000, output_tokens=500)
NOW_RAMPED = 100.0
"""Long after the gentle start."""


def pace(**limits: Any) -> PoolLimiter:
    """Limits under their names in the configuration; `cautious`, `ceiling` and `share`
    as in `PoolLimiter`.
    """
    names = ("cautious", "ceiling", "share", "watch_output")
    settings = {key: limits.pop(key) for key in names if key in limits}
    return PoolLimiter(PoolLimits(**limits), now=0.0, **settings)


def leave(pace: PoolLimiter, at: float, need: ExpectedUsage = NEED) -> tuple[PoolBooking, float]:
    """Wait as long as it says, then go."""
    for _ in range(100):
        wait = pace.wait(need, at)
        if wait is None:
            return pace.take(need, at), at
        at += max(wait.seconds, 1e-9)
    raise AssertionError("it waits for ever")


def departures(
    pace: PoolLimiter,
    until: float,
    *,
    at: float = 0.0,
    answered: bool = False,
    need: ExpectedUsage = NEED,
) -> list[float]:
    """When requests leave, one right after the other; *answered*: each at once."""
    found: list[float] = []
    while at < until:
        assert len(found) < 20_000, "it lets everything through"
        booking, at = leave(pace, at, need)
        found.append(at)
        if answered:
            pace.settle(booking, USED, None, at)
    return found


def why(pace: PoolLimiter, at: float, need: ExpectedUsage = NEED) -> str | None:
    wait = pace.wait(need, at)
    return wait.reason if wait else None


def stated(*, requests: float | None = None, left: int | None = None, **tokens: int) -> Limits:
    return Limits(
        LimitReading(int(requests) if requests is not None else None, left),
        *(
            LimitReading(tokens.get(kind), tokens.get(f"{kind}_left"))
            for kind in ("input", "output")
        ),
    )


# The start


def test_without_limits_nothing_waits() -> None:
    free = pace()
    assert [free.wait(ExpectedUsage(10**9, 10**9), 0) for _ in range(100)] == [None] * 100
    assert (free.limits, free.top_per_s) == ((None, None, None), None)


def test_it_starts_with_ten_a_second_and_doubles_every_half_second() -> None:
    times = departures(pace(requests_per_minute=60_000), 3.0)
    halves = [sum(k / 2 <= at < (k + 1) / 2 for at in times) for k in range(6)]
    assert halves[0] <= 8
    assert all(later <= 2.6 * earlier + 1 for earlier, later in itertools.pairwise(halves))
    assert halves[5] >= 100, "and has got somewhere"


def test_after_eight_seconds_the_limits_alone_decide() -> None:
    times = departures(pace(requests_per_minute=60_000), 9.0)
    assert sum(8 <= at < 9 for at in times) == pytest.approx(985, rel=0.1)


def test_slow_pools_hardly_notice_the_gentle_start() -> None:
    assert departures(pace(requests_per_minute=60), 4.5) == pytest.approx(
        [0, 1, 2, 3, 4, 5], abs=0.1
    )


def test_where_limits_are_a_guess_48_requests_a_minute_leave_until_the_first_answer() -> None:
    guess = pace(requests_per_minute=60_000, cautious=True)
    first, _ = leave(guess, 0)
    assert why(guess, 0.5) == "first answer"
    assert departures(guess, 3.5, at=0.0) == pytest.approx([1.25, 2.5, 3.75], abs=0.01)
    guess.settle(first, USED, stated(requests=120_000), 4)
    assert guess.limits[0] == 120_000
    times = departures(guess, 6.0, at=4.0)
    assert sum(at < 4.5 for at in times) <= 7, "then it starts gently"
    assert len(times) > 30


def test_the_head_of_a_stream_that_comes_anyway_shows_the_limits_and_ends_the_guess() -> None:
    guess = pace(requests_per_minute=60_000, cautious=True, watch_output=True)
    plain, _ = leave(guess, 0)
    assert not plain.watched, "nobody streams on its account"
    streamed, at = leave(guess, 0, replace(NEED, streamed=True))
    assert streamed.watched
    assert why(guess, at + 0.5) == "first answer"
    guess.began(streamed, stated(requests=120_000, left=119_000), at + 0.6)
    assert guess.limits[0] == 120_000
    assert sum(time < at + 1.6 for time in departures(guess, at + 2.0, at=at + 0.6)) > 5


def test_an_error_is_no_first_answer() -> None:
    guess = pace(requests_per_minute=60_000, cautious=True)
    booking, _ = leave(guess, 0)
    guess.cancel(booking, 0.1, counted=True)
    assert why(guess, 0.2) == "first answer"


def test_who_was_away_comes_back_as_gently() -> None:
    away = pace(requests_per_minute=60_000)
    assert why(away, NOW_RAMPED) is None
    away.restart(NOW_RAMPED)
    times = departures(away, NOW_RAMPED + 0.5, at=NOW_RAMPED)
    assert len(times) <= 9


def test_who_was_away_leaves_what_is_saved_up_alone_for_a_minute() -> None:
    away = pace(requests_per_minute=6000)
    away.settle(leave(away, NOW_RAMPED)[0], USED, stated(left=5999), NOW_RAMPED)
    away.restart(NOW_RAMPED)
    times = departures(away, NOW_RAMPED + 12, at=NOW_RAMPED)
    assert sum(at >= NOW_RAMPED + 11 for at in times) <= 110


# The first request


LARGE = ExpectedUsage(20_000, 8000)
TOKENS = {"input_tokens_per_minute": 60_000, "output_tokens_per_minute": 60_000}


@pytest.mark.parametrize("settings", [{}, {"cautious": True}, {"ceiling": True}], ids=str)
def test_the_first_request_leaves_at_once_and_the_next_one_pays_for_it(
    settings: dict[str, bool],
) -> None:
    pool = pace(**TOKENS, **settings)
    assert pool.wait(LARGE, 0.0) is None
    pool.take(LARGE, 0.0)
    wait = pool.wait(NEED, 2.0)
    assert wait and (wait.seconds, wait.reason) == (
        pytest.approx(20_500 / 985 - 2, abs=0.1),
        "input tokens per minute",
    )


def test_what_the_first_answer_shows_to_be_left_is_opened_at_once() -> None:
    pool = pace(
        requests_per_minute=1000, input_tokens_per_minute=60_000, output_tokens_per_minute=600_000
    )
    first, _ = leave(pool, 0.0, LARGE)
    told = stated(left=999, input=60_000, input_left=59_000, output=600_000, output_left=599_000)
    pool.settle(first, USED, told, 0.5)
    times = departures(pool, 1.0, at=0.5)
    assert sum(at < 0.5 + 0.2 for at in times) >= 16, "and not after twenty seconds"


@pytest.mark.parametrize(("counted", "at_s"), [(False, 1.5), (True, 21)])
def test_where_the_first_request_fails_nobody_rushes_after_it(counted: bool, at_s: float) -> None:
    pool = pace(**TOKENS)
    pool.cancel(leave(pool, 0.0, LARGE)[0], 0.5, counted=counted)
    times = departures(pool, 30.0, at=0.5)
    assert times[0] == pytest.approx(at_s, abs=1.0), "no second one on credit"
    assert times[1] - times[0] == pytest.approx(1 / 0.985, abs=0.1)


def test_after_a_refusal_of_the_first_request_the_next_one_is_a_probe() -> None:
    pool = pace(**TOKENS)
    assert pool.refused(leave(pool, 0.0, LARGE)[0], 3.0, 0.05)
    assert departures(pool, 9.0, at=0.05) == pytest.approx([3.05, 8.05, 13.05])


def test_the_head_of_the_first_answer_ends_the_guess_as_well() -> None:
    guess = pace(requests_per_minute=60_000, cautious=True)
    first, _ = leave(guess, 0.0)
    guess.began(first, stated(requests=60_000, left=59_999), 0.4)
    assert len(departures(guess, 0.5, at=0.4)) >= 16
    guess.settle(first, USED, None, 0.6)
    assert len(departures(guess, 0.7, at=0.6)) > 3, "and its end does not begin anew"


# Tokens


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"requests_per_minute": 6}, "requests per minute"),
        ({"input_tokens_per_minute": 60_000}, "input tokens per minute"),
        ({"output_tokens_per_minute": 6000}, "output tokens per minute"),
        (
            {"requests_per_minute": 60_000, "output_tokens_per_minute": 6000},
            "output tokens per minute",
        ),
    ],
    ids=str,
)
def test_the_scarcest_says_why(limits: dict[str, float], reason: str) -> None:
    scarce = pace(**limits)
    leave(scarce, NOW_RAMPED)
    assert why(scarce, NOW_RAMPED, ExpectedUsage(1000, 2000)) == reason


def test_what_was_booked_too_much_comes_back_with_the_answer() -> None:
    tokens = pace(input_tokens_per_minute=60_000, output_tokens_per_minute=60_000)
    booking = tokens.take(ExpectedUsage(30_000, 30_000), NOW_RAMPED)
    assert tokens.wait(NEED, NOW_RAMPED) is not None
    tokens.settle(booking, Usage(cache_read_input_tokens=10**6), None, NOW_RAMPED)
    assert tokens.wait(ExpectedUsage(500, 500), NOW_RAMPED + 0.1) is None


def test_what_was_booked_too_little_is_paid_by_the_next() -> None:
    tokens = pace(input_tokens_per_minute=60_000)
    booking = tokens.take(ExpectedUsage(0, 0), NOW_RAMPED)
    tokens.settle(
        booking, Usage(input_tokens=1000, ephemeral_5m_input_tokens=1500), None, NOW_RAMPED
    )
    wait = tokens.wait(ExpectedUsage(500, 0), NOW_RAMPED)
    assert wait and wait.seconds == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize(("counted", "waits"), [(False, False), (True, True)])
def test_tokens_come_back_unless_they_may_have_been_counted(counted: bool, waits: bool) -> None:
    tokens = pace(input_tokens_per_minute=60_000, output_tokens_per_minute=60_000)
    tokens.cancel(tokens.take(ExpectedUsage(9000, 9000), NOW_RAMPED), NOW_RAMPED, counted=counted)
    assert (tokens.wait(ExpectedUsage(400, 400), NOW_RAMPED + 0.1) is not None) is waits


def test_the_request_itself_is_never_given_back() -> None:
    requests = pace(requests_per_minute=60)
    requests.cancel(requests.take(NEED, NOW_RAMPED), NOW_RAMPED, counted=False)
    wait = requests.wait(NEED, NOW_RAMPED)
    assert wait and wait.seconds == pytest.approx(1, abs=0.1)


def test_output_is_held_back_by_what_was_booked_and_by_what_came() -> None:
    booked = pace(output_tokens_per_minute=60_000)
    booked.take(ExpectedUsage(0, 5000), NOW_RAMPED)
    assert why(booked, NOW_RAMPED, ExpectedUsage(0, 100)) == "output tokens per minute", (
        "five seconds' worth is on its way"
    )
    came = pace(output_tokens_per_minute=60_000)
    came.settle(
        came.take(ExpectedUsage(0, 10), NOW_RAMPED), Usage(output_tokens=1900), None, NOW_RAMPED
    )
    wait = came.wait(ExpectedUsage(0, 10), NOW_RAMPED)
    assert wait and wait.seconds == pytest.approx(1, rel=0.1), (
        "the API's smallest bucket would be a second below zero"
    )


# Limits that answers state


@pytest.mark.parametrize("seen", [60.0, 6000.0], ids=["lower", "higher"])
def test_limits_that_answers_state_replace_ours(seen: float) -> None:
    ours = pace(requests_per_minute=600, input_tokens_per_minute=600_000)
    booking, at = leave(ours, NOW_RAMPED)
    assert ours.settle(booking, USED, stated(requests=seen, input=30_000, output=1000), at)
    assert ours.limits == (seen, 30_000, None), "output stays without a limit"
    assert not ours.settle(
        leave(ours, at + 60)[0], USED, stated(requests=seen, input=30_000), at + 99
    )


def test_what_was_chosen_is_lowered_and_never_raised() -> None:
    chosen = pace(requests_per_minute=600, ceiling=True)
    for seen, in_force in ((6000, 600), (60, 60), (300, 300), (6000, 600)):
        chosen.settle(leave(chosen, NOW_RAMPED)[0], USED, stated(requests=seen), NOW_RAMPED)
        assert chosen.limits[0] == in_force


@pytest.mark.parametrize(
    "seen", [None, Limits(), stated(requests=0, input=0, output=0)], ids=["none", "bare", "zero"]
)
def test_headers_that_are_not_there_or_say_nothing_change_nothing(seen: Limits | None) -> None:
    ours = pace(requests_per_minute=600, input_tokens_per_minute=600_000)
    before = ours.limits
    assert not ours.settle(leave(ours, NOW_RAMPED)[0], USED, seen, NOW_RAMPED)
    assert ours.limits == before


def test_headroom_takes_its_share_of_what_is_stated_too() -> None:
    ours = pace(requests_per_minute=600, input_tokens_per_minute=600_000, share=0.9)
    assert ours.limits[:2] == (540, 540_000)
    ours.settle(leave(ours, NOW_RAMPED)[0], USED, stated(requests=1000), NOW_RAMPED)
    assert ours.limits[:2] == (900, 540_000)


def test_what_answers_say_is_left_is_put_to_use() -> None:
    ours = pace(
        requests_per_minute=60, input_tokens_per_minute=60_000, output_tokens_per_minute=60_000
    )
    booking, at = leave(ours, NOW_RAMPED)
    ours.settle(booking, USED, stated(left=59, input_left=59_000, output_left=59_000), at)
    assert len(departures(ours, at + 10, at=at + 0.001)) > 50


def test_what_others_take_of_the_output_slows_us_down() -> None:
    ours = pace(output_tokens_per_minute=60_000)
    first, second = leave(ours, NOW_RAMPED)[0], leave(ours, NOW_RAMPED)[0]
    at = NOW_RAMPED + 2
    ours.settle(first, USED, stated(output_left=59_000), at)
    assert why(ours, at, ExpectedUsage(0, 20_000)) is None
    ours.settle(second, USED, stated(output_left=0), at)
    assert why(ours, at, ExpectedUsage(0, 2000)) == "output tokens per minute"


def test_what_is_on_its_way_is_not_booked_twice_when_headers_do_not_show_it_yet() -> None:
    ours, at = pace(output_tokens_per_minute=60_000), NOW_RAMPED
    ours.settle(leave(ours, at)[0], USED, stated(output_left=59_000), at + 1)
    first = ours.take(ExpectedUsage(0, 40_000), at + 1)
    second = ours.take(ExpectedUsage(0, 500), at + 1)
    at += 8
    ours.settle(second, USED, stated(output_left=59_000), at)
    assert why(ours, at, ExpectedUsage(0, 15_000)) is None
    assert why(ours, at, ExpectedUsage(0, 30_000)) == "output tokens per minute", "40,000 will come"
    ours.settle(first, Usage(output_tokens=100), None, at)
    assert why(ours, at, ExpectedUsage(0, 30_000)) is None


def test_while_the_output_of_others_keeps_it_below_zero_not_even_a_short_answer_is_asked_for() -> (
    None
):
    ours = pace(output_tokens_per_minute=60_000)
    ours.settle(
        ours.take(ExpectedUsage(0, 900), NOW_RAMPED), Usage(output_tokens=900), None, NOW_RAMPED
    )
    assert why(ours, NOW_RAMPED, ExpectedUsage(0, 0)) == "output tokens per minute"
