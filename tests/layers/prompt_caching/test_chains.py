"""Counts over sorted chains are those of looking at every pair of rows."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.layers.prompt_caching.chains import (
    ChainRows,
    Link,
    chain_of,
    links_of,
    shared_beginnings,
)

# Few different blocks, so that rows share much.
_PATHS = st.lists(st.lists(st.integers(0, 2), max_size=5), min_size=1, max_size=12)


def link(path: tuple[int, ...]) -> Link:
    """The beginning that *path* leads to: another one for each path."""
    return Link(bytes([*path, *[9] * (8 - len(path))]), 100 * len(path))


def chain(path: list[int]) -> bytes:
    return chain_of(link(tuple(path[: end + 1])) for end in range(len(path)))


@settings(max_examples=200, deadline=None)
@given(_PATHS)
def test_sums_are_those_of_every_row(paths):
    places = defaultdict(list)
    for place, path in enumerate(paths):
        places[chain(path)].append(place)
    groups = [
        ChainRows(one, len(found), min(found), max(found)) for one, found in sorted(places.items())
    ]
    found = {shared.link: shared for shared in shared_beginnings(groups)}
    expected = {tuple(path[: end + 1]) for path in paths for end in range(len(path))}
    assert set(found) == {link(path) for path in expected}
    for path in expected:
        rows = [n for n, one in enumerate(paths) if tuple(one[: len(path)]) == path]
        after = [tuple(paths[n][: len(path) + 1]) for n in rows if len(paths[n]) > len(path)]
        shared = found[link(path)]
        assert (shared.rows, shared.first, shared.last) == (len(rows), rows[0], rows[-1])
        assert shared.heaviest == max(map(after.count, after), default=0)


def test_a_longer_beginning_comes_before_the_one_that_it_goes_on_from():
    paths = [[0], [0, 1], [0, 1, 1], [0, 2]]
    groups = [ChainRows(one, 1, 0, 0) for one in sorted(map(chain, paths))]
    found = [shared.link.tokens // 100 for shared in shared_beginnings(groups)]
    assert found == [3, 2, 2, 1]


def test_links_come_back_as_they_were():
    links = [Link(b"12345678", 512, 300), Link(b"abcdefgh", 2**33, 3600)]
    assert links_of(chain_of(links)) == [links[0], Link(b"abcdefgh", 2**32 - 1, 3600)]
