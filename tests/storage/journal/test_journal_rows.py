"""The index of rows: an input that changed between two runs keeps the answers whose
lines are still the same.
"""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.storage.journal import (
    RowFilter,
    RowKey,
    RowRecord,
    RowRef,
    index_rows,
    open_journal,
    pending_keys,
    pending_rows,
    schema,
)
from tests.support.journals import index, record


@pytest.fixture
def journal(tmp_path: Path):
    connection = open_journal(tmp_path / "journal.sqlite")
    yield connection
    connection.close()


def pending(
    journal: sqlite3.Connection,
    lane: str = "haiku",
    *,
    limit: int | None = None,
    retry: bool = False,
):
    """All pending rows of *lane*, fetched in small steps as the feed does."""
    found: list[RowRef] = []
    after = 0
    while step := pending_rows(journal, RowFilter(limit, retry), lane, after, 2):
        found += step
        after = step[-1].row
    return found


def ids(rows: list[RowRef]) -> list[str]:
    return [row.id for row in rows]


def answer(journal: sqlite3.Connection, *wanted: str, ok: bool = True) -> None:
    for id_ in wanted:
        journal.execute(
            "INSERT INTO results (row, ok, head) SELECT row, ?, '' FROM rows WHERE id = ? AND live",
            (ok, id_),
        )


def live(journal: sqlite3.Connection) -> list[str]:
    return [id_ for (id_,) in journal.execute("SELECT id FROM rows WHERE live ORDER BY position")]


def lines(*texts: str) -> list[RowRecord]:
    """Lines whose id is their text up to a colon."""
    return [
        record(text, id=text.partition(":")[0], line=number) for number, text in enumerate(texts, 1)
    ]


def test_every_line_is_pending_at_first_in_input_order(journal):
    report = index(journal, *lines("c", "a", "b"))
    assert (report.rows, report.duplicates, report.changed, report.removed) == (3, (), 0, 0)
    assert ids(pending(journal)) == ["c", "a", "b"]


def test_a_row_says_where_its_line_lies(journal):
    one = RowRecord("x", True, b"d" * 32, "opus", 2, 17, 12_345, 678)
    index(journal, one)
    (row,) = pending(journal, "opus")
    assert row == RowRef(row.row, 2, 17, 12_345, 678, "x", b"d" * 32)


def test_a_row_says_what_its_answer_is_kept_under_and_a_new_look_mends_it(journal):
    id_ = record("x").id
    for line, asked in enumerate((("small", "default", b"1"), ("large", "hard", b"2")), 7):
        model, rule, key = asked
        columns = b'{"n":%d}' % line
        index(
            journal,
            record("x", line=line)._replace(model=model, rule=rule, key=key, columns=columns),
        )
        assert pending_keys(journal, RowFilter(), "haiku", 0, 9) == [
            RowKey(1, id_, *asked, own=0, source=0, line=line, columns=columns)
        ]


def test_rows_are_looked_up_in_the_order_and_in_the_number_that_they_are_asked_in(journal):
    index(journal, *lines(*"abcdef"), record("other", lane="opus", line=7))
    answer(journal, "b")
    answer(journal, "d", ok=False)
    for limit, retry in ((None, False), (None, True), (3, True)):
        asked = pending_rows(journal, RowFilter(limit, retry), "haiku", 1, 3)
        looked_up = pending_keys(journal, RowFilter(limit, retry), "haiku", 1, 3)
        assert [row[:2] for row in looked_up] == [(row.row, row.id) for row in asked]


def test_a_first_look_needs_no_second_table_and_a_later_one_leaves_none(journal):
    tables = "SELECT name FROM temp.sqlite_master"
    made: list[str] = []

    def noted(action: int, name: str, *_: object) -> int:
        if action == sqlite3.SQLITE_CREATE_TEMP_TABLE:
            made.append(name)
        return sqlite3.SQLITE_OK

    journal.set_authorizer(noted)
    index(journal, *lines("a", "b"))
    assert made == []
    index(journal, *lines("a", "c"))
    assert made and journal.execute(tables).fetchall() == []


def test_rows_are_pending_in_their_own_lane_only(journal):
    index(
        journal,
        record("1", id="h", lane="haiku"),
        record("2", id="o", lane="opus"),
        record("3", id="h2", lane="haiku"),
    )
    assert (ids(pending(journal, "haiku")), ids(pending(journal, "opus"))) == (["h", "h2"], ["o"])


def test_answered_and_failed_rows_are_done_and_failed_ones_run_again_on_request(journal):
    index(journal, *lines("a", "b", "c", "d"))
    answer(journal, "b")
    answer(journal, "c", ok=False)
    assert ids(pending(journal)) == ["a", "d"]
    assert ids(pending(journal, retry=True)) == ["a", "c", "d"]
    answer(journal, "c")
    assert ids(pending(journal, retry=True)) == ["a", "d"]


def test_the_same_input_again_changes_nothing(journal):
    index(journal, *lines("a", "b", "c"))
    answer(journal, "a")
    before = journal.execute("SELECT * FROM rows").fetchall()
    report = index(journal, *lines("a", "b", "c"))
    assert (report.changed, report.removed) == (0, 0)
    assert journal.execute("SELECT * FROM rows").fetchall() == before


def test_an_edited_line_runs_again_and_the_others_do_not(journal):
    index(journal, *lines("a:1", "b:1", "c:1"))
    answer(journal, "a", "b")
    report = index(journal, *lines("a:1", "b:2", "c:2"))
    assert (report.changed, report.removed) == (1, 0), "c had no answer that could be lost"
    assert sorted(ids(pending(journal))) == ["b", "c"]
    assert live(journal) == ["a", "b", "c"]


