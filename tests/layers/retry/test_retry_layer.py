"""Retry: what fails for the moment is tried again, never sooner than asked, never in
step with others.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.core.errors import (
    AccountRefused,
    AttemptError,
    BudgetExhausted,
    CircuitOpen,
    Draining,
    NotServed,
)
from claudebatch.core.events import Event, Retrying
from claudebatch.core.tries import RowLimited
from claudebatch.layers.retry.layer import Retry
from claudebatch.layers.retry.settings import RetryBudgetPolicy, RetryPolicy
from tests.support.scripted import (
    ScriptedClient,
    bad_request,
    crowded,
    make_call,
    make_reply,
    overloaded,
    rate_limited,
    timed_out,
)
from tests.support.virtual import now, virtual


class Highest(random.Random):
    """Draws the upper end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Lowest(random.Random):
    """Draws the lower end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return a


def retry(
    policy: RetryPolicy, events: list[Event], rng: random.Random | None = None
) -> tuple[Retry, list[float]]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return make_layer(policy, sleep=sleep, rng=rng or Highest(), emit=events.append), slept


def make_layer(policy: RetryPolicy = RetryPolicy(), **how: Any) -> Retry:  # noqa: B008
    parts = {
        "sleep": asyncio.sleep,
        "now": lambda: 0.0,
        "rng": random.Random(0),
        "emit": lambda event: None,
        **how,
    }
    return Retry(policy, RetryBudgetPolicy(saved=1000), pool_of=lambda model: model, **parts)


@pytest.mark.parametrize(
    ("attempt", "longest_s"),
    [(0, 0.5), (1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (5000, 60)],
)
def test_the_backoff_doubles_up_to_its_cap(attempt: int, longest_s: float):
    policy = RetryPolicy(max_attempts=10_000, base_s=1, cap_s=60)
    assert policy.delay(attempt, overloaded(), Highest()) == longest_s
    assert policy.delay(attempt, overloaded(), Lowest()) == 0.05, "no wait is a busy loop"


@pytest.mark.parametrize(
    ("error", "attempt", "gives_up"),
    [
        (overloaded(), 7, False),
        (overloaded(), 8, True),
        (overloaded(), 9, True),
        (timed_out(), 7, False),
        (bad_request(), 1, True),
        (NotServed("gone", type="not_found_error", status=404), 1, True),
        (rate_limited(), 0, False),
    ],
    ids=["529 at 7", "529 at 8", "529 at 9", "timeout", "400", "404", "429"],
)
def test_only_what_passes_is_tried_again_and_only_so_often(
    error: AttemptError, attempt: int, gives_up: bool
):
    delay = RetryPolicy().delay(attempt, error, random.Random(1))
    assert (delay is None) is gives_up


@pytest.mark.parametrize(
    ("times", "counts", "others_served", "since_s", "gives_up"),
    [
        (7, True, True, 60, True),
        (6, True, True, 600, False),
        (7, True, True, 59, False),
        (7, False, True, 60, False),
        (7, True, False, 599, False),
        (7, True, False, 600, True),
    ],
    ids=["8 in a minute", "7", "too soon", "all are limited", "alone", "alone for long"],
)
def test_a_row_that_alone_meets_429s_is_given_up(times, counts, others_served, since_s, gives_up):
    row = RowLimited(9, times, counts=counts, others_served=others_served)
    delay = RetryPolicy().delay_of_limited(row, since_s, rate_limited(), random.Random(1))
    assert (delay is None) is gives_up


@given(
    attempt=st.integers(1, 40),
    base_s=st.floats(0, 10),
    cap_s=st.floats(0, 100),
    asked=st.none() | st.floats(0, 10_000),
    max_wait_s=st.floats(0, 1000),
    seed=st.integers(0, 10**6),
)
def test_a_wait_is_never_shorter_than_asked_and_its_jitter_is_full(
    attempt, base_s, cap_s, asked, max_wait_s, seed
):
    policy = RetryPolicy(max_attempts=100, base_s=base_s, cap_s=cap_s, max_wait_s=max_wait_s)
    delay = policy.delay(attempt, overloaded(retry_after=asked), random.Random(seed))
    honoured = min(asked or 0.0, max_wait_s)
    assert delay is not None
    assert delay >= max(0.05, honoured)
    assert delay <= max(0.05, honoured + min(cap_s, base_s * 2 ** (attempt - 1)))


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (None, (0.05, 1)),
        (0.0, (0.05, 1)),
        (-30.0, (0.05, 1)),
        (float("nan"), (0.05, 1)),
        (0.3, (0.3, 1.3)),
        (30.0, (30, 31)),
        (600.0, (600, 601)),
        (1e9, (600, 601)),
        (float("inf"), (600, 601)),
    ],
)
def test_whatever_the_api_asks_for_the_wait_is_no_shorter_nor_without_end(asked, waits):
    for rng in (Lowest(), Highest()):
        delay = RetryPolicy(max_wait_s=600).delay(1, overloaded(retry_after=asked), rng)
        assert waits[0] <= delay <= waits[1]
    assert RetryPolicy().delay(1, overloaded(retry_after=asked), Highest()) >= 1, (
        "nor is the backoff cut short"
    )


def test_the_draws_fill_the_whole_range():
    draws = [
        RetryPolicy(base_s=8).delay(1, overloaded(), random.Random(seed)) for seed in range(400)
    ]
    assert min(draws) < 0.8 and max(draws) > 7.2
    assert 3.5 < sum(draws) / len(draws) < 4.5


async def test_it_gives_the_first_answer_and_says_how_many_attempts_it_took():
    client, events = ScriptedClient([overloaded(), timed_out(), None]), []
    layer, slept = retry(RetryPolicy(), events)
    reply = await layer(make_call(), client)
    assert reply.attempts == 3
    assert slept == [1, 2]
    assert events == [
        Retrying("claude-haiku-5-5", "overloaded_error", 1, 1, "row-1", cause="overloaded"),
        Retrying("claude-haiku-5-5", "timeout", 2, 2, "row-1", cause="timed out"),
    ]


async def test_an_answer_at_once_is_passed_on_as_it_is():
    reply = make_reply()
    layer, slept = retry(RetryPolicy(), [])
    assert await layer(make_call(), ScriptedClient([reply])) is reply
    assert slept == []


async def test_the_last_error_comes_out_with_the_number_of_attempts():
    client = ScriptedClient(lambda call, before: overloaded())
    layer, slept = retry(RetryPolicy(max_attempts=4), [])
    with pytest.raises(AttemptError) as caught:
        await layer(make_call(), client)
    assert caught.value.attempts == len(client.sent) == 4
    assert len(slept) == 3


async def test_a_429_uses_no_attempt():
    client = ScriptedClient([rate_limited(2.0)] * 20 + [overloaded(), None])
    layer, slept = retry(RetryPolicy(max_attempts=2), [], Lowest())
    reply = await layer(make_call(), client)
    assert reply.attempts == 22
    assert slept == [0.05] * 21, "its pool waits out the 2 s, for all rows at once"


@pytest.mark.parametrize(
    ("error", "pool_waits", "waits_s"),
    [
        (rate_limited(30.0), True, 0.05),
        (rate_limited(30.0), False, 30.0),
        (crowded(30.0), True, 30.0),
        (overloaded(retry_after=30.0), True, 30.0),
    ],
    ids=["429: the pool's", "429 without a pool", "429 about requests in flight", "529"],
)
def test_a_retry_after_is_waited_for_by_the_row_where_no_pool_does(error, pool_waits, waits_s):
    policy = RetryPolicy(pool_waits=pool_waits)
    assert policy.delay(1, error, Lowest()) == waits_s


async def test_an_open_circuit_passes_through_and_was_no_attempt():
    client = ScriptedClient([overloaded(), CircuitOpen("haiku", probe_in_s=9, open_for_s=1)])
    layer, slept = retry(RetryPolicy(), [])
    with pytest.raises(CircuitOpen) as caught:
        await layer(make_call(), client)
    assert caught.value.attempts == 1, "the 529 before it"
    assert slept == [1]


@pytest.mark.parametrize(
    "error",
    [AccountRefused("E000", "401"), BudgetExhausted("cap"), Draining("stop"), ValueError("bug")],
)
async def test_what_is_no_attempts_failure_passes_through(error: Exception):
    client = ScriptedClient([error])
    layer, slept = retry(RetryPolicy(), [])
    with pytest.raises(type(error)):
        await layer(make_call(), client)
    assert (len(client.sent), slept) == (1, [])


async def test_a_drain_during_the_wait_ends_the_call():
    async def sleep(seconds: float) -> None:
        raise Draining("interrupted")

    client = ScriptedClient([overloaded()])
    with pytest.raises(Draining):
        await make_layer(sleep=sleep)(make_call(), client)
    assert len(client.sent) == 1


@virtual
async def test_retry_after_is_kept_to_the_second():
    client = ScriptedClient([overloaded(retry_after=30.0), None])
    await make_layer()(make_call(), client)
    assert 30.0 <= now() <= 31.0
