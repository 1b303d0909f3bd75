"""Which of the account's batches may be the one whose making was not answered. Pure.

The rules are those of docs/design/050-batches.md: a candidate has as many requests, was
made after the intent, and belongs to nobody known. Only results prove it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from claudebatch.clients.batch_records import Batch
from claudebatch.storage.journal.batches import BatchRow

# A list may lag behind what was made by so much, and clocks may differ after they were
# compared by the `date` of an answer, which has whole seconds.
LAG_S = 180.0
_SKEW_S = 120.0
KEPT_S = 29 * 86_400.0
"""So long from its making the API keeps the results of a batch."""


def ms(moment: datetime | None) -> int | None:
    """Unix milliseconds of *moment*."""
    return None if moment is None else round(moment.timestamp() * 1000)


def candidates(
    intent: BatchRow, listed: Iterable[Batch], *, taken: Collection[str], skew_s: float
) -> list[Batch]:
    """Those of *listed* that may be *intent*'s, oldest first: without those of *taken*
    ids. *skew_s*: by how much the server's clock is ahead of ours.
    """
    # A batch from before the intent cannot be its own, whatever else fits.
    earliest = intent.intent_ms / 1000 + skew_s - _SKEW_S
    found = [
        batch
        for batch in listed
        if batch.id not in taken
        and batch.counts.total == intent.requests
        and batch.created_at.timestamp() >= earliest
    ]
    return sorted(found, key=lambda batch: batch.created_at)


def too_old(intent: BatchRow, batch: Batch, *, skew_s: float) -> bool:
    """Whether *batch*, and all that is listed after it, was made before *intent*."""
    return batch.created_at.timestamp() < intent.intent_ms / 1000 + skew_s - _SKEW_S


def given_up(looked_for_s: float) -> bool:
    """Whether a batch that no list has shown for so long was never made: lists have
    had their time.
    """
    return looked_for_s >= LAG_S
