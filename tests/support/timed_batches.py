"""An account of message batches in virtual time: what each takes, and what a cancel
does, is given.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.clients.batch_records import Batch, BatchCounts, BatchPage
from claudebatch.clients.batch_results import BatchResult
from claudebatch.clients.batch_upload import BatchUpload
from claudebatch.core.errors import AttemptError, BatchNotFound, RateLimited
from tests.support.scripted import make_reply
from tests.support.virtual import now, real_io

DAY_S = 86_400.0
EPOCH = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass
class TimedBatch:
    """One batch; seconds of the loop."""

    id: str
    custom_ids: list[str]
    created: float
    ends: float
    canceled: float | None = None


@dataclass
class TimedBatches(BatchClient):
    """*durations* of the batches, one after the other; a cancel ends a batch after
    *cancel_s* seconds, and of its rows the *answered* share has its answers by then.
    """

    durations: Sequence[float]
    cancel_s: float = 60.0
    answered: float = 0.0
    away: bool = False
    """No batch can be made."""
    full: bool = False
    """The queue has no room for any."""
    clock: Callable[[], float] = now
    """The API's: it goes on while a machine sleeps."""
    hidden: set[str] = field(default_factory=set)
    """Ids of batches that are deleted, or of another workspace."""
    batches: list[TimedBatch] = field(default_factory=list)
    rows_answered: int = 0

    def connect(self) -> BatchClient:
        """A client of it."""
        return self

    async def create(self, upload: BatchUpload, *, betas: Sequence[str] = ()) -> Batch:
        if self.away:
            raise AttemptError("no answer", type="connection_error", retryable=True)
        if self.full:
            raise RateLimited("the queue is full", type="rate_limit_error", status=429)
        with real_io():
            body = b"".join([piece async for piece in upload.pieces])
        number = len(self.batches)
        takes = min(self.durations[number % len(self.durations)], DAY_S)
        ids = [request["custom_id"] for request in json.loads(body)["requests"]]
        made = TimedBatch(f"msgbatch_{number}", ids, self.clock(), self.clock() + takes)
        self.batches.append(made)
        return self._told(made)

    async def retrieve(self, batch_id: str) -> Batch:
        return self._told(self._named(batch_id))

    async def page(self, *, limit: int = 100, after_id: str | None = None) -> BatchPage:
        told = tuple(self._told(batch) for batch in reversed(self._shown))
        return BatchPage(told, has_more=False, last_id=None, server_time=None)

    async def cancel(self, batch_id: str) -> Batch:
        batch = self._named(batch_id)
        if batch.ends <= self.clock():
            raise AttemptError("it has ended", type="invalid_request_error", status=400)
        batch.canceled = self.clock()
        batch.ends = min(batch.ends, self.clock() + self.cancel_s)
        return self._told(batch)

    async def results(self, batch_id: str) -> AsyncGenerator[BatchResult, None]:
        batch = self._named(batch_id)
        many = len(batch.custom_ids)
        lasted = batch.ends - batch.created
        whole = batch.canceled is None and lasted < DAY_S
        reached = many if whole else int(many * self.answered)
        message = make_reply().message
        for number, name in enumerate(batch.custom_ids):
            if number < reached:
                self.rows_answered += 1
                yield BatchResult(
                    custom_id=name, kind="succeeded", type="succeeded", message=message
                )
            else:
                kind = "expired" if batch.canceled is None else "canceled"
                yield BatchResult(custom_id=name, kind=kind, type=kind)

    async def delete(self, batch_id: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""

    def _named(self, batch_id: str) -> TimedBatch:
        found = next((batch for batch in self._shown if batch.id == batch_id), None)
        if found is None:
            raise BatchNotFound("no such batch", type="not_found_error", status=404)
        return found

    @property
    def _shown(self) -> list[TimedBatch]:
        return [batch for batch in self.batches if batch.id not in self.hidden]

    def _told(self, batch: TimedBatch) -> Batch:
        ended = batch.ends <= self.clock()
        canceling = "in_progress" if batch.canceled is None else "canceling"
        created = EPOCH + timedelta(seconds=batch.created)
        return Batch(
            id=batch.id,
            status="ended" if ended else canceling,
            counts=BatchCounts(processing=len(batch.custom_ids)),
            created_at=created,
            expires_at=created + timedelta(seconds=DAY_S),
            ended_at=EPOCH + timedelta(seconds=batch.ends) if ended else None,
            archived_at=None,
            server_time=None,
            retry_after=None if ended else 10.0,
            simulated=False,
        )
