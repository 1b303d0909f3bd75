"""The places of answered rows in the input, brought up to date when it has changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from claudebatch.core.result_lines import place
from claudebatch.storage.journal.checksums import RESULT_FIELDS, fits, result_checksum

_ROWS_AT_ONCE = 1000
# A position that no row has: without a limit the same statement serves.
_LAST = 2**62
_PLACES = (
    f"SELECT x.n, r.source, r.line, r.columns, x.seal, {', '.join(f'x.{f}' for f in RESULT_FIELDS)}"
    " FROM results x JOIN rows r ON r.row = x.row AND r.live AND r.position < ?"
    " WHERE x.n > ? ORDER BY x.n LIMIT ?"
)
_AT = RESULT_FIELDS.index("place")


def refresh_places(journal: sqlite3.Connection, names: Sequence[str], *, limit: int | None) -> int:
    """Have each result tell where its row stands now, in the input files *names*;
    returns how many told something else. The caller's transaction decides whether it
    lasts.

    Rows beyond the *limit* were not looked at: theirs may be files of an earlier run.
    """
    changed = last = 0
    end = _LAST if limit is None else limit
    while found := journal.execute(_PLACES, (end, last, _ROWS_AT_ONCE)).fetchall():
        last = found[-1][0]
        moved = []
        for n, source, line, columns, checksum, *fields in found:
            now = place(line, names[source], columns)
            # A damaged row gets no new checksum: it would pass for sound from now on.
            if fields[_AT] != now and fits(fields, checksum, result_checksum):
                fields[_AT] = now
                moved.append((now, result_checksum(fields), n))
        journal.executemany("UPDATE results SET place = ?, seal = ? WHERE n = ?", moved)
        changed += len(moved)
    return changed
