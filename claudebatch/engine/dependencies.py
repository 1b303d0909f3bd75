"""What a session takes from outside: time, chance, places, listeners, and the way to
the API.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.clients.batch_results import BatchRowError
from claudebatch.clients.protocol import Client
from claudebatch.config.paths import Paths
from claudebatch.core.domain import Call, Pico, Reply
from claudebatch.core.errors import AttemptError, StopRun
from claudebatch.core.events import Emit
from claudebatch.core.process_signals import SignalHandler
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.engine.run_deadline import AskedDeadline
from claudebatch.layers.rate_limit.usage_estimates import PastUsage


@dataclass(frozen=True, slots=True)
class RunDependencies:
    """What a session takes from outside; tests put their own in."""

    paths: Paths
    connect: Callable[[], Client]
    """Makes the client, inside the running loop, once something is to be sent."""
    connect_batches: Callable[[], BatchClient]
    """Makes the client for message batches, likewise."""
    row_failed: Callable[[BatchRowError], AttemptError | StopRun]
    """The meaning of an error in a batch's results."""
    key_scope: str
    """What cached answers belong to; part of every key."""
    now: Callable[[], float]
    wall: Callable[[], datetime]
    rng: random.Random
    emit: Emit
    stats: RunStats
    """Counts the session's events before `emit` tells of them; a display may read it.
    """
    most_in_flight: int
    """Requests of one lane, where the configuration leaves it open."""
    expect: Callable[[Call], Pico]
    """What a call was expected to cost before the session began, without the prompt
    cache; 0 where it is unknown.
    """
    signals: SignalHandler
    """Hands the process's signals to the engine while it works."""
    weigh: Callable[[Call], Pico] = lambda call: 0
    """What a call costs by rules that do not learn: the weight of its row beside those
    of other sessions.
    """
    expect_in_batch: Callable[[Call], Pico] = lambda call: 0
    """As `expect`, of a call in a batch."""
    before: PastUsage | None = None
    """What earlier runs tell of what requests take."""
    deadline: AskedDeadline | None = None
    """When all is to be answered, if that was asked for."""


class LazyClient:
    """A client that is only made when something is to be sent: a run out of the cache
    never imports the SDK.
    """

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect = connect
        # Mutable: the client, once there is one.
        self._client: Client | None = None

    def __call__(self, call: Call) -> Coroutine[Any, Any, Reply]:
        """The reply to *call*."""
        return self._made()(call)

    def open(self) -> None:
        """Make the client now: a setting that is wrong fails here, with nothing held,
        and no attempt's time holds the import of the SDK.
        """
        self._made()

    def count(self, call: Call) -> Coroutine[Any, Any, int | None]:
        """Input tokens of *call*."""
        return self._made().count(call)

    def objection(self, call: Call) -> Coroutine[Any, Any, str | None]:
        """What the API has against the input of *call*."""
        return self._made().objection(call)

    def _made(self) -> Client:
        if self._client is None:
            self._client = self._connect()
        return self._client

    async def close(self) -> None:
        """Close the client, if there ever was one."""
        if self._client is not None:
            await self._client.close()
