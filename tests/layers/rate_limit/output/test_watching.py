"""Pace: which answers are watched, and what that teaches before they are over."""

from __future__ import annotations

import pytest

from claudebatch.core.domain import Usage
from claudebatch.layers.rate_limit.booking import ExpectedUsage, PoolBooking
from claudebatch.layers.rate_limit.limiter import PoolLimiter
from tests.layers.rate_limit.test_limiter import NEED, NOW_RAMPED, USED, leave, pace, stated, why


def watched_pace() -> PoolLimiter:
    """Output binds it."""
    found = pace(output_tokens_per_minute=60_000)
    booking, at = leave(found, NOW_RAMPED)
    while not booking.watched:
        booking, at = leave(found, at)
    return found


def test_answers_are_watched_once_requests_waited_for_the_limit_of_output_tokens() -> None:
    assert not departing(pace(requests_per_minute=60)).watched
    assert not departing(pace(output_tokens_per_minute=60_000), requests=2).watched
    assert departing(pace(output_tokens_per_minute=60_000)).watched


def departing(found: PoolLimiter, *, requests: int = 5) -> PoolBooking:
    at = NOW_RAMPED
    for _ in range(requests):
        booking, at = leave(found, at)
    return booking


def test_the_head_of_a_watched_answer_teaches_what_the_limits_are() -> None:
    found = watched_pace()
    booking = found.take(NEED, NOW_RAMPED + 30)
    assert found.began(booking, stated(output=120_000, output_left=1000), NOW_RAMPED + 30.1)
    assert found.limits == (None, None, 120_000)
    assert not found.began(booking, None, NOW_RAMPED + 30.2)


def test_bytes_count_as_the_tokens_that_they_are_expected_to_be() -> None:
    found = watched_pace()
    booking = found.take(ExpectedUsage(0, 500, tokens_per_byte=0.25), NOW_RAMPED + 30)
    found.showed(booking, 400, NOW_RAMPED + 31)
    assert booking.output is not None and booking.output.live.growing is not None
    assert booking.output.live.growing.tokens == 100


def test_what_is_hidden_is_known_to_be() -> None:
    found = watched_pace()
    booking = found.take(NEED, NOW_RAMPED + 30)
    found.hides(booking)
    assert booking.output is not None and booking.output.live.view is not None
    assert booking.output.live.view.hides


UNPROVEN = ExpectedUsage(1000, 500, proven=False)


def test_answers_are_watched_while_requests_wait_for_an_unknown_size_of_prompts() -> None:
    found = pace(input_tokens_per_minute=60_000)
    assert not leave(found, NOW_RAMPED, UNPROVEN)[0].watched, "it need not wait"
    booking, at = leave(found, NOW_RAMPED, UNPROVEN)
    assert booking.watched
    assert not leave(found, at, NEED)[0].watched, "they are known to count as much"
    requests = pace(requests_per_minute=60, input_tokens_per_minute=6_000_000)
    leave(requests, NOW_RAMPED, UNPROVEN)
    assert not leave(requests, NOW_RAMPED, UNPROVEN)[0].watched, "it waited for requests"


def test_what_a_prompt_counts_is_settled_when_it_is_read_and_once() -> None:
    def next_leaves(read: int | None) -> float:
        found = pace(input_tokens_per_minute=60_000)
        leave(found, NOW_RAMPED, UNPROVEN)
        booking, at = leave(found, NOW_RAMPED, UNPROVEN)
        if read is not None:
            found.read(booking, read, at)
            found.read(booking, 10 * read, at)
        following, then = leave(found, at, UNPROVEN)
        found.settle(booking, USED, None, then)
        found.cancel(following, then, counted=False)
        return then - at

    assert next_leaves(3000) == pytest.approx(next_leaves(None) + 2 / 0.985, abs=0.01)
    assert next_leaves(600) == pytest.approx(next_leaves(None) - 0.4 / 0.985, abs=0.01)


def test_an_answer_that_is_read_owes_nothing_more_when_it_is_over() -> None:
    found = pace(input_tokens_per_minute=60_000)
    leave(found, NOW_RAMPED, UNPROVEN)
    booking, at = leave(found, NOW_RAMPED, UNPROVEN)
    found.read(booking, 1000, at)
    before = why(found, at), found.wait(NEED, at)
    found.settle(booking, Usage(input_tokens=90_000), None, at)
    assert (why(found, at), found.wait(NEED, at)) == before


def test_switched_off_nothing_is_watched_whatever_binds() -> None:
    output = pace(output_tokens_per_minute=60_000, watch_output=False)
    assert not departing(output, requests=20).watched
    read = pace(input_tokens_per_minute=60_000, watch_output=False)
    for _ in range(5):
        assert not leave(read, NOW_RAMPED, UNPROVEN)[0].watched
