"""The address that each batch of a run was made at: at another one nobody knows it.

Notes of the run, not columns: most runs have one address all their life.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_KEY = "place of batch "


class BatchPlace(NamedTuple):
    """Where a batch is."""

    address: str
    """The base URL; empty: the API's own."""
    simulated: bool = False
    """A simulator answers there: what it made is made up, and goes away with it."""
    skew_ms: int | None = None
    """By how much the server's clock was ahead of ours when the batch was built; None:
    not known.
    """
    seen: Sequence[str] | None = None
    """Ids that the account's list showed right before: where they are, it is. None: not
    known.
    """


def note_place(journal: sqlite3.Connection, batch: int, place: BatchPlace) -> None:
    """*batch* is made there."""
    # Before the batch can have been made: after a crash it is looked for there only.
    value = json.dumps(place)
    journal.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"{_KEY}{batch}", value))


def batch_places(journal: sqlite3.Connection) -> Mapping[int, BatchPlace]:
    """The places of this run's batches; older ones have none."""
    found = journal.execute("SELECT key, value FROM meta WHERE key LIKE ? || '%'", (_KEY,))
    return {int(key.removeprefix(_KEY)): BatchPlace(*json.loads(value)) for key, value in found}
