"""Rows that share beginnings, and the layer alone before an API that caches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from claudebatch.core.domain import Call, Reply, Size
from claudebatch.core.drain import Drain
from claudebatch.core.events import Event
from claudebatch.core.handler import Handler, nest
from claudebatch.core.resting import Resting
from claudebatch.layers.prompt_caching import own_marks
from claudebatch.layers.prompt_caching.layer import PromptCaching
from claudebatch.layers.prompt_caching.placed import Place
from tests.support.scripted import SONNET, make_call
from tests.support.virtual import now

DOCUMENT = "The quick brown fox jumps over the lazy dog. " * 200
"""3,461 tokens."""
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
_SIZE = Size(input_tokens=4000, input_bound=20_000, output_tokens=100, output_bound=200)


def block(text: str, mark: Any = None) -> dict[str, Any]:
    return {"type": "text", "text": text, **({"cache_control": mark} if mark else {})}


def asks(row: int, document: str = "A", mark: Any = MARK, **params: Any) -> Call:
    """A question of its own about a document that others share."""
    content = [block(f"{document}: {DOCUMENT}", mark), block(f"question {row}")]
    told = {"messages": [{"role": "user", "content": content}], **params}
    return make_call(row=row, model=SONNET, size=_SIZE, **told)


def shared_by(rows: int) -> Place:
    """Places a row's own marks as if a plan had set them for so many *rows*."""
    return lambda call: own_marks.place(call).shared_by(rows)


class Bench:
    """The layer and what it tells."""

    def __init__(self, place: Place = own_marks.place) -> None:
        self.events: list[Event] = []
        self.drain = Drain()
        self.resting = Resting()
        self.layer = PromptCaching(
            place=place,
            waits=self.drain,
            now=now,
            emit=self.events.append,
            resting=self.resting,
        )

    def around(self, api: Handler, *, slots: int = 1000) -> Handler:
        """The layer before *api*, which takes so many at once; the rest waits, as in
        the limiter.
        """
        free = asyncio.Semaphore(slots)

        async def limited(call: Call, call_next: Handler) -> Reply:
            async with free:
                self.layer.leaves(call)
                return await call_next(call)

        return nest([self.layer, limited], api)


async def all_of(
    stack: Handler, calls: Sequence[Call], *, ends: Callable[[Call], None] = lambda call: None
) -> list[Any]:
    """Replies and errors of *calls*, made at once."""

    async def one(call: Call) -> Reply:
        try:
            return await stack(call)
        finally:
            ends(call)

    return await asyncio.gather(*map(one, calls), return_exceptions=True)
