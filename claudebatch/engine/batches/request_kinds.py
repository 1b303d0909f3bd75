"""One request of each kind is shown to the API before a batch is made of thousands: a
batch looks at its requests only while it runs, and tells at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeAlias

from claudebatch.core.domain import Call
from claudebatch.core.errors import AttemptError, CommandRefused, StopRun
from claudebatch.core.plurals import counted

Objection: TypeAlias = Callable[[Call], Awaitable[str | None]]
"""Asks what the API has against the input of a call, free of charge; None: nothing, or
nobody knows.
"""
RequestKind: TypeAlias = tuple[Any, ...]
# A file of a thousand kinds must not wait for a thousand answers.
MOST_KINDS = 20
# The check stops nothing: an endpoint that hangs is left alone.
_PATIENCE_S = 10.0


def request_kind(call: Call) -> RequestKind:
    """What requests have in common that are alike but for their texts and numbers."""
    # No texts, no numbers: those are of the row, and each row would be a kind.
    params = call.prompt.params
    thinking, tools = params.get("thinking"), params.get("tools")
    return (
        call.model,
        frozenset(params),
        tuple(_named(tool) for tool in tools) if isinstance(tools, list) else (),
        thinking.get("type") if isinstance(thinking, Mapping) else None,
        frozenset(_blocks(params.get("system"))),
        frozenset(_turns(params.get("messages"))),
    )


class KindCheck:
    """Remembers what the API said to the first request of each kind."""

    def __init__(self, objection: Objection | None) -> None:
        """*objection* None: nothing is asked."""
        self._objection = objection
        # Mutable: the answer for each kind; of those that are refused, the first row,
        # the last row that was left out, and how many were.
        self._said: dict[RequestKind, str | None] = {}
        self._first: dict[RequestKind, Call] = {}
        self._last: dict[RequestKind, int] = {}
        self._left_out = 0

    async def refuses(self, call: Call) -> bool:
        """Whether the API would refuse *call*, as far as its kind tells: it is left
        out.
        """
        # A header that a row needs is no part of a count: without it, it is refused.
        if call.prompt.betas or (self._objection is None and not self._first):
            return False
        kind = request_kind(call)
        if kind not in self._said:
            if len(self._said) >= MOST_KINDS:
                return False
            self._said[kind] = await self._ask(call)
        if self._said[kind] is None:
            return False
        self._first.setdefault(kind, call)
        # Rows of one kind come in their order, again with each batch that is built.
        if call.row > self._last.get(kind, -1):
            self._last[kind], self._left_out = call.row, self._left_out + 1
        return True

    def stop(self) -> StopRun | None:
        """Why rows were left out, if any were."""
        if not self._first:
            return None
        kind, first = next(iter(self._first.items()))
        return CommandRefused(
            "E850",
            # Equal rows are one request.
            f"{counted(self._left_out, 'request')} not sent: the API refuses such ones; "
            f"{first.prompt.file}:{first.prompt.line}: {self._said[kind]}",
            fix="mend the rows, or send them unchecked with --no-check",
        )

    async def _ask(self, call: Call) -> str | None:
        if self._objection is None:
            return None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._objection(call)
        except (AttemptError, StopRun, TimeoutError):
            # Whatever it is, the batch itself will tell.
            self._objection = None
            return None


def _named(tool: Any) -> tuple[Any, Any]:
    return (tool.get("type"), tool.get("name")) if isinstance(tool, Mapping) else (None, None)


def _turns(messages: Any) -> Iterator[tuple[Any, Any]]:
    for turn in messages if isinstance(messages, list) else ():
        if isinstance(turn, Mapping):
            for block in _blocks(turn.get("content")):
                yield turn.get("role"), block


def _blocks(content: Any) -> Iterator[Any]:
    if not isinstance(content, list):
        yield type(content).__name__
        return
    for block in content:
        if isinstance(block, Mapping):
            source = block.get("source")
            of = source.get("type") if isinstance(source, Mapping) else None
            yield block.get("type"), of, "cache_control" in block
