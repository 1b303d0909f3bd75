"""Caps that several runs share, stored in the ledger: money is taken out of them before
a request is sent.

The use of a cap is the spend of all runs, the worst case of their unknown attempts, and
their holds. Taking is one transaction that begins with the lock for writing, looks at
every cap, and writes the hold: so two processes never both take the last dollar. Money
that is taken stays taken, even if the process dies, until it is spent, given back or
settled.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from claudebatch.core.domain import Pico
from claudebatch.core.shared_cap import SharedCap
from claudebatch.storage.ledger.schema import open_ledger
from claudebatch.storage.ledger.tables import ADD_HOLD

if TYPE_CHECKING:
    from collections.abc import Iterator

# SQLite's sum of integers fails above nine million dollars in pico-dollars, so dollars
# and the rest are summed apart.
_SPLIT = 10**12
# No more than this part of the rest is taken ahead of need: other runs would wait for
# money that this one does not use yet.
_AHEAD_SHARE = 16


@dataclass(frozen=True, slots=True)
class CapUse:
    """The used part of a cap."""

    cap: SharedCap
    gone: Pico
    """Spent, or of unknown outcome: for good."""
    held: Pico
    """Set aside by runs, this one included."""

    @property
    def room(self) -> Pico:
        """The money that may still be taken."""
        return self.cap.limit - self.gone - self.held


@dataclass(frozen=True, slots=True)
class CapsTaken:
    """The answer to a request for money."""

    amount: Pico
    """0: the caps have less than the least that was asked for."""
    uses: tuple[CapUse, ...]
    own: Mapping[str, Pico]
    """This run's holds in the ledger, by day."""


class SharedCaps:
    """One run's hand in the caps. Touched by one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, run: str, caps: Sequence[SharedCap]) -> None:
        self._connection = connection
        self._run = run
        self._caps = tuple(caps)
        # Mutable: the last use of the caps, valid until another process writes the
        # file.
        self._seen: tuple[str, int] | None = None
        self._uses: tuple[CapUse, ...] = ()

    @classmethod
    def open(cls, path: Path, run: str, caps: Sequence[SharedCap]) -> SharedCaps:
        """The caps in the ledger at *path*; raises `StorageError`."""
        return cls(open_ledger(path), run, caps)

    def take(self, day: str, *, least: Pico, wish: Pico, ahead: Pico = 0) -> CapsTaken:
        """Hold *wish* for this run on *day*, or as much of it as there is, or nothing
        if that is less than *least*.

        Where plenty is left, up to *ahead* more.
        """
        with self._writing():
            uses = self._look(day)
            # The tightest of all caps decides: each has a veto.
            room = min(use.room for use in uses)
            if room < least:
                return CapsTaken(0, uses, self._own())
            amount = min(wish, room) + max(0, min(ahead, (room - wish) // _AHEAD_SHARE))
            self._add(day, amount)
            return CapsTaken(amount, self._uses, self._own())

    def give_back(self, amounts: Mapping[str, Pico]) -> None:
        """Reduce this run's holds by *amounts*, by day."""
        with self._writing():
            for day, amount in amounts.items():
                self._add(day, -amount)

    def uses(self, day: str) -> CapsTaken:
        """The use of every cap on *day*, without taking anything."""
        with self._writing():
            return CapsTaken(0, self._look(day), self._own())

    def holders(self) -> list[str]:
        """Other runs that hold money, dead or alive."""
        found = self._connection.execute(
            "SELECT DISTINCT run FROM holds WHERE run <> ? AND amount > 0", (self._run,)
        )
        return [run for (run,) in found]

    def close(self, *, clear: bool) -> None:
        """Close the file; *clear* removes this run's holds."""
        try:
            if clear:
                self._connection.execute("DELETE FROM holds WHERE run = ?", (self._run,))
        finally:
            self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        # The lock for writing comes before the look: otherwise two processes would both
        # see the last dollar as free, and both take it.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._seen = None
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _look(self, day: str) -> tuple[CapUse, ...]:
        # It changes when another connection has written. Without it every hold would
        # sum up the whole ledger again.
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if self._seen != (day, version):
            self._uses = tuple(self._use(cap, day) for cap in self._caps)
            self._seen = (day, version)
        return self._uses

    def _use(self, cap: SharedCap, day: str) -> CapUse:
        return CapUse(
            cap,
            self._sum("spend", "spent + unknown", cap, day),
            self._sum("holds", "amount", cap, day),
        )

    def _sum(self, table: str, what: str, cap: SharedCap, day: str) -> Pico:
        # CROSS JOIN fixes the order: SQLite would otherwise read all spend and look up
        # its run's tag.
        source = table if cap.tag is None else f"runs r CROSS JOIN {table} USING (run)"
        where = "day BETWEEN ? AND ?" if cap.tag is None else "day BETWEEN ? AND ? AND r.tag = ?"
        values = cap.days(day) if cap.tag is None else (*cap.days(day), cap.tag)
        parts = what.split(" + ")
        sums = ", ".join(
            f"sum({part} / {_SPLIT}), sum({part} % {_SPLIT})" for part in parts
        )  # constants
        found = self._connection.execute(
            f"SELECT {sums} FROM {source} WHERE {where}", values
        ).fetchone()
        return sum(
            (found[2 * i] or 0) * _SPLIT + (found[2 * i + 1] or 0) for i in range(len(parts))
        )

    def _add(self, day: str, change: Pico) -> None:
        self._connection.execute(ADD_HOLD, (self._run, day, change))
        self._uses = tuple(
            CapUse(use.cap, use.gone, use.held + change)
            if _covers(use.cap, self._seen, day)
            else use
            for use in self._uses
        )

    def _own(self) -> dict[str, Pico]:
        return dict(
            self._connection.execute("SELECT day, amount FROM holds WHERE run = ?", (self._run,))
        )


def _covers(cap: SharedCap, seen: tuple[str, int] | None, day: str) -> bool:
    """Whether what is held on *day* counts in the use of *cap* that was last found."""
    if seen is None:
        return False
    first, last = cap.days(seen[0])
    return first <= day <= last
