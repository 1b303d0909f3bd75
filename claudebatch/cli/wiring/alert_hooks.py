"""Alerts that leave the program: to the webhook and the command that the user has
named, if any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any

from claudebatch.alerts.settings import SinkSettings
from claudebatch.alerts.sinks.outbox import AlertOutbox, AlertSink
from claudebatch.config.credentials import secrets
from claudebatch.core.events import CapAlert, Event, RunStarted, SpendSpike
from claudebatch.core.notice import Notice
from claudebatch.ui.live.alert_text import alert_json
from claudebatch.ui.machine.json_events import json_line

# Part of the payload, so that a receiver can tell when its fields change.
VERSION = 1
# How long the end of a run waits for an alert that is not handed over.
_LONGEST_END_S = 10.0


class AlertHooks:
    """Subscriber of events: hands alerts over, with the run that they are about."""

    def __init__(
        self, boxes: Sequence[AlertOutbox], *, wall: Callable[[], datetime], patience_s: float
    ) -> None:
        self._boxes = boxes
        self._wall = wall
        self._patience_s = min(patience_s, _LONGEST_END_S)
        # Mutable: which run it is, once it has started.
        self._run: dict[str, Any] = {"run": None, "output": None, "simulated": False}

    @property
    def used(self) -> bool:
        """Whether the user has named any."""
        return bool(self._boxes)

    def __call__(self, event: Event) -> None:
        """Hand *event* over if it is an alert."""
        if isinstance(event, RunStarted):
            # Only the file's name: where it lies says something of the machine.
            name = PurePath(event.output).name
            self._run = {"run": event.run_id, "output": name, "simulated": event.simulated}
        elif isinstance(event, CapAlert | SpendSpike):
            moment = self._wall().isoformat(timespec="seconds").replace("+00:00", "Z")
            head = {"v": VERSION, "event": "alert", "time": moment, **self._run}
            payload = json_line(head | alert_json(event)).encode("ascii")
            for box in self._boxes:
                box.post(payload)

    def close(self) -> None:
        """Wait a few seconds for what is not handed over yet."""
        for box in self._boxes:
            box.close(self._patience_s)


def make_hooks(
    settings: SinkSettings,
    env: Mapping[str, str],
    *,
    wall: Callable[[], datetime],
    warn: Callable[[Notice], None],
) -> AlertHooks:
    """The hooks that *settings* name; *warn* is called at most once for each, and from
    another thread.
    """
    boxes = [AlertOutbox(sink, warn=warn) for sink in _sinks(settings, env)]
    return AlertHooks(boxes, wall=wall, patience_s=settings.timeout_s)


def _sinks(settings: SinkSettings, env: Mapping[str, str]) -> list[AlertSink]:
    found: list[AlertSink] = []
    # HTTP and processes are loaded by those who want them.
    if settings.webhook is not None:
        from claudebatch.alerts.sinks.webhook import WebhookSink  # noqa: PLC0415

        found.append(WebhookSink(settings.webhook, timeout_s=settings.timeout_s))
    if settings.command is not None:
        from claudebatch.alerts.sinks.command import CommandSink  # noqa: PLC0415

        found.append(
            CommandSink(
                settings.command, env=env, secrets=secrets(env), timeout_s=settings.timeout_s
            )
        )
    return found
