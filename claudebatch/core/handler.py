"""The one abstraction: a handler turns a call into a reply, a layer stands in front of
a handler.

The shape is tower's Service and Layer, reduced to two async callables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from claudebatch.core.domain import Call, Reply


class Handler(Protocol):
    """Answers a call or raises."""

    async def __call__(self, call: Call) -> Reply:
        """The reply to *call*."""
        ...


class Layer(Protocol):
    """Answers a call itself, or passes it to the handler below any number of times."""

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The reply to *call*, from here or from *call_next*."""
        ...


def nest(layers: Sequence[Layer], innermost: Handler) -> Handler:
    """*layers*, the first one outermost, around *innermost*."""
    handler = innermost
    for layer in reversed(layers):
        handler = _bind(layer, handler)
    return handler


def _bind(layer: Layer, inner: Handler) -> Handler:
    # A plain `def`: an `async def` would add a coroutine for every layer and call.
    def bound(call: Call):  # type: ignore[no-untyped-def]
        return layer(call, inner)

    return bound
