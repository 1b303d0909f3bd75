"""A log of requests and their endings: the evidence by which drills judge a run."""

from __future__ import annotations

from collections import deque
from typing import Any

from claudebatch.core.domain import Pico
from claudebatch.simulator import wire

EVENTS_KEPT = 20_000
"""Older events are dropped, so that memory is bounded."""
TEXT_KEPT = 100


class RequestLog:
    """Two events for each valid request: its arrival, and its answer, which was written
    in full, or billed and lost.
    """

    def __init__(self) -> None:
        # Mutable: changed by the methods below only.
        # Bounded: a drill of a million requests would otherwise fill the memory of the
        # test.
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)

    def asked(self, digest: bytes, body: wire.Body) -> None:
        """A valid request has arrived, with any fault to come."""
        self._events.append({"event": "asked", "question": digest, "text": last_text(body)})

    def answered(self, digest: bytes, cost: Pico, *, delivered: bool) -> None:
        """The request was billed; *delivered*: every byte of the answer was written."""
        event = "delivered" if delivered else "undelivered"
        self._events.append({"event": event, "question": digest, "billed_pico": cost})

    def snapshot(self) -> list[dict[str, Any]]:
        """The events, oldest first, in the format of `GET /__log`."""
        return [{**event, "question": event["question"].hex()} for event in self._events]


def last_text(body: wire.Body) -> str:
    """The beginning of a valid request's last message; empty where it is no text."""
    content = body["messages"][-1]["content"]
    if isinstance(content, list):
        content = content[-1].get("text", "") if content else ""
    return str(content)[:TEXT_KEPT]
