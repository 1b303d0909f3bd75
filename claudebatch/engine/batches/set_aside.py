"""Batches that a session can neither collect nor give up: with this key nobody tells
whether they were made, or what they have answered. Their rows wait.
"""

from __future__ import annotations

from enum import Enum

from claudebatch.core.errors import ApiUnavailable, StopRun
from claudebatch.core.plurals import counted
from claudebatch.storage.journal.batches import BatchRow

_FIX = (
    "run the same command with a key of the workspace that it was made in; what is not shown there "
    "counts as lost 29 days after it was made; add --retry-batches to send its rows again now, and "
    "perhaps pay for them twice"
)


class Doubt(Enum):
    """Why a batch is left as it is."""

    NOT_SHOWN = "not shown"
    """Its id is known, and not to this key."""
    PERHAPS_ELSEWHERE = "perhaps elsewhere"
    """Its making was not answered, and this key's list is not of where it was asked
    for.
    """
    PROVED_BY_NOTHING = "proved by nothing"
    """It may be ours, and has no results to tell."""


class SetAside:
    """One for a session."""

    def __init__(self) -> None:
        # Mutable, changed by `add` only.
        self._rows: dict[Doubt, list[BatchRow]] = {}

    def add(self, row: BatchRow, doubt: Doubt) -> None:
        """*row* is left to another session."""
        self._rows.setdefault(doubt, []).append(row)

    def stop(self) -> StopRun | None:
        """What the run ends with because of them."""
        for doubt, batches in self._rows.items():
            rows = counted(sum(row.requests for row in batches), "row is", "rows are")
            return _told(doubt, rows, batches[0].id or "")
        return None


def _told(doubt: Doubt, rows: str, id: str) -> StopRun:
    if doubt is Doubt.NOT_SHOWN:
        return ApiUnavailable(
            "E783",
            f"{rows} in {id}, which the API does not show to this key, nor any other batch of "
            f"this machine",
            fix=_FIX,
        )
    if doubt is Doubt.PERHAPS_ELSEWHERE:
        return ApiUnavailable(
            "E784",
            f"{rows} perhaps in a batch whose making was not answered, and the API's list for this "
            f"key has none of the batches that were there then: it may be in another workspace",
            fix=_FIX,
        )
    return ApiUnavailable(
        "E785",
        f"{rows} perhaps in {id}, which has ended without a single result: nothing proves whose "
        f"it is",
        fix=_FIX,
    )
