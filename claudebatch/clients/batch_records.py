"""What the Message Batches API says of a batch, as frozen records, and how they are
read out of its answers.

While a batch runs all its requests count as `processing`, and 404s or old lists are
possible: see docs/design/048-batches-have-a-client-of-their-own.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from claudebatch.clients.headers import HeaderFacts
from claudebatch.core.jsonl import decode
from claudebatch.core.limit_headers import Limits
from claudebatch.core.message import BadAnswer

ENDED = "ended"
_COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """The requests of a batch by their state; all but `processing` are 0 until the
    whole batch has ended.
    """

    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def total(self) -> int:
        """The number of requests in the batch, at any time."""
        return self.processing + self.succeeded + self.errored + self.canceled + self.expired


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as one answer of the API describes it."""

    id: str
    status: str
    """`in_progress`, `canceling` or `ended`; what else the API may say is kept."""
    counts: BatchCounts
    created_at: datetime
    expires_at: datetime | None
    """When what has not been processed expires: 24 hours after `created_at`."""
    ended_at: datetime | None
    archived_at: datetime | None
    """When its results were removed: 29 days after `created_at`."""
    server_time: datetime | None
    """The clock of the server when it answered: compare `created_at` with this one."""
    retry_after: float | None
    """Seconds until the API wants to be asked again."""
    simulated: bool
    limits: Limits | None = None
    """Where its answer states any."""

    @property
    def ended(self) -> bool:
        """Whether results can be had: of a cancelled batch, too."""
        return self.status == ENDED


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Some of a workspace's batches, newest first, whatever their author."""

    batches: tuple[Batch, ...]
    has_more: bool
    """Older ones follow: ask for those after `last_id`."""
    last_id: str | None
    server_time: datetime | None


def read_batch(body: bytes, headers: HeaderFacts) -> Batch:
    """The batch in the answer *body*; raises `BadAnswer`."""
    return _batch(_object(body), headers)


def read_page(body: bytes, headers: HeaderFacts) -> BatchPage:
    """The page in the answer *body*; raises `BadAnswer`."""
    # A gateway may answer with anything: what is no list of batches is said to be none.
    page = _object(body)
    data = page.get("data")
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
        raise BadAnswer("the answer is not a list of batches")
    batches = tuple(_batch(one, headers) for one in data)
    last = page.get("last_id")
    return BatchPage(
        batches,
        bool(page.get("has_more")) and bool(batches),
        last if isinstance(last, str) else batches[-1].id if batches else None,
        headers.server_time,
    )


def read_deleted(body: bytes, headers: HeaderFacts) -> None:
    """Raise `BadAnswer` unless the answer *body* says that a batch was deleted."""
    if _object(body).get("type") != "message_batch_deleted":
        raise BadAnswer("the answer does not say that the batch was deleted")


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = decode(body)
    except ValueError as error:
        raise BadAnswer(f"the answer is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadAnswer("the answer is not a JSON object")
    return value


def _batch(value: Mapping[str, Any], headers: HeaderFacts) -> Batch:
    name, status = value.get("id"), value.get("processing_status")
    created = _moment(value.get("created_at"))
    # Without these three nothing can be decided: a gateway's answer, or half of one.
    if not isinstance(name, str) or not name or not isinstance(status, str) or created is None:
        raise BadAnswer("the answer is not a batch")
    return Batch(
        id=name,
        status=status,
        counts=_counts(value.get("request_counts")),
        created_at=created,
        expires_at=_moment(value.get("expires_at")),
        ended_at=_moment(value.get("ended_at")),
        archived_at=_moment(value.get("archived_at")),
        server_time=headers.server_time,
        retry_after=headers.retry_after,
        simulated=headers.simulated,
        limits=headers.limits,
    )


def _counts(value: Any) -> BatchCounts:
    counts = value if isinstance(value, dict) else {}
    found: dict[str, Any] = {name: counts.get(name) for name in _COUNTS}
    # `true` is an int in Python.
    if any(type(count) is not int or count < 0 for count in found.values()):
        raise BadAnswer("the answer does not count the batch's requests")
    return BatchCounts(**found)


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
