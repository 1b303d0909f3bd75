"""The beginnings of a row that others may share, as bytes: sorted, rows that share most
stand together, and one pass over them counts what all of them share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import NamedTuple

from claudebatch.core.frozen import value
from claudebatch.layers.prompt_caching.leading_blocks import DIGEST_BYTES

# The digest first: an order of bytes is then one of beginnings. A beginning has one
# number of tokens; a mark of its own tells it apart from one without.
_LINK = Struct(f">{DIGEST_BYTES}sIH")
_MOST_TOKENS = 2**32 - 1


class Link(NamedTuple):
    """One beginning of a row."""

    digest: bytes
    tokens: int
    """Expected ones, to its end."""
    ttl_s: int = 0
    """What a mark of the row's own asks for; 0: it has none there."""


@value
class ChainRows:
    """Rows with the same beginnings."""

    chain: bytes
    rows: int
    first: int
    """The place in the input of the first of them."""
    last: int


@value
class SharedBeginning:
    """A beginning, and the rows that share it."""

    link: Link
    above: int
    """Tokens of the next shorter beginning in its rows; 0: there is none."""
    rows: int
    heaviest: int
    """The most rows that share one of its continuations."""
    first: int
    last: int

    @property
    def gap(self) -> float:
        """Rows of the input from one of its rows to the next, on average."""
        return (self.last - self.first) / max(1, self.rows - 1)


def chain_of(links: Iterable[Link]) -> bytes:
    """*links*, the shortest beginning first, as bytes."""
    return b"".join(
        _LINK.pack(link.digest, min(link.tokens, _MOST_TOKENS), link.ttl_s) for link in links
    )


def links_of(chain: bytes) -> list[Link]:
    """The links of *chain*."""
    return [Link(*fields) for fields in _LINK.iter_unpack(chain)]


class _Open:
    """A beginning whose rows still come. Mutable: sums of those so far."""

    __slots__ = ("above", "first", "heaviest", "last", "link", "rows")

    def __init__(self, link: Link, above: int, first: int) -> None:
        self.link, self.above, self.first, self.last = link, above, first, first
        self.rows = self.heaviest = 0

    def add(self, rows: int, first: int, last: int) -> None:
        self.rows += rows
        self.first, self.last = min(self.first, first), max(self.last, last)

    def closed(self) -> SharedBeginning:
        return SharedBeginning(
            link=self.link,
            above=self.above,
            rows=self.rows,
            heaviest=self.heaviest,
            first=self.first,
            last=self.last,
        )


def shared_beginnings(groups: Iterable[ChainRows]) -> Iterator[SharedBeginning]:
    """Every beginning of *groups*, which are sorted by chain, with its rows; longer
    ones before the shorter ones that they go on from.
    """
    path: list[_Open] = []
    for group in groups:
        links = links_of(group.chain)
        # Sorted: what this group shares with any before it, it shares with the last.
        common = 0
        while common < min(len(path), len(links)) and path[common].link == links[common]:
            common += 1
        yield from _close(path, common)
        for link in links[common:]:
            above = path[-1].link.tokens if path else 0
            path.append(_Open(link, above, group.first))
        if path:
            path[-1].add(group.rows, group.first, group.last)
    yield from _close(path, 0)


def _close(path: list[_Open], length: int) -> Iterator[SharedBeginning]:
    """End what is longer than *length*, and add its rows to what it goes on from."""
    while len(path) > length:
        ended = path.pop()
        # Upwards only now: its sums are complete.
        if path:
            path[-1].add(ended.rows, ended.first, ended.last)
            path[-1].heaviest = max(path[-1].heaviest, ended.rows)
        yield ended.closed()
