"""Marks are planned by the rows that are still to be sent."""

from __future__ import annotations

import pytest

from claudebatch.engine.mark_rows import plan_marks
from claudebatch.layers.prompt_caching.chains import Link, chain_of
from claudebatch.layers.prompt_caching.mark_plan import MarkPlan, Spacing
from claudebatch.storage.journal import RowFilter, open_journal
from tests.support.journals import index, record

ALL = RowFilter()
SHARED, OTHER = b"shared--", b"other---"


def row(name: str, *digests: bytes, key: bytes = b""):
    """A row whose beginnings have these *digests*."""
    chain = chain_of(Link(one, 600 * (n + 1)) for n, one in enumerate(digests))
    return record(name)._replace(id=name, chain=chain, key=key or name.encode())


def planned(connection, wanted: RowFilter = ALL, *, alike_once: bool = True):
    plan = MarkPlan()
    plan_marks(connection, plan, wanted, spacing=Spacing(0.0, together=True), alike_once=alike_once)
    return [one for one in (SHARED, OTHER) if plan.ttl_s(one)]


@pytest.fixture
def journal(tmp_path):
    connection = open_journal(tmp_path / "journal.sqlite")
    yield connection
    connection.close()


def finish(connection, name: str) -> None:
    connection.execute(
        "INSERT INTO results (row, ok, head) SELECT row, 1, x'' FROM rows WHERE id = ?", (name,)
    )


def test_rows_that_are_finished_share_nothing_any_more(journal):
    index(journal, *(row(name, SHARED) for name in "abc"))
    assert planned(journal) == [SHARED]
    finish(journal, "a")
    assert planned(journal) == [SHARED]
    finish(journal, "b")
    assert planned(journal) == []


def test_of_equal_requests_one_is_sent_and_so_counts(journal):
    index(journal, *(row(name, SHARED, key=b"same") for name in "abc"))
    assert planned(journal) == []
    # Without a response cache each of them is sent.
    assert planned(journal, alike_once=False) == [SHARED]


def test_rows_beyond_the_limit_do_not_count(journal):
    index(journal, *(row(name, SHARED) for name in "abc"))
    assert planned(journal, RowFilter(limit=1)) == []


def test_rows_are_grouped_so_that_those_that_share_most_stand_together(journal):
    index(
        journal,
        row("a", SHARED, OTHER),
        row("b", SHARED),
        row("c"),
        row("d", SHARED, OTHER),
        row("e", OTHER),
    )
    assert planned(journal) == [SHARED, OTHER]
    groups = dict(
        journal.execute(
            "SELECT r.id, g.sort FROM rows r JOIN temp.row_groups g ON g.chain = r.chain"
        ).fetchall()
    )
    assert groups == {"a": SHARED + OTHER, "d": SHARED + OTHER, "b": SHARED, "e": OTHER}
    ends = journal.execute("SELECT DISTINCT beginning FROM temp.row_groups").fetchall()
    assert {end for (end,) in ends} == {SHARED, OTHER}


def test_a_beginning_that_is_not_kept_groups_no_rows(journal):
    index(journal, row("a", SHARED), row("b", OTHER))
    assert planned(journal) == []
    found = journal.execute("SELECT sort, beginning FROM temp.row_groups").fetchall()
    assert found == [(None, None)] * 2
