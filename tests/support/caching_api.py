"""The far end of prompt caching in virtual time: an API that keeps beginnings as the
simulator does, and bills what it wrote and read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from claudebatch.core.domain import Call, PromptTokens, Reply
from claudebatch.core.jsonl import decode
from claudebatch.simulator.count_input import count_input
from claudebatch.simulator.promptcache import NO_CACHE, CacheUse, PromptCache
from claudebatch.simulator.traits import MODELS
from tests.support.scripted import make_reply
from tests.support.virtual import now

Works: TypeAlias = Literal["always", "never read", "ignored"]
Befalls: TypeAlias = Callable[[Call, int], Exception | None]
"""(call, its number from 0) → what it fails with, half-way to its head; None: it is
answered.
"""
OUTPUT = 100
"""Tokens of each answer."""


@dataclass
class CachingApi:
    """Answers after *latency_s*, and begins each answer after *head_s* of them."""

    latency_s: float = 10.0
    head_s: float = 1.0
    streams: bool = True
    works: Works = "always"
    befalls: Befalls = lambda call, number: None
    loses: Callable[[Call], bool] = lambda call: False
    """Whether what a call writes is never there afterwards."""
    keep: bool = True
    """Whether the bodies are kept."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    usages: list[PromptTokens] = field(default_factory=list)
    """Of each answer, in the order in which they came in."""
    prewarms: list[PromptTokens] = field(default_factory=list)
    """Of each request without output."""
    came: list[tuple[float, int]] = field(default_factory=list)
    """When the request for an answer came, and its row."""
    asked_ahead: list[tuple[float, int]] = field(default_factory=list)
    """The same of requests without output."""
    in_flight: int = 0
    most_in_flight: int = 0

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop all entries, as the API may when it is short of room."""
        self._cache = PromptCache()

    @property
    def writes(self) -> int:
        """Answers that wrote to the cache."""
        return sum(usage.written > 0 for usage in (*self.usages, *self.prewarms))

    @property
    def times(self) -> Counter[int]:
        """How often an answer to each row was asked for."""
        return Counter(row for _, row in self.came)

    async def __call__(self, call: Call) -> Reply:
        """The client's part of the stack."""
        began, number = now(), len(self.came)
        (self.asked_ahead if call.prewarms else self.came).append((began, call.row))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(call, began, self.befalls(call, number))
        finally:
            self.in_flight -= 1

    async def _answer(self, call: Call, began: float, error: Exception | None) -> Reply:
        body = decode(call.body)
        use, tokens = self._use(body, call.model, began)
        if error is not None:
            await asyncio.sleep(self.head_s / 2)
            raise error
        self._cache.touch(use, began)
        if self.keep:
            self.bodies.append(body)
        (self.prewarms if call.prewarms else self.usages).append(tokens)
        await asyncio.sleep(self.head_s)
        # An answer begins, and what it wrote can be read, whether it is streamed or
        # not.
        if self.works == "always" and not self.loses(call):
            self._cache.keep(use, began)
        if self.streams and call.watch is not None and not call.prewarms:
            call.watch.began(None)
            call.watch.read(tokens)
        await asyncio.sleep(0 if call.prewarms else self.latency_s - self.head_s)
        counts = {
            "input_tokens": tokens.fresh,
            "cache_creation_input_tokens": tokens.written,
            "cache_read_input_tokens": tokens.read,
            "output_tokens": 0 if call.prewarms else OUTPUT,
        }
        text = "" if call.prewarms else "an answer"
        took_ms = round(1000 * (now() - began))
        return make_reply(text, model=call.model, usage=counts, latency_ms=took_ms)

    def _use(self, body: dict[str, Any], model: str, at: float) -> tuple[CacheUse, PromptTokens]:
        traits = MODELS[model]
        total = count_input(body, traits)
        use = NO_CACHE if self.works == "ignored" else self._cache.use(body, traits, at)
        written = use.written_5m + use.written_1h
        return use, PromptTokens(max(0, total - written - use.read), written, use.read)
