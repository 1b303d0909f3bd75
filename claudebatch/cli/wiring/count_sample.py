"""What `--count` sets in motion: the API counts the tokens of some rows, which is free.
Nothing else of a dry run is sent anywhere.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from claudebatch.cli.wiring.api_target import client_for, endpoint
from claudebatch.clients.client import ClaudeClient
from claudebatch.core.domain import Call
from claudebatch.core.drain import Drain
from claudebatch.core.errors import AttemptError, ClaudebatchError, ExitCode
from claudebatch.estimate.counted_sample import CountedRow
from claudebatch.models.tokens.counted import countable
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup

_AT_ONCE = 8
_TRIES = 4
_FIRST_WAIT_S = 0.5
"""Twice as long each time, where the API does not say how long; somebody sits and
waits.
"""


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
    return lambda calls: asyncio.run(_count(iter(calls), options, run_setup, now, wall))


async def _count(
    calls: Iterator[Call],
    options: RunOptions,
    run_setup: RunSetup,
    now: Callable[[], float],
    wall: Callable[[], datetime],
) -> list[CountedRow]:
    found: list[CountedRow] = []
    async with endpoint(options, run_setup, now=now, wall=wall, rng=random.Random()) as api:
        client = client_for(api, run_setup, concurrency=_AT_ONCE, now=now, wall=wall)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(_work(calls, client, found))
        except* AttemptError as errors:
            first = errors.exceptions[0]
            raise ClaudebatchError(
                f"the API does not count: {first}",
                fix="try again later, or leave --count out",
                exit_code=ExitCode.UNAVAILABLE,
            ) from first
        except* ClaudebatchError as errors:
            raise errors.exceptions[0] from None
        finally:
            await client.close()
    return found


async def _work(calls: Iterator[Call], client: ClaudeClient, found: list[CountedRow]) -> None:
    # The workers draw from one iterator, which reads one row at a time: only so many
    # are in memory as are asked.
    for call in calls:
        tokens = await _ask(client, call) if countable(call) else None
        if tokens is not None:
            found.append(CountedRow(call.model, call.size.input_tokens, tokens))


async def _ask(client: ClaudeClient, call: Call) -> int | None:
    for attempt in range(_TRIES):
        try:
            return await client.count(call)
        except AttemptError as error:
            if not error.retryable or attempt == _TRIES - 1:
                raise
            await Drain().sleep(error.retry_after or _FIRST_WAIT_S * 2**attempt)
    return None
