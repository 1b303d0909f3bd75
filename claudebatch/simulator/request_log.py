"""What was asked and what became of it, request by request: the judge's evidence in
drills.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from claudebatch.core.domain import Pico
from claudebatch.simulator import wire

EVENTS_KEPT = 20_000
"""Older ones are forgotten, so that memory is bounded."""
TEXT_KEPT = 100


class RequestLog:
    """Two events a valid request: it was asked; its answer was written whole, or was
    billed and lost.
    """

    def __init__(self) -> None:
        # Mutable: changed by the methods below only.
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)

    def asked(self, digest: bytes, body: wire.Body) -> None:
        """A valid request has come, whatever befalls it."""
        self._events.append({"event": "asked", "question": digest, "text": last_text(body)})

    def answered(self, digest: bytes, cost: Pico, *, delivered: bool) -> None:
        """It was worked on and billed; *delivered*: every byte of the answer was
        written.
        """
        event = "delivered" if delivered else "undelivered"
        self._events.append({"event": event, "question": digest, "billed_pico": cost})

    def snapshot(self) -> list[dict[str, Any]]:
        """The events, oldest first, as `GET /__log` tells them."""
        return [{**event, "question": event["question"].hex()} for event in self._events]


def last_text(body: wire.Body) -> str:
    """How the last message of a valid request begins; empty where it is no text."""
    content = body["messages"][-1]["content"]
    if isinstance(content, list):
        content = content[-1].get("text", "") if content else ""
    return str(content)[:TEXT_KEPT]
