"""`asyncio.run`, for a process whose signals have one handler."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from claudebatch.core.process_signals import SignalHandler, signal_handler

ResultT = TypeVar("ResultT")


def run_loop(work: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
    """The result of *work*, in a loop of its own. The first signal cancels it, unless
    it has said who takes signals; the second one is raised.
    """
    signals = signal_handler()
    signals.enter_loop()
    heard = _heard(signals, work)
    try:
        with asyncio.Runner() as runner:
            result = runner.run(heard)
    except BaseException:
        # The work was called off by a signal, and may have ended in any other error.
        signals.left_loop()
        signals.check()
        raise
    finally:
        signals.left_loop()
        # Python tells of one that a signal has kept from being awaited.
        heard.close()
    return result


async def _heard(
    signals: SignalHandler, work: Callable[[], Coroutine[Any, Any, ResultT]]
) -> ResultT:
    task = asyncio.current_task()

    def cancel(_: signal.Signals) -> None:
        if task is None or task.cancelling():
            signals.check()
        else:
            task.cancel()

    signals.take_in(asyncio.get_running_loop().call_soon_threadsafe, cancel)
    try:
        # One may have come before there was a loop to hand it to.
        if signals.first is not None:
            raise asyncio.CancelledError
        return await work()
    finally:
        signals.leave_loop()
