"""One beginning that rows share: whether the API has it, which row goes ahead, and
which rows wait for that one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from math import inf

# The API counts from the moment a request comes, and so do the entries of others: what
# is about to run out may have run out on the way.
_MARGIN_S = 5.0
# Rows that are about to leave take a while: used again at half of its time to live, a
# beginning does not run out while rows of others go first.
_USED_AGAIN = 0.5
# An answer that is refused before it begins tells of no cache either: one is not
# believed.
_BLANKS_BELIEVED = 2
# A write costs a quarter of a token more, for an hour a whole one; a read saves nine
# tenths of one. Below so many writes for a read it still pays.
_MISSES_FOR_A_READ = 3.0
_MISSES_FOR_A_READ_BY_THE_HOUR = 0.9
_HOUR_S = 3600.0


class Beginning:
    """What is known of one beginning. No clock: moments are told, in seconds."""

    __slots__ = (
        "_blanks",
        "_hoped_until",
        "_misses",
        "_read_at",
        "_reads",
        "_waiting",
        "_warm_until",
        "ahead",
        "cached",
        "late",
        "proven",
        "stopped",
        "ttl_s",
        "unused",
    )

    def __init__(self, ttl_s: float) -> None:
        # Mutable, changed by the methods below and by `Turns`: the row that goes ahead,
        # whether it was read once, is not sent with marks any more, or is one of which
        # the API's answers say nothing.
        self.ahead: int | None = None
        self.proven = False
        self.stopped = False
        self.unused = False
        self.late = False
        """Whether the row that goes ahead has let another one by, for it takes long."""
        self.ttl_s = ttl_s
        self.cached = 0.0
        """Tokens of it, as calls are estimated; 0: not known."""
        # Until when the API has it for sure, and if what is out now reads it; when the
        # last request left that read it; the rows that wait.
        self._warm_until = self._hoped_until = self._read_at = -inf
        self._reads = self._misses = self._blanks = 0
        self._waiting: deque[Waiter] = deque()

    @property
    def waiting(self) -> int:
        """How many rows stand in line."""
        return len(self._waiting)

    @property
    def is_free(self) -> bool:
        """Whether rows need not wait at all: nothing is to be read."""
        return self.stopped or self.unused

    @property
    def lapses_at(self) -> float:
        """The moment from which on it should be used again, lest it run out."""
        return max(self._warm_until, self._hoped_until) - _USED_AGAIN * self.ttl_s

    def is_warm(self, now: float) -> bool:
        """Whether a request that leaves *now* finds it."""
        return now < max(self._warm_until, self._hoped_until) - _MARGIN_S

    def is_open(self, now: float) -> bool:
        """Whether rows find it there, and it is known to be read."""
        return self.proven and self.is_warm(now)

    def left(self, at: float) -> None:
        """A request left that will read it, and so make it last."""
        self._hoped_until = max(self._hoped_until, at + self.ttl_s)

    def not_read(self) -> None:
        """One of these came to nothing."""
        self._hoped_until = self._warm_until

    def began(self, at: float) -> None:
        """An answer began whose request left *at* that moment and has written or read
        it.
        """
        self._warm_until = max(self._warm_until, at + self.ttl_s)
        self.late = False

    def read(self, at: float) -> None:
        """A request that left *at* that moment read it."""
        self._reads += 1
        self._blanks = 0
        self._read_at = max(self._read_at, at)
        self.proven, self.unused = True, False
        self.began(at)

    def written(self, at: float) -> None:
        """One wrote it that was to write it."""
        self._blanks = 0
        self.unused = False
        self.began(at)

    @property
    def was_read(self) -> bool:
        """Whether it was read at all."""
        return self._reads > 0

    @property
    def was_missed(self) -> bool:
        """Whether it was written that should have been read."""
        return self._misses > 0

    def missed(self, at: float, *, once_more: bool) -> None:
        """One wrote it that should have read it; *once_more*: it may be tried one time
        more than its reads have paid for.
        """
        self._misses += 1
        self.began(at)
        # One that left before the last reader tells nothing new.
        if at < self._read_at:
            return
        self.proven = False
        by_the_hour = self.ttl_s >= _HOUR_S
        for_a_read = _MISSES_FOR_A_READ_BY_THE_HOUR if by_the_hour else _MISSES_FOR_A_READ
        self.stopped = self._misses > for_a_read * self._reads + once_more

    def blank(self) -> bool:
        """An answer says neither that it was written nor that it was read; returns
        whether that is believed now.
        """
        self._blanks += 1
        self.unused = self._blanks >= _BLANKS_BELIEVED
        return self._blanks == _BLANKS_BELIEVED

    def wait(self, waiter: Waiter) -> None:
        """*waiter* stands in line."""
        self._waiting.append(waiter)

    def leave(self, waiter: Waiter) -> None:
        """It asks no more."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def call_up(self, *, granted: bool = False) -> bool:
        """Have the next row in line ask again, with the right to be sent where that is
        *granted*; False: there is none.
        """
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.called.done():
                waiter.granted = granted
                waiter.called.set_result(None)
                return True
        return False

    def at_rest(self) -> Iterator[int]:
        """The rows in line that are at rest."""
        return (waiter.row for waiter in self._waiting if waiter.rests)


class Waiter:
    """A row in a beginning's line. Made inside a running event loop."""

    __slots__ = ("called", "granted", "rests", "row")

    def __init__(self, row: int, *, rests: bool) -> None:
        """*rests*: it is at rest for no other reason."""
        self.row = row
        self.rests = rests
        self.called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it is time to ask again."""
        # Mutable: set by `Beginning.call_up`.
        self.granted = False
        """Whether it may be sent then."""
