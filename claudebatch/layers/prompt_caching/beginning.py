"""One beginning that rows share: whether the API has it, which row goes ahead, and
which rows wait for that one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf

# The API counts from the moment a request comes, and so do the entries of others: what
# is about to run out may have run out on the way.
_MARGIN_S = 5.0
# An answer that is refused before it begins tells of no cache either: one is not
# believed.
_BLANKS_BELIEVED = 2
# A write costs a quarter of a token more, a read saves nine tenths of one: below three
# writes for a read it still pays.
_MISSES_FOR_A_READ = 3


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
        self.ttl_s = ttl_s
        self.cached = 0.0
        """Tokens of it, as calls are estimated; 0: not known."""
        # Until when the API has it for sure, and if what is out now reads it; when the
        # last request left that read it; the rows that wait.
        self._warm_until = self._hoped_until = self._read_at = -inf
        self._reads = self._misses = self._blanks = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether no row goes ahead or waits."""
        return self.ahead is None and not self._waiting

    def is_warm(self, now: float) -> bool:
        """Whether a request that leaves *now* finds it."""
        return now < max(self._warm_until, self._hoped_until) - _MARGIN_S

    def is_open(self, now: float) -> bool:
        """Whether rows need not wait for one of them."""
        return self.stopped or self.unused or (self.proven and self.is_warm(now))

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

    def missed(self, at: float, *, trusted: bool) -> None:
        """One wrote it that should have read it; *trusted*: others were read."""
        self._misses += 1
        self.began(at)
        # One that left before the last reader tells nothing new.
        if at < self._read_at:
            return
        self.proven = False
        most = _MISSES_FOR_A_READ * self._reads + (1 if trusted else 0)
        self.stopped = self._misses > most

    def blank(self) -> bool:
        """An answer says neither that it was written nor that it was read; returns
        whether that is believed now.
        """
        self._blanks += 1
        self.unused = self._blanks >= _BLANKS_BELIEVED
        return self._blanks == _BLANKS_BELIEVED

    def wait(self) -> asyncio.Future[None]:
        """Stand in line: it is done when it is time to ask again."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        return turn

    def leave(self, turn: asyncio.Future[None]) -> None:
        """The row that stood in line with *turn* asks no more."""
        if turn in self._waiting:
            self._waiting.remove(turn)

    def call_up(self, *, everybody: bool) -> None:
        """Have the next row in line ask again, or all of them."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                if not everybody:
                    return
