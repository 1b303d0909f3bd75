"""Which beginnings are marked, and for how long: where reading them again pays for
writing them once.

Prices as documented: a write costs 1.25 times the input, or twice for an hour; a read a
tenth of it, or less. So five minutes pay from the first read on, an hour from the
second.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Literal, NamedTuple, TypeAlias

from claudebatch.layers.prompt_caching.chains import Link, SharedBeginning, links_of

PromptCaching: TypeAlias = Literal["auto", "respect", "off"]
"""Marks where they pay; only the rows' own; none, and no order for their sake."""

MINUTES_S, HOUR_S = 300, 3600
MOST_MARKS = 4
_MOST_ROWS = 255
# A beginning's number, whether it is kept for an hour, and how many rows have it.
_NUMBER_AT = 40
_HOUR_BIT = 1 << 39
_ROWS = _HOUR_BIT - 1
MANY_ROWS = 20
"""Of rows in batches, which are read by chance (30 to 98 %), only beginnings of so many
are marked.
"""
# Of the time that an entry lives: requests are late now and then.
_IN_TIME = 0.8
_LEAST_ROWS = {MINUTES_S: 2, HOUR_S: 3}


class Spacing(NamedTuple):
    """How far apart rows of one beginning are sent."""

    row_s: float
    """Seconds from one row of the run to the next."""
    together: bool = False
    """Whether rows of one beginning follow each other, wherever they stand in the
    input.
    """

    def gap_s(self, shared: SharedBeginning) -> float:
        """Seconds between two rows of one beginning, on average."""
        return self.row_s * (1.0 if self.together else max(1.0, shared.gap))


def ttl_s(shared: SharedBeginning, spacing: Spacing) -> int:
    """For how many seconds a mark keeps *shared*; 0: there is none, or it would not
    pay. Marks that rows have themselves stay.
    """
    if shared.link.ttl_s:
        return shared.link.ttl_s
    # A beginning that goes on in one way in all of its rows is no end of what they
    # share.
    if shared.rows <= shared.heaviest:
        return 0
    gap_s = spacing.gap_s(shared)
    for seconds, least in _LEAST_ROWS.items():
        if shared.rows >= least and gap_s <= seconds * _IN_TIME:
            return seconds
    return 0


def all_kept(
    found: Iterable[SharedBeginning], spacing: Spacing
) -> Iterator[tuple[bytes, int, int]]:
    """Of each of *found* that is kept, the digest, the seconds and the rows that share
    it: one row is enough, where it has a mark of its own. Of a beginning that rows keep
    for different times there are several.
    """
    for shared in found:
        if seconds := ttl_s(shared, spacing):
            yield shared.link.digest, seconds, shared.rows


class Kept(NamedTuple):
    """A beginning of one row that is kept."""

    link: Link
    ttl_s: int


class MarkPlan:
    """The beginnings that are kept, in 11 bytes each: half a million rows in pairs take
    no more than some megabytes.
    """

    def __init__(self) -> None:
        # Mutable, changed by `fill` only: the digests, sorted, their seconds, and how
        # many rows share them, as far as one byte tells.
        self._digests = array("Q")
        self._ttls = array("H")
        self._rows = bytearray()

    def __len__(self) -> int:
        return len(self._digests)

    def fill(self, found: Iterable[SharedBeginning], spacing: Spacing) -> None:
        """Decide of each of *found*."""
        counted = sorted(_packed(*kept) for kept in all_kept(found, spacing))
        # Sorted numbers in an array take a tenth of what a dictionary would.
        self._digests, self._ttls, self._rows = array("Q"), array("H"), bytearray()
        for number, same in groupby(counted, _number_in):
            # Rows may ask for different times of one beginning, or mark others before
            # it: all of them share it, and the longest is kept, which comes last.
            times = list(same)
            rows = sum(one & _ROWS for one in times)
            # A row's own mark that no other row shares groups nothing.
            if rows > 1:
                self._digests.append(number)
                self._ttls.append(HOUR_S if times[-1] & _HOUR_BIT else MINUTES_S)
                self._rows.append(min(rows, _MOST_ROWS))

    def ttl_s(self, digest: bytes) -> int:
        """For how many seconds the beginning of this *digest* is kept; 0: not."""
        place = self._place(digest)
        return 0 if place is None else self._ttls[place]

    def rows(self, digest: bytes) -> int:
        """How many rows share this beginning, 255 at most; 0: it is not kept."""
        place = self._place(digest)
        return 0 if place is None else self._rows[place]

    def _place(self, digest: bytes) -> int | None:
        number = _number(digest)
        place = bisect_left(self._digests, number)
        if place == len(self._digests) or self._digests[place] != number:
            return None
        return place

    def kept(self, chain: bytes) -> list[Kept]:
        """The beginnings of *chain* that are kept, the shortest first."""
        return [
            Kept(link, seconds) for link in links_of(chain) if (seconds := self.ttl_s(link.digest))
        ]

    def path(self, chain: bytes) -> bytes:
        """The digests of these, one after the other."""
        return b"".join(one.link.digest for one in self.kept(chain))


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "big")


def _packed(digest: bytes, seconds: int, rows: int) -> int:
    """All of it in one number, which takes a third of what a tuple would."""
    return _number(digest) << _NUMBER_AT | (_HOUR_BIT if seconds == HOUR_S else 0) | rows


def _number_in(packed: int) -> int:
    return packed >> _NUMBER_AT
