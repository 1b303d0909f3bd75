"""Why a row is answered out of the response cache, or is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from claudebatch.core.reports.cache_stats import CacheEntry

WhyKind: TypeAlias = Literal[
    "hit", "expired", "not kept", "dropped", "damaged", "nearest", "nothing like it", "no cache"
]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One difference between a request that was answered and one that is asked."""

    field: str
    before: str
    after: str
    note: str = ""

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{self.field}: {self.before} → {self.after}{note}"


@dataclass(frozen=True, slots=True)
class CacheWhy:
    """What the response cache has for one request."""

    row: str
    """The id of the row."""
    where: str
    """Its file and line, or its run."""
    key: str
    kind: WhyKind
    reason: str = ""
    """In words, where there is more to say than its kind."""
    entry: CacheEntry | None = None
    """The entry that answers it, or the nearest one."""
    changes: tuple[FieldChange, ...] = ()
    """From the request of the nearest entry to this one."""
    entries: int = 0
    """How many there are in all."""
    unread: int = 0
    """Entries whose requests are not known, so that they were not compared."""
    asked: str = ""
    """What became of it in a run that is over."""
