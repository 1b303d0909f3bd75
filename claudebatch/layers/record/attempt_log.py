"""The log of attempts, as the layer above it sees it."""

from __future__ import annotations

from typing import Protocol

from claudebatch.core.domain import Call, Pico, Reply


class AttemptLog(Protocol):
    """Where attempts are written down: one round trip before the request, one after.

    An outcome belongs to the log from the call on: a caller that is cancelled while it
    waits has handed it over all the same, and must not hand it over again. A log that
    fails raises a `StopRun`.
    """

    async def begin(self, call: Call, worst: Pico) -> int:
        """Write an attempt down; when this returns, its number is durable.

        When it is cancelled, nothing was sent: the log holds no such attempt, or says
        itself that it failed.
        """
        ...

    async def answered(self, attempt: int, reply: Reply) -> None:
        """Write its answer and exact cost down. Where the cost is not known but its
        worst case is, it counts at that until the user decides.
        """
        ...

    async def failed(
        self,
        attempt: int,
        error: str,
        *,
        unknown: bool,
        status: int | None = None,
        request_id: str | None = None,
        simulated: bool = False,
    ) -> None:
        """Write down that it brought no answer; *unknown*: it may be billed all the
        same. *simulated*: no money was ever at stake.
        """
        ...
