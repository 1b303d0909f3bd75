"""A rate limit layer over real pools, with calls to send through it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from claudebatch.core.domain import Call, Reply, Size, Usage
from claudebatch.core.drain import Drain
from claudebatch.core.events import Event, Waiting
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.concurrency import ConcurrencyLimit
from claudebatch.layers.rate_limit.layer import RateLimit
from claudebatch.layers.rate_limit.limiter import PoolLimiter
from claudebatch.layers.rate_limit.local_pool import LocalPool
from claudebatch.layers.rate_limit.settings import PoolLimits
from tests.support.scripted import (
    HAIKU,
    OPUS,
    ScriptedClient,
    make_call,
    make_reply,
)
from tests.support.virtual import now

TOKENS = Size(input_tokens=1000, input_bound=5000, output_tokens=500, output_bound=8000)


class AsStated:
    """Expects what a call's size says and learns nothing: for tests of the pace
    alone.
    """

    def expect(self, call: Call) -> ExpectedUsage:
        return ExpectedUsage(call.size.input_tokens, call.size.output_tokens)

    def read(self, call: Call, input_tokens: int) -> None:
        pass

    def learn(self, call: Call, usage: Usage, *, shown: int = 0, read: bool = False) -> None:
        pass


def make_pool(
    name: str = HAIKU, *, slots: int = 64, most: int | None = None, **limits: Any
) -> LocalPool:
    """A pool with limits under their names in the configuration; `cautious`, `ceiling`
    and `share` as in `PoolLimiter`.
    """
    settings = {key: limits.pop(key) for key in ("cautious", "ceiling", "share") if key in limits}
    return LocalPool(
        name,
        PoolLimiter(PoolLimits(**limits), now=now(), **settings),
        ConcurrencyLimit(slots, most or slots),
        now=now,
    )


class Limiter:
    """A layer over real pools with the same limits."""

    def __init__(
        self,
        *,
        rpm: float | None = None,
        itpm: float | None = None,
        otpm: float | None = None,
        slots: int = 64,
        **settings: Any,
    ):
        self.drain = Drain()
        self.events: list[Event] = []
        self.pools = {
            model: make_pool(
                model,
                slots=slots,
                requests_per_minute=rpm,
                input_tokens_per_minute=itpm,
                output_tokens_per_minute=otpm,
                **settings,
            )
            for model in (HAIKU, OPUS)
        }
        self.layer = RateLimit(
            pool_of=self.pools.__getitem__,
            estimates=AsStated(),
            waits=self.drain,
            max_pause_s=600,
            max_outage_s=900.0,
            rng=random.Random(1),
            emit=self.events.append,
        )

    async def send(
        self, client: ScriptedClient, row: int = 1, model: str = HAIKU, size: Size = TOKENS
    ) -> Reply:
        return await self.layer(make_call(row=row, model=model, size=size), client)

    async def send_all(
        self, client: ScriptedClient, rows: int, model: str = HAIKU
    ) -> list[Reply | BaseException]:
        return await asyncio.gather(
            *(self.send(client, row, model) for row in range(rows)), return_exceptions=True
        )

    def told(self, reason: str) -> list[Waiting]:
        return [
            event for event in self.events if isinstance(event, Waiting) and event.reason == reason
        ]

    def in_flight(self, model: str = HAIKU) -> int:
        return self.pools[model]._concurrency.in_flight


def used(input_tokens: int, output_tokens: int, **more: int) -> Reply:
    # A text that took no token of output would be one that nobody counted.
    text = "hi" if output_tokens else ""
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens, **more}
    return make_reply(text, usage=usage)


def rates(pool: LocalPool) -> tuple[float | None, float | None, float | None]:
    """Requests, input and output tokens per minute in force."""
    state = pool.state
    return (
        state.requests_per_minute,
        state.input_tokens_per_minute,
        state.output_tokens_per_minute,
    )
