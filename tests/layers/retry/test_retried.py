"""retried: free look-ups are tried again by the same policy as rows."""

from __future__ import annotations

import random

import pytest

from claudebatch.core.errors import AttemptError
from claudebatch.layers.retry.retried import retried
from claudebatch.layers.retry.settings import RetryPolicy
from tests.support.scripted import bad_request, overloaded, rate_limited

POLICY = RetryPolicy(max_attempts=3, base_s=0.0, pool_waits=False)


async def asked(*ends: Exception | int) -> tuple[int, list[float]]:
    """What came of questions that end as *ends*, and the waits between them."""
    left, slept = iter(ends), []

    async def ask() -> int:
        end = next(left)
        if isinstance(end, Exception):
            raise end
        return end

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return await retried(ask, POLICY, sleep=sleep, rng=random.Random(1)), slept


async def test_the_first_answer_comes_back_and_a_429_is_waited_out():
    assert await asked(rate_limited(7.0), overloaded(), 41) == (41, [7.0, 0.05])


@pytest.mark.parametrize("ends", [[overloaded()] * 3, [bad_request()]], ids=["three", "no retry"])
async def test_the_last_error_is_raised_once_the_policy_gives_up(ends: list[Exception]):
    with pytest.raises(AttemptError) as caught:
        await asked(*ends)
    assert caught.value is ends[-1]
