"""Calls of a library that may wait for the network without an end of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def in_time(work: Callable[[], T], seconds: float) -> T:
    """What *work* returns, called in a thread of its own; raises `TimeoutError` after
    *seconds*.
    """
    found: Future[T] = Future()
    # Not one of the loop's own threads: at the end it waits for those, however long
    # they hang.
    threading.Thread(target=_call, args=(work, found), daemon=True).start()
    async with asyncio.timeout(seconds):
        return await asyncio.wrap_future(found)


def _call(work: Callable[[], T], found: Future[T]) -> None:
    if not found.set_running_or_notify_cancel():
        return
    try:
        found.set_result(work())
    except BaseException as error:  # noqa: BLE001  # raised where it is waited for
        found.set_exception(error)
