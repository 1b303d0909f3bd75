"""A rate limit layer over real pools, with calls to send through it."""

from __future__ import annotations

import asyncio
import random

from claudebatch.config.schema import PoolLimits
from claudebatch.domain import Reply, Size
from claudebatch.drain import Drain
from claudebatch.events import Event, Waiting
from claudebatch.layers.rate_limit import RateLimit
from claudebatch.stores.pool import LocalPool
from tests.support.scripted import (
    HAIKU,
    OPUS,
    ScriptedClient,
    make_call,
    make_reply,
)
from tests.support.virtual import now

TOKENS = Size(input_tokens=1000, input_bound=5000, output_tokens=500, output_bound=8000)


class Limiter:
    """A layer over real pools with the same limits."""

    def __init__(
        self, *, rpm: float | None = None, itpm: float | None = None, otpm: float | None = None, slots: int = 64
    ):
        self.drain = Drain()
        self.events: list[Event] = []
        allowance = PoolLimits(
            requests_per_minute=rpm, input_tokens_per_minute=itpm, output_tokens_per_minute=otpm
        )  # fmt: skip
        self.pools = {model: LocalPool(model, allowance, concurrency=slots, now=now) for model in (HAIKU, OPUS)}
        self.layer = RateLimit(
            pool_of=self.pools.__getitem__,
            waits=self.drain,
            max_pause_s=600,
            max_outage_s=900.0,
            rng=random.Random(1),
            emit=self.events.append,
        )

    async def send(self, client: ScriptedClient, row: int = 1, model: str = HAIKU, size: Size = TOKENS) -> Reply:
        return await self.layer(make_call(row=row, model=model, size=size), client)

    async def send_all(self, client: ScriptedClient, rows: int, model: str = HAIKU) -> list[Reply | BaseException]:
        return await asyncio.gather(*(self.send(client, row, model) for row in range(rows)), return_exceptions=True)

    def told(self, reason: str) -> list[Waiting]:
        return [event for event in self.events if isinstance(event, Waiting) and event.reason == reason]


def used(input_tokens: int, output_tokens: int, **more: int) -> Reply:
    return make_reply(usage={"input_tokens": input_tokens, "output_tokens": output_tokens, **more})
