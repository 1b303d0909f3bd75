"""Rows that share a beginning are taken one after the other."""

from __future__ import annotations

import random
import sqlite3
from itertools import groupby

import pytest

from claudebatch.storage.journal import RowFilter, open_journal, order_pending, pending_rows
from claudebatch.storage.journal.beginnings import name_groups
from claudebatch.storage.journal.rows import group_pending
from tests.support.journals import index, record

ALL = RowFilter()


@pytest.fixture
def journal(tmp_path):
    connection = open_journal(tmp_path / "journal.sqlite")
    yield connection
    connection.close()


def fill(journal: sqlite3.Connection, shared: list[str]) -> list[str]:
    """A row for each of *shared*, a letter for each beginning, the shortest first;
    returns their ids.
    """
    ids = [f"{n}{letters}" for n, letters in enumerate(shared)]
    rows = [
        record(name)._replace(id=name, chain="".join(8 * letter for letter in letters).encode())
        for name, letters in zip(ids, shared, strict=True)
    ]
    index(journal, *rows)
    return ids


def put(journal: sqlite3.Connection, wanted: RowFilter = ALL) -> bool:
    group_pending(journal, wanted, alike_once=False)
    name_groups(journal, lambda chain: chain)
    return order_pending(journal, wanted)


def finish(journal: sqlite3.Connection, name: str) -> None:
    journal.execute(
        "INSERT INTO results (row, ok, head) SELECT row, 1, x'' FROM rows WHERE id = ?", (name,)
    )


def taken(journal: sqlite3.Connection, count: int = 3, wanted: RowFilter = ALL) -> list[str]:
    """The ids of all rows, in chunks of *count*."""
    (lane,) = journal.execute("SELECT lane FROM rows LIMIT 1").fetchone()
    found: list[str] = []
    after = -1
    while chunk := pending_rows(journal, wanted, lane, after, count, in_order=True):
        found += [ref.id for ref in chunk]
        after = chunk[-1].row
    return found


def test_rows_of_one_beginning_follow_each_other_in_the_order_of_the_first(journal):
    fill(journal, ["B", "", "A", "C", "B", "A", "C", "", "A"])
    assert put(journal)
    assert taken(journal) == ["0B", "4B", "1", "2A", "5A", "8A", "3C", "6C", "7"]


def test_rows_that_go_on_alike_stand_together_among_those_that_begin_alike(journal):
    fill(journal, ["SA", "T", "SB", "S", "SA", "T", "SB", "SA"])
    assert put(journal)
    assert taken(journal) == ["0SA", "4SA", "7SA", "2SB", "6SB", "3S", "1T", "5T"]


@pytest.mark.parametrize(
    "shared",
    [
        ["A", "A", "A", "B", "B", "B"],
        ["", "", "A", "A", "", "A", ""],
        ["A", "B", "C", ""],
        [],
        ["", ""],
    ],
    ids=str,
)
def test_rows_that_are_together_stay_where_they_are(journal, shared):
    fill(journal, shared)
    assert not put(journal)


def test_only_rows_that_need_an_answer_have_a_turn(journal):
    fill(journal, ["A", "B", "A", "B", "A", "B"])
    journal.execute(
        "INSERT INTO results (row, ok, head) SELECT row, 1, x'' FROM rows WHERE id='2A'"
    )
    limited = RowFilter(limit=5)
    assert put(journal, limited)
    assert taken(journal, wanted=limited) == ["0A", "4A", "1B", "3B"]
    journal.execute(
        "INSERT INTO results (row, ok, head) SELECT row, 1, x'' FROM rows WHERE id='4A'"
    )
    assert taken(journal, wanted=limited) == ["0A", "1B", "3B"], "answers come meanwhile"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_shared_every_row_is_taken_once(journal, seed):
    rng = random.Random(seed)
    shared = ["".join(rng.choices("ABCD", k=rng.randrange(4))) for _ in range(rng.randrange(40))]
    ids = fill(journal, shared)
    if not put(journal):
        return
    found = taken(journal, count=rng.randint(1, 9))
    assert sorted(found) == sorted(ids)
    for level in (1, 2, 3):
        starts = [name.lstrip("0123456789")[:level] for name in found]
        whole = [start for start in starts if len(start) == level]
        runs = [start for start, _ in groupby(starts) if len(start) == level]
        assert len(runs) == len(set(whole)), "rows of one beginning stand in one piece"
