"""Calls that may hang hold up nobody."""

from __future__ import annotations

import threading

import pytest

from claudebatch.clients.senders.in_time import in_time


async def test_what_a_call_returns_or_raises_arrives():
    assert await in_time(lambda: 7, 60.0) == 7
    with pytest.raises(ZeroDivisionError):
        await in_time(lambda: 1 // 0, 60.0)


async def test_one_that_hangs_is_left_alone_and_the_process_does_not_wait_for_it():
    free, here = threading.Event(), []

    def hang() -> None:
        here.append(threading.current_thread())
        free.wait()

    with pytest.raises(TimeoutError):
        await in_time(hang, 0.01)
    (thread,) = here
    assert thread.daemon and thread.is_alive()
    free.set()
    thread.join()
