"""What a look through the response cache found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheAudit:
    """The state of the response cache."""

    path: str
    entries: int = 0
    structure: str | None = None
    """What SQLite finds wrong with the file; None: nothing."""
    damaged: tuple[str, ...] = ()
    """Keys of entries that are no sound answers, the first of them."""
    damaged_count: int = 0
    orphan_files: int = 0
    """Files of answers that no entry names."""
    orphan_bytes: int = 0
    orphan_notes: int = 0
    """Requests without an entry."""
    repaired: bool = False
    """All of this is removed now."""

    @property
    def sound(self) -> bool:
        """Whether everything is as it was written."""
        found = self.damaged_count or self.orphan_files or self.orphan_notes
        return not found and self.structure is None


@dataclass(frozen=True, slots=True)
class CacheImport:
    """What became of the lines of a file of cached answers."""

    taken: int
    there: int
    """Were in the response cache already."""
    left_out: Mapping[str, int]
    """How many lines, by reason."""
