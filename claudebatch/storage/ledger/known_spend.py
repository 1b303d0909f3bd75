"""What the ledger of one machine knows of money, for a server that has forgotten it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from claudebatch.core.domain import Pico
from claudebatch.storage.ledger.schema import open_ledger


@dataclass(frozen=True, slots=True)
class KnownSpend:
    """What one run has spent on one day."""

    run: str
    day: str
    """UTC."""
    tag: str
    """Empty: none."""
    amount: Pico
    """Spent, or of unknown outcome."""


def known_spend(path: Path) -> list[KnownSpend]:
    """Of all runs in the ledger at *path*. Raises `StorageError`."""
    sums: dict[tuple[str, str, str], Pico] = {}
    with closing(open_ledger(path)) as ledger:
        # Summed here: SQLite's own sum fails above nine million dollars.
        for run, day, tag, amount in ledger.execute(
            "SELECT s.run, s.day, coalesce(r.tag, ''), s.spent + s.unknown"
            " FROM spend s LEFT JOIN runs r USING (run)"
        ):
            sums[run, day, tag] = sums.get((run, day, tag), 0) + amount
    return [KnownSpend(run, day, tag, amount) for (run, day, tag), amount in sums.items() if amount]
