"""The one handler of signals knows the phase, and raises nowhere else."""

from __future__ import annotations

import signal

import pytest

from claudebatch.core.process_signals import Interrupted, SignalHandler, signal_handler

INT, TERM = signal.SIGINT, signal.SIGTERM


class Left(Exception):
    """The process would have ended here."""


class Process:
    """A handler whose clock and end a test holds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.handler = SignalHandler(now=lambda: self.now, leave=self._leave)
        self.posted: list[signal.Signals] = []

    def _leave(self, code: int) -> None:
        raise Left(code)

    def send(self, number: signal.Signals) -> None:
        self.handler(number, None)

    def loop_runs(self) -> list[signal.Signals]:
        taken: list[signal.Signals] = []
        self.handler.enter_loop()
        self.handler.take_in(lambda call, number: call(number), taken.append)
        return taken


@pytest.fixture
def process() -> Process:
    return Process()


def test_the_first_signal_raises_once_and_the_second_leaves(process):
    with pytest.raises(Interrupted):
        process.send(TERM)
    with pytest.raises(Left, match="143"):
        process.send(INT)


def test_while_a_loop_is_made_one_signal_waits_and_the_second_wants_out(process):
    process.handler.enter_loop()
    process.send(INT)
    assert not process.handler.raised
    with pytest.raises(Interrupted):
        process.send(INT)
    with pytest.raises(Left, match="130"):
        process.send(INT)


def test_a_running_loop_takes_every_signal(process):
    taken = process.loop_runs()
    for number in (INT, TERM, INT, INT):
        process.send(number)
    assert taken == [INT, TERM, INT, INT]
    assert process.handler.first == INT


def test_a_signal_on_its_way_into_the_loop_finds_the_taker_of_the_moment(process):
    late, taken = [], []
    process.handler.enter_loop()
    process.handler.take_in(lambda call, number: late.append((call, number)), pytest.fail)
    process.send(TERM)
    process.handler.pass_to(taken.append)
    for call, number in late:
        call(number)
    assert taken == [TERM]


def test_once_the_result_stands_signals_change_nothing(process):
    process.loop_runs()
    process.handler.settle()
    process.handler.left_loop()
    for number in (INT, TERM, INT):
        process.send(number)
    assert not process.handler.raised


def test_an_end_that_hangs_can_be_left_after_ten_seconds(process):
    process.handler.settle()
    process.send(INT)
    process.send(INT)
    process.now = 9.9
    process.send(INT)
    process.now = 10.0
    with pytest.raises(Left, match="130"):
        process.send(INT)


def test_a_signal_that_something_swallowed_is_raised_before_the_next_loop(process):
    with pytest.raises(Interrupted):
        process.send(INT)
    with pytest.raises(Interrupted):
        process.handler.enter_loop()


def test_a_result_that_stands_is_not_taken_back(process):
    process.handler.settle()
    process.send(INT)
    process.handler.check()


def test_after_a_loop_without_a_result_signals_raise_again(process):
    process.loop_runs()
    process.handler.left_loop()
    with pytest.raises(Interrupted):
        process.send(TERM)


def test_what_is_ignored_stays_ignored_and_the_rest_has_one_handler(process):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    process.handler.install()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(INT) is signal.getsignal(TERM) is signal_handler() is process.handler


def test_where_nothing_is_installed_nothing_is_ever_heard():
    assert signal_handler().first is None
