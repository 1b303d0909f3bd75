"""Stand-ins for what lies around a stack: a client that follows a script, stores in
memory, calls and replies.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from claudebatch.core.domain import Call, Hold, Pico, Prompt, Reply, Route, Size
from claudebatch.core.errors import AttemptError, RateLimited
from claudebatch.core.jsonl import encode
from claudebatch.core.message import parse_message
from claudebatch.layers.budget.run_budget import RunBudget
from tests.support.virtual import now

HAIKU, SONNET, OPUS = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"

SMALL = Size(input_tokens=10, input_bound=100, output_tokens=20, output_bound=100)

Answer: TypeAlias = Reply | Exception
Script: TypeAlias = Callable[[Call, int], Answer | None]
"""(call, how many calls of its model came before) → what to answer; None: the usual
reply.
"""


def make_call(
    text: str = "hello",
    *,
    model: str = HAIKU,
    row: int = 1,
    fallbacks: tuple[str, ...] = (),
    size: Size = SMALL,
    deadline_s: float = 600.0,
    **params: Any,
) -> Call:
    """A call to *model*; *params* are further parameters of the request."""
    members = {
        "max_tokens": size.output_bound,
        "messages": [{"role": "user", "content": text}],
        **params,
    }
    prompt = Prompt(id=f"row-{row}", params=members, digest=text.encode())
    body = encode({**members, "model": model})
    return Call(row, prompt, Route(model, "default", fallbacks), model, body, size, deadline_s)


def make_reply(
    text: str = "hi",
    *,
    model: str = HAIKU,
    stop_reason: str = "end_turn",
    usage: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Reply:
    """The reply that the client makes of a real message; *facts* are fields of
    `Reply`.
    """
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": stop_reason,
        "usage": {"input_tokens": 10, "output_tokens": 20, **(usage or {})},
    }
    return replace(parse_message(json.dumps(message).encode()), **facts)


def overloaded(**facts: Any) -> AttemptError:
    """A 529: passes, is not billed, and is the model's fault."""
    return AttemptError(
        "overloaded", type="overloaded_error", status=529, retryable=True, unavailable=True, **facts
    )


def timed_out() -> AttemptError:
    """No answer in time: may be billed."""
    return AttemptError(
        "timed out", type="timeout", retryable=True, unavailable=True, may_be_billed=True
    )


def bad_request() -> AttemptError:
    """A 400 that is the row's own fault."""
    return AttemptError("bad request", type="invalid_request_error", status=400)


def rate_limited(retry_after: float | None = None) -> RateLimited:
    """A 429 that passes."""
    return RateLimited(
        "slow down", type="rate_limit_error", status=429, retryable=True, retry_after=retry_after
    )


def crowded(retry_after: float | None = None) -> RateLimited:
    """A 429 about requests in flight."""
    return RateLimited(
        "too many",
        type="rate_limit_error",
        status=429,
        retryable=True,
        retry_after=retry_after,
        kind="concurrency",
    )


@dataclass(frozen=True, slots=True)
class Sent:
    """A call that reached the client, and when."""

    call: Call
    at: float


class ScriptedClient:
    """The innermost handler: answers or raises as its script says, after *takes_s*, and
    keeps what it was asked.
    """

    def __init__(
        self, script: Script | list[Answer | None] | None = None, *, takes_s: float = 0.0
    ) -> None:
        """A list is used up item by item, whatever the model; after its end every call
        gets the usual reply.
        """
        self._script = _listed(script) if isinstance(script, list) else script
        self._takes_s = takes_s
        # Mutable: what came in, and how many are being answered.
        self.sent: list[Sent] = []
        self.in_flight = 0
        self.most_in_flight = 0

    async def __call__(self, call: Call) -> Reply:
        """Answer *call* as the script says."""
        before = len(self.to(call.model))
        self.sent.append(Sent(call, now()))
        answer = self._script(call, before) if self._script else None
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self._takes_s)
        finally:
            self.in_flight -= 1
        if isinstance(answer, Exception):
            raise answer
        return answer or make_reply(f"to {call.prompt.id}", model=call.model)

    def to(self, model: str) -> list[Sent]:
        """What was sent to *model*."""
        return [sent for sent in self.sent if sent.call.model == model]

    @property
    def times(self) -> list[float]:
        """When each call came."""
        return [sent.at for sent in self.sent]


