"""The rows of a plan: each request once, a split that is fair and always the same, and
what still waits for batches.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.storage.journal import RowFilter, open_journal, pending_rows
from claudebatch.storage.journal.planned_rows import (
    WaitingPart,
    begin_plan,
    look_up_kept,
    note_kept,
    note_planned,
    rows_to_plan,
    send_all_now,
    send_now,
    waiting_parts,
)
from claudebatch.storage.journal.roads import set_roads
from claudebatch.storage.journal.statements import write_intents, write_results
from tests.support.journals import failed, index, intent, record

ALL = RowFilter()
LIVE, BATCH = ALL._replace(road="live"), ALL._replace(road="batch")


def planned(path: Path, *texts: str, share: bool = True) -> sqlite3.Connection:
    """A journal with a row for each of *texts*; equal ones ask for the same."""
    journal = open_journal(path)
    rows = [record(f"{n} {text}", id=f"r{n}", line=n) for n, text in enumerate(texts)]
    index(
        journal, *(row._replace(key=text.encode()) for row, text in zip(rows, texts, strict=True))
    )
    set_roads(journal, "batch", of_rules={"kept": "batch"}, share=share)
    return journal


def roads(journal: sqlite3.Connection, wanted: RowFilter) -> list[int]:
    return [ref.row for ref in pending_rows(journal, wanted, "haiku", -1, 1000)]


def to_plan(journal: sqlite3.Connection) -> list[tuple[int, bool]]:
    found, after = [], -1
    while True:
        # In small steps: what was seen before lies in another chunk.
        some, last = rows_to_plan(journal, ALL, "haiku", after, 2)
        found += [(row.ref.row, row.in_batch) for row in some]
        if last is None:
            return found
        after = last


def in_batch(journal: sqlite3.Connection, row: int) -> None:
    write_intents(journal, [replace(intent(row, row=row), batch=1)])


def test_of_equal_requests_the_first_is_planned(tmp_path: Path) -> None:
    journal = planned(tmp_path / "j", "a", "b", "a", "c", "b")
    begin_plan(journal)
    assert to_plan(journal) == [(1, False), (2, False), (4, False)]


def test_without_sharing_all_of_them_are(tmp_path: Path) -> None:
    journal = planned(tmp_path / "j", "a", "b", "a", share=False)
    begin_plan(journal)
    assert [row for row, _ in to_plan(journal)] == [1, 2, 3]


def test_of_an_equal_one_in_a_batch_that_one_is(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "j")
    rows = [record(f"{n}", id=f"r{n}", line=n)._replace(key=b"same") for n in range(3)]
    index(journal, *rows)
    in_batch(journal, 2)
    set_roads(journal, "batch", of_rules={}, share=True)
    begin_plan(journal)
    assert to_plan(journal) == [(2, True)]


def test_some_rows_of_a_part_go_at_once_and_their_equals(tmp_path: Path) -> None:
    journal = planned(tmp_path / "j", "a", "b", "c", "d", "a")
    begin_plan(journal)
    note_planned(journal, [(1, 0, 4.0), (2, 0, 3.0), (3, 0, 2.0), (4, 0, 1.0)], live=[])
    send_now(journal, 0, 2, of=4)
    assert roads(journal, LIVE) == [1, 3, 5], "one of each half, the larger"
    assert roads(journal, BATCH) == [2, 4]


def test_what_no_batch_takes_goes_at_once(tmp_path: Path) -> None:
    journal = planned(tmp_path / "j", "a", "b")
    begin_plan(journal)
    note_planned(journal, [(1, 0, 1.0), (2, 1, 1.0)], live=[2])
    assert (roads(journal, LIVE), roads(journal, BATCH)) == ([2], [1])


@settings(max_examples=50)
@given(st.lists(st.floats(0.1, 1000), min_size=1, max_size=60), st.data())
def test_a_split_takes_its_share_of_the_weight_and_never_less(weights, data) -> None:
    rows = data.draw(st.integers(1, len(weights)))
    with TemporaryDirectory() as folder:
        journal = planned(Path(folder) / "j", *map(str, range(len(weights))))
        begin_plan(journal)
        note_planned(journal, [(n, 0, weight) for n, weight in enumerate(weights, 1)], live=[])
        send_now(journal, 0, rows, of=len(weights))
        chosen = roads(journal, LIVE)
        journal.close()
    assert len(chosen) == rows
    share = sum(weights[row - 1] for row in chosen)
    fair = sum(weights) * rows / len(weights)
    # Never less: what goes by batch comes back within the time that is kept for it.
    assert share >= fair * (1 - 1e-9)
    assert share <= fair + max(weights), "nor much more: the dollars are those of the plan"


def test_what_waits_is_in_batches_or_goes_into_one_and_has_no_result(tmp_path: Path) -> None:
    journal = planned(tmp_path / "j", "a", "b", "c", "d")
    # One that is asked again: its old result is none.
    write_results(journal, [failed(4)])
    begin_plan(journal)
    parts = [(1, 0, 1.0), (2, 0, 2.0), (3, 1, 4.0), (4, 1, 8.0)]
    note_planned(journal, parts, live=[2])
    assert waiting_parts(journal) == {0: WaitingPart(1, 1.0), 1: WaitingPart(2, 12.0)}
    in_batch(journal, 1)
    send_all_now(journal)
    assert waiting_parts(journal) == {0: WaitingPart(1, 1.0)}, "only that can come back"
    write_results(journal, [failed(1), failed(4)])
    assert waiting_parts(journal) == {}


def test_rules_keep_their_rows_in_batches(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "j")
    rows = [record(f"{n}", id=f"r{n}", line=n) for n in range(2)]
    index(journal, rows[0]._replace(rule="kept"), rows[1])
    set_roads(journal, "batch", of_rules={"kept": "batch"}, share=False)
    begin_plan(journal)
    send_all_now(journal)
    assert (roads(journal, LIVE), roads(journal, BATCH)) == ([2], [1])


def test_a_beginning_that_rows_ask_for_twice_is_kept_for_the_longer_time(tmp_path):
    journal = planned(tmp_path / "journal", "a")
    begin_plan(journal)
    note_kept(journal, [(b"a", 300, 2), (b"a", 3600, 3), (b"b", 300, 2)])
    assert look_up_kept(journal, [b"a", b"b", b"c"]) == {b"a": (3600, 5), b"b": (300, 2)}
