"""A disk that fails: which file, which call, how, and whether it ever works again."""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.drills.processes import Point, Word

FILES = ("output", "journal", "ledger", "cache", "log")
KINDS = ("ENOSPC", "EIO", "EROFS", "short")
_BY_NAME = (
    ("journal.sqlite", "journal"), ("out.jsonl.claudebatch", "journal"), ("spend.sqlite", "ledger"),
    ("state", "ledger"), ("cache.db", "cache"), ("responses", "cache"), ("run.log", "log"),
    ("out.jsonl", "output"), ("work", "output"),
)  # fmt: skip
_WRITES = ("write", "pwrite64", "writev", "pwritev")


def file_of(point: Point) -> str:
    """Which of our files a call is about; empty for all others."""
    name = point.place
    return next((file for start, file in _BY_NAME if name.startswith(start)), "")


@dataclass(frozen=True)
class Fault:
    """What goes wrong."""

    file: str
    kind: str
    at: int
    """At the call of this number about the file."""
    for_ever: bool

    def __str__(self) -> str:
        return f"{self.kind} at {self.file} #{self.at}{' and ever after' if self.for_ever else ''}"


@dataclass
class Disk:
    """Decides on every call of one session."""

    fault: Fault
    seen: int = 0
    failed_at_s: float | None = None
    """When the first call has failed; None: none has."""
    failed: list[Path] = field(default_factory=list)

    def __call__(self, point: Point) -> Word | int:
        """What becomes of *point*."""
        if file_of(point) != self.fault.file:
            return Word.ALLOW
        self.seen += 1
        if self.seen < self.fault.at or (self.seen > self.fault.at and not self.fault.for_ever):
            return Word.ALLOW
        if self.failed_at_s is None:
            self.failed_at_s = time.monotonic()
        self.failed.append(Path(point.path))
        if self.fault.kind == "short":
            full = point.name not in _WRITES or self.seen > self.fault.at
            return errno.ENOSPC if full else Word.SHORTEN
        return int(getattr(errno, self.fault.kind))