def test_an_edit_that_is_taken_back_finds_its_answer_again(journal):
    index(journal, *lines("a:1"))
    answer(journal, "a")
    index(journal, *lines("a:2"))
    assert ids(pending(journal)) == ["a"]
    index(journal, *lines("a:1"))
    assert pending(journal) == []


def test_removed_lines_are_reported_and_no_longer_shown(journal):
    index(journal, *lines("a", "b", "c"))
    answer(journal, "b")
    report = index(journal, *lines("a", "c"))
    assert (report.changed, report.removed) == (0, 1)
    assert (live(journal), ids(pending(journal))) == (["a", "c"], ["a", "c"])


def test_new_and_moved_lines_take_their_places(journal):
    index(journal, *lines("a", "b"))
    answer(journal, "a")
    report = index(journal, *lines("new", "b", "a"))
    assert (report.changed, report.removed) == (0, 0)
    assert live(journal) == ["new", "b", "a"]
    assert sorted(ids(pending(journal))) == ["b", "new"]


def test_an_id_that_is_taken_is_left_out_and_reported(journal):
    index_again = lines("a:1", "b", "a:2", "a:1")
    report = index(journal, *index_again)
    assert report.rows == 2
    assert [
        (duplicate.id, duplicate.line, duplicate.first_line) for duplicate in report.duplicates
    ] == [
        ("a", 3, 1),
        ("a", 4, 1),
    ]
    assert live(journal) == ["a", "b"]


def test_equal_lines_without_ids_are_numbered_wherever_they_stand(journal):
    index(
        journal, record("x", line=1), record("y", line=2), record("x", line=3), record("x", line=4)
    )
    x, y = record("x").id, record("y").id
    assert live(journal) == [x, y, f"{x}-2", f"{x}-3"]


def test_answers_stay_with_lines_without_ids_when_others_come_before_them(journal):
    index(journal, *(record(text, line=n) for n, text in enumerate("xyz")))
    answer(journal, record("x").id, record("z").id)
    report = index(journal, *(record(text, line=n) for n, text in enumerate("wxvyz")))
    assert (report.changed, report.removed) == (0, 0)
    assert sorted(ids(pending(journal))) == sorted(record(text).id for text in "wvy")


def test_one_more_equal_line_is_one_more_row_and_the_old_ones_keep_their_answers(journal):
    index(journal, record("x", line=1), record("x", line=2))
    answer(journal, record("x").id, f"{record('x').id}-2")
    index(journal, record("x", line=1), record("x", line=2), record("x", line=3))
    assert ids(pending(journal)) == [f"{record('x').id}-3"]


def test_an_id_of_its_own_that_looks_like_a_numbered_one_is_a_twin(journal):
    x = record("x").id
    report = index(
        journal, record("x", line=1), record("x", line=2), record("other", id=f"{x}-2", line=3)
    )
    assert [(duplicate.id, duplicate.line) for duplicate in report.duplicates] == [(f"{x}-2", 3)]


def test_a_limit_leaves_what_lies_beyond_it_alone(journal):
    index(journal, *lines("a", "b", "c", "d"))
    answer(journal, "a", "d")
    report = index(journal, *lines("a", "b"), limit=2)
    assert (report.changed, report.removed) == (0, 0), "beyond the limit nothing was looked at"
    assert live(journal) == ["a", "b", "c", "d"]
    assert ids(pending(journal, limit=2)) == ["b"]
    assert ids(pending(journal)) == ["b", "c"]


def test_within_a_limit_changes_count_as_always(journal):
    index(journal, *lines("a:1", "b:1", "c:1"))
    answer(journal, "a", "b", "c")
    report = index(journal, *lines("a:2", "x"), limit=2)
    assert (report.changed, report.removed) == (1, 1)
    assert sorted(ids(pending(journal, limit=2))) == ["a", "x"]


def test_a_refusal_leaves_the_former_index(journal):
    index(journal, *lines("a", "b"))
    journal.execute("BEGIN IMMEDIATE")
    index_rows(journal, lines("c"), limit=None)
    journal.execute("ROLLBACK")
    assert live(journal) == ["a", "b"]
    index(journal, *lines("a"))
    assert live(journal) == ["a"]


_INPUT = st.lists(
    st.tuples(st.sampled_from("abcdefg"), st.integers(0, 2), st.booleans()), max_size=10
)  # (name, content, has an id of its own)


def _records(given_lines: list[tuple[str, int, bool]]) -> list[RowRecord]:
    return [
        record(f"{name}:{content}", id=name if own else None, line=number)
        for number, (name, content, own) in enumerate(given_lines, 1)
    ]


@settings(max_examples=150, deadline=None)
@given(inputs=st.lists(_INPUT, min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_after_any_edits_exactly_the_lines_of_the_input_are_live_and_those_not_yet_answered_pending(
    inputs, seed
):
    journal = open_in_memory()
    rng = random.Random(seed)
    answered: set[tuple[str, bytes]] = set()
    for given_lines in inputs:
        report = index(journal, *_records(given_lines))
        shown = journal.execute(
            "SELECT id, digest, line FROM rows WHERE live ORDER BY position"
        ).fetchall()
        left_out = {duplicate.line for duplicate in report.duplicates}
        assert [line for _, _, line in shown] == [
            n for n in range(1, len(given_lines) + 1) if n not in left_out
        ]
        assert len({id_ for id_, _, _ in shown}) == len(shown) == report.rows
        assert sorted(ids(pending(journal))) == sorted(
            id_ for id_, d, _ in shown if (id_, d) not in answered
        )
        chosen = [(id_, digest) for id_, digest, _ in shown if rng.random() < 0.5]
        answer(journal, *(id_ for id_, _ in chosen))
        answered |= set(chosen)
    journal.close()


def open_in_memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(schema._TABLES)
    return connection
