"""Rows whose answers are kept already, done in large steps before the first request.

They would come out of the response cache in the lanes as well, each through the whole stack and two threads: that
costs twice as much. A lane is left to its workers as soon as a whole step finds nothing, so that an input nobody
has asked before costs one step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from claudebatch.domain import Call, Pico, Reply, Succeeded
from claudebatch.engine.feed import Sources
from claudebatch.events import RowFinished
from claudebatch.messages import BadAnswer, parse_message
from claudebatch.results import head
from claudebatch.stores.journal import RowRef
from claudebatch.stores.journal.records import Result


class Kept(NamedTuple):
    """One row that is done without a request."""

    result: Result
    event: RowFinished


class Replay:
    """One step at a time; every step runs in the cache's thread, while the journal writes down the one before."""

    def __init__(
        self,
        sources: Sources,
        *,
        key: Callable[[Call], str],
        look_up: Callable[[Sequence[str]], Sequence[bytes | None]],
        value_of: Callable[[Call, Reply], Pico],
        simulated: bool,
    ) -> None:
        self._sources = sources
        self._key = key
        self._look_up = look_up
        self._value_of = value_of
        self._simulated = simulated

    def step(self, rows: Sequence[RowRef]) -> list[Kept]:
        """Those of *rows* whose answers are kept, ready to be written down and told."""
        lines = zip(rows, self._sources.lines(rows), strict=True)
        calls = [call for row, data in lines if (call := self._sources.unmeasured_call(row, data)) is not None]
        found = self._look_up([self._key(call) for call in calls])
        kept = (self._kept(call, value) for call, value in zip(calls, found, strict=True) if value is not None)
        return [row for row in kept if row is not None]

    def _kept(self, call: Call, value: bytes) -> Kept | None:
        try:
            reply = parse_message(value, source="cache", attempts=0)
        except BadAnswer:
            return None  # no message: the lane will find it missing, and ask
        first = head(Succeeded(call, reply), simulated=self._simulated)
        return Kept(
            Result(call.row, True, first, None, reply.message, reply.message),
            RowFinished(call.prompt.id, reply.model, "cache", True, None, 0, self._value_of(call, reply)),
        )