def _listed(answers: list[Answer | None]) -> Script:
    left: Iterator[Answer | None] = iter(answers)
    return lambda call, before: next(left, None)


class MemoryCache:
    """A `CacheStore` in a dict."""

    def __init__(self, *, takes_s: float = 0.0) -> None:
        self._takes_s = takes_s
        self.kept: dict[str, bytes] = {}
        self.looked_up: list[str] = []

    async def get(self, key: str) -> bytes | None:
        """What is kept under *key*."""
        self.looked_up.append(key)
        await asyncio.sleep(self._takes_s)
        return self.kept.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """What is kept under *keys*."""
        return [await self.get(key) for key in keys]

    async def put_many(self, entries: Mapping[str, bytes]) -> None:
        """Keep *entries*."""
        self.kept.update(entries)

    async def close(self) -> None:
        """Nothing to give back."""


@dataclass(slots=True)
class Entry:
    """One attempt in a `MemoryLog`."""

    call: Call
    worst: Pico
    begun_at: float
    outcomes: list[str] = field(default_factory=list)
    """`answered`, or the error's type; an attempt must have exactly one."""
    unknown: bool = False
    cost: Pico = 0


class MemoryLog:
    """An `AttemptLog` in a list."""

    def __init__(self, *, takes_s: float = 0.0) -> None:
        self._takes_s = takes_s
        self.entries: list[Entry] = []

    async def begin(self, call: Call, worst: Pico) -> int:
        """Write an attempt down; durable after *takes_s*."""
        await asyncio.sleep(self._takes_s)
        self.entries.append(Entry(call, worst, now()))
        return len(self.entries)

    async def answered(self, attempt: int, reply: Reply) -> None:
        """Note the answer."""
        entry = self.entries[attempt - 1]
        entry.outcomes.append("answered")
        entry.cost = reply.cost

    async def failed(
        self,
        attempt: int,
        error: str,
        *,
        unknown: bool,
        status: int | None = None,
        request_id: str | None = None,
        simulated: bool = False,
    ) -> None:
        """Note the failure."""
        entry = self.entries[attempt - 1]
        entry.outcomes.append(error)
        entry.unknown = unknown


class WatchedBudget(RunBudget):
    """A real `RunBudget` that counts what is done with each hold and how high it ever
    stood.
    """

    def __init__(self, cap: Pico | None, *, spent: Pico = 0, **settings: Any) -> None:
        super().__init__(cap, spent=spent, **settings)
        self.asked: list[Pico] = []
        self.ended: list[str] = []
        self.holds: list[Hold] = []
        self.highest: Pico = spent

    @property
    def granted(self) -> int:
        """How many holds were granted."""
        return len(self.holds)

    @property
    def left(self) -> int:
        """How many of them stand for a request that left."""
        return sum(hold.sent for hold in self.holds)

    async def hold(self, amount: Pico, worst: Pico, *, lasts: bool = False) -> Hold:
        """As `RunBudget`, counted."""
        self.asked.append(amount)
        hold = await super().hold(amount, worst)
        self.holds.append(hold)
        self.highest = max(self.highest, self.spent + self.held)
        return hold

    async def settle(self, hold: Hold, cost: Pico) -> None:
        """As `RunBudget`, counted."""
        self.ended.append("settle")
        await super().settle(hold, cost)
        self.highest = max(self.highest, self.spent + self.held)

    async def release(self, hold: Hold) -> None:
        """As `RunBudget`, counted; it may or may not come through `settle`."""
        before = len(self.ended)
        await super().release(hold)
        self.ended[before:] = ["release"]

    async def forfeit(self, hold: Hold) -> None:
        """As `RunBudget`, counted; it may or may not come through `settle`."""
        before = len(self.ended)
        await super().forfeit(hold)
        self.ended[before:] = ["forfeit"]
