"""What has begun at the server is waited for, whoever is called off meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def carried_out(
    work: Coroutine[Any, Any, T], *, undo: Callable[[T], Awaitable[object]] | None = None
) -> T:
    """The result of *work*. A caller that is called off waits for its end all the same
    and has it undone, so that nothing stays booked that nobody knows of.
    """
    task = asyncio.ensure_future(work)
    called_off: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            called_off = error
    if called_off is None:
        return task.result()
    if task.exception() is None and undo is not None:
        await carried_out(_whole(undo, task.result()))
    raise called_off


async def _whole(undo: Callable[[T], Awaitable[object]], result: T) -> None:
    await undo(result)
