"""Injected time, and the header lines that carry it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import TypeAlias

Sleep: TypeAlias = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Clock:
    """The simulator's time: steady seconds, aware wall time, and a sleep."""

    now: Callable[[], float]
    wall: Callable[[], datetime]
    sleep: Sleep


class ResponseHeaders:
    """The headers of every answer: its date and its own request id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Mutable state: the number of answers, and the date line of the current second,
        # because formatting a date costs more than the rest of the head.
        self._number = 0
        self._date_of = -1
        self._date = b""

    def next_id(self) -> str:
        """A new id."""
        self._number += 1
        return f"req_sim_{self._number:012x}"

    def lines(self, request_id: str) -> bytes:
        """The date and *request_id* as header lines."""
        wall = self._clock.wall()
        second = int(wall.timestamp())
        if second != self._date_of:
            self._date_of = second
            self._date = f"date: {format_datetime(wall, usegmt=True)}\r\n".encode()
        return b"%srequest-id: %s\r\n" % (self._date, request_id.encode())
