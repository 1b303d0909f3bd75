"""Retries by the same policy where no stack of layers stands: free look-ups."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from claudebatch.core.errors import AttemptError
from claudebatch.layers.retry.settings import RetryPolicy

Answer = TypeVar("Answer")


async def retried(
    ask: Callable[[], Awaitable[Answer]],
    policy: RetryPolicy,
    *,
    sleep: Callable[[float], Awaitable[None]],
    rng: random.Random,
) -> Answer:
    """The first answer of *ask*; raises the last `AttemptError` once *policy* gives
    up.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return await ask()
        except AttemptError as error:
            delay_s = policy.delay(attempt, error, rng)
            if delay_s is None:
                raise
        await sleep(delay_s)
