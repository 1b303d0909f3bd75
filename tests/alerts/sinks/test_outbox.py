"""Alerts are handed over in a thread of their own: what fails or hangs there is one
notice and holds up nobody.
"""

from __future__ import annotations

import threading

from claudebatch.alerts.sinks.failure import DeliveryFailed
from claudebatch.alerts.sinks.outbox import AlertOutbox
from claudebatch.core.notice import Notice


class Taker:
    """A sink that takes what comes, fails at it, or hangs until it is let go."""

    name = "webhook"

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.hang = threading.Event()
        self.hang.set()
        self.busy = threading.Event()
        self.took: list[bytes] = []
        self.abandoned = False

    def abandon(self) -> None:
        self.abandoned = True

    def deliver(self, payload: bytes) -> None:
        self.busy.set()
        assert self.hang.wait(30)
        self.took.append(payload)
        if self._error is not None:
            raise self._error


def test_all_are_delivered_in_order_by_the_end() -> None:
    warned: list[Notice] = []
    taker = Taker()
    box = AlertOutbox(taker, warn=warned.append)
    for n in range(50):
        box.post(b"%d" % n)
    box.close(30)
    assert taker.took == [b"%d" % n for n in range(50)]
    assert not taker.abandoned
    assert warned == []


def test_failures_are_told_once_and_later_alerts_are_tried_all_the_same() -> None:
    for error in (DeliveryFailed("it answered 500"), RuntimeError("a bug")):
        warned: list[Notice] = []
        taker = Taker(error)
        box = AlertOutbox(taker, warn=warned.append)
        for n in range(5):
            box.post(b"%d" % n)
        box.close(30)
        assert len(taker.took) == 5
        [text] = [notice.text for notice in warned]
        assert text.startswith("an alert could not be sent to the webhook: ")
        assert text.endswith("; the run goes on")


def test_one_that_hangs_holds_up_nobody_and_what_finds_no_room_is_left_out() -> None:
    warned: list[Notice] = []
    taker = Taker()
    taker.hang.clear()
    box = AlertOutbox(taker, warn=warned.append, most_waiting=3)
    box.post(b"first")
    assert taker.busy.wait(30)
    for _ in range(100):
        box.post(b"more")
    assert ["some were left out" in notice.text for notice in warned] == [True]
    box.close(0.0)
    assert taker.abandoned
    taker.hang.set()


def test_the_end_waits_only_so_long() -> None:
    warned: list[Notice] = []
    taker = Taker()
    taker.hang.clear()
    box = AlertOutbox(taker, warn=warned.append)
    box.post(b"first")
    assert taker.busy.wait(30)
    box.close(0.05)
    assert taker.abandoned, "nothing of it outlives the run"
    assert ["the run has ended" in notice.text for notice in warned] == [True]
    taker.hang.set()


def test_without_an_alert_there_is_no_thread() -> None:
    before = threading.active_count()
    AlertOutbox(Taker(), warn=print).close(30)
    assert threading.active_count() == before
