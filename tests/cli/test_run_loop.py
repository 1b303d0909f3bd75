"""A loop of a command is cancelled by the first signal and left at the second."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from claudebatch.cli.run_loop import run_loop
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.process_signals import Interrupted, SignalHandler


@pytest.fixture
def handler() -> SignalHandler:
    installed = SignalHandler(now=lambda: 0.0)
    installed.install()
    return installed


def send(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_without_a_signal_it_is_asyncios_run():
    async def work() -> int:
        return 7

    assert await asyncio.to_thread(run_loop, work) == 7


def test_the_first_signal_cancels_and_what_has_begun_is_cleared_up(handler):
    ended = []

    async def work() -> None:
        send()
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0)
            ended.append("in good order")

    with pytest.raises(Interrupted):
        run_loop(work)
    assert (ended, handler.first) == (["in good order"], signal.SIGTERM)


def test_an_error_of_what_was_called_off_is_the_signals(handler):
    async def work() -> None:
        send()
        try:
            await for_ever()
        finally:
            raise ClaudebatchError("E000", "a half closed connection")

    with pytest.raises(Interrupted):
        run_loop(work)


def test_the_second_signal_does_not_wait_for_the_clearing_up(handler):
    async def work() -> None:
        send()
        try:
            await for_ever()
        finally:
            send()
            await for_ever()

    with pytest.raises(Interrupted):
        run_loop(work)


def test_who_takes_signals_decides_what_they_do(handler):
    async def work() -> str:
        stopped = asyncio.Event()
        handler.pass_to(lambda _: stopped.set())
        send()
        await stopped.wait()
        return "stopped"

    assert run_loop(work) == "stopped"
    assert not handler.raised


def test_a_signal_before_the_loop_runs_begins_nothing(handler):
    begun = []

    async def work() -> None:
        begun.append(1)

    handler.enter_loop()
    send()
    handler.left_loop()
    with pytest.raises(Interrupted):
        run_loop(work)
    assert begun == []
