"""What `--count` sets in motion: the API counts the tokens of some rows, which is free.
Nothing else of a dry run is sent anywhere.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial

from claudebatch.cli.run_loop import run_loop
from claudebatch.cli.wiring.api_target import client_for, endpoint
from claudebatch.clients.protocol import Client
from claudebatch.core.domain import Call
from claudebatch.core.drain import Drain
from claudebatch.core.errors import AttemptError, ClaudebatchError, ExitCode
from claudebatch.estimate.counted_sample import CountedRow
from claudebatch.layers.retry.retried import retried
from claudebatch.layers.retry.settings import RetryPolicy
from claudebatch.models.tokens.counted import countable
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup

# Counting has a rate limit of its own, and a sample is small.
_AT_ONCE = 8
# Somebody sits and waits: four tries take about four seconds, where the API does not
# ask for longer. No pool stands below, so a 429 is waited out here.
_RETRY = RetryPolicy(max_attempts=4, base_s=1.0, max_wait_s=15.0, pool_waits=False)


def counter(
    options: RunOptions,
    run_setup: RunSetup,
    *,
    now: Callable[[], float],
    wall: Callable[[], datetime],
) -> Callable[[Iterable[Call]], list[CountedRow]]:
    """Asks the API how many tokens calls are, leaving out those that it cannot count.
    Raises `ClaudebatchError`.
    """
    return lambda calls: run_loop(lambda: _count(iter(calls), options, run_setup, now, wall))


async def _count(
    calls: Iterator[Call],
    options: RunOptions,
    run_setup: RunSetup,
    now: Callable[[], float],
    wall: Callable[[], datetime],
) -> list[CountedRow]:
    found: list[CountedRow] = []
    rng = random.Random()
    async with endpoint(options, run_setup, now=now, wall=wall, rng=rng) as api:
        client = client_for(api, run_setup, concurrency=_AT_ONCE, now=now, wall=wall)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(_work(calls, client, found, rng))
        # All workers fail alike: the first says it for all.
        except* AttemptError as errors:
            first = errors.exceptions[0]
            raise ClaudebatchError(
                "E027",
                f"the API did not count the tokens: {first}",
                fix="try again later, or leave --count out",
                exit_code=ExitCode.UNAVAILABLE,
            ) from first
        except* ClaudebatchError as errors:
            raise errors.exceptions[0] from None
        finally:
            await client.close()
    return found


async def _work(
    calls: Iterator[Call], client: Client, found: list[CountedRow], rng: random.Random
) -> None:
    sleep = Drain().sleep
    # The workers draw from one iterator, which reads one row at a time: only so many
    # are in memory as are asked.
    for call in calls:
        if not countable(call):
            continue
        tokens = await retried(partial(client.count, call), _RETRY, sleep=sleep, rng=rng)
        if tokens is not None:
            found.append(CountedRow(call.model, call.size.input_tokens, tokens))
