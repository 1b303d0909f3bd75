"""The sums of one run, by day, model and rule, on their way into the table `spend`."""

from __future__ import annotations

from typing import TypeAlias

from claudebatch.core.domain import BILLED_KINDS, kind_counts
from claudebatch.core.endings import Ending
from claudebatch.storage.journal.records import AnswerSource, AttemptRecord, FreeAnswer
from claudebatch.storage.journal.schema import AttemptState
from claudebatch.storage.ledger.tables import SUMS

SumsKey: TypeAlias = tuple[str, str, str]
"""Day, model and rule of one line of sums."""
Sums: TypeAlias = dict[str, int]
"""By the names of `SUMS`."""


def no_sums() -> Sums:
    """All sums, each 0."""
    return dict.fromkeys(SUMS, 0)


def count_attempt(sums: Sums, outcome: AttemptRecord) -> None:
    """Add *outcome* to *sums*."""
    sums["attempts"] += 1
    if outcome.state == AttemptState.ANSWERED:
        sums["answers"] += 1
        if outcome.ending:
            sums[Ending(outcome.ending).label] += 1
    elif outcome.state == AttemptState.UNKNOWN:
        sums["unknown_attempts"] += 1
        sums["unknown"] += outcome.intent.worst
    # Counted, so that a report can say that its sum is too small.
    if not outcome.price.known:
        sums["unpriced"] += 1
    sums["spent"] += outcome.price.cost
    for kind, count in zip(BILLED_KINDS, kind_counts(outcome.usage), strict=True):
        sums[kind.column] += count


def count_free(sums: Sums, free: FreeAnswer) -> None:
    """Add *free*, an answer that cost nothing, to *sums*."""
    sums["cached" if free.source == AnswerSource.CACHE else "shared"] += 1
    sums["saved_cache"] += free.saved


def add_sums(run: str, key: SumsKey, sums: Sums) -> dict[str, int | str]:
    """The parameters of `ADD_SUMS`."""
    day, model, rule = key
    return {"run": run, "day": day, "model": model, "rule": rule, **sums}
