"""Marks are planned by the rows that are still to be sent."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from claudebatch.engine.mark_rows import plan_marks
from claudebatch.layers.prompt_caching.chains import (
    ChainRows,
    Link,
    chain_of,
    shared_beginnings,
)
from claudebatch.layers.prompt_caching.mark_plan import (
    HOUR_S,
    MINUTES_S,
    MarkPlan,
    Spacing,
    all_kept,
)
from claudebatch.storage.journal import RowFilter, open_journal
from claudebatch.storage.journal.beginnings import row_groups
from claudebatch.storage.journal.planned_rows import begin_plan, look_up_kept, note_kept
from claudebatch.storage.journal.roads import set_roads
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


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from([SHARED, OTHER]), st.sampled_from([0, MINUTES_S, HOUR_S])),
            min_size=1,
            max_size=2,
            unique_by=lambda link: link[0],
        ),
        min_size=1,
        max_size=9,
    )
)
@example([[(SHARED, MINUTES_S)]] * 3 + [[(SHARED, HOUR_S)]] * 2)
@example([[(SHARED, MINUTES_S)]] * 3 + [[(SHARED, HOUR_S)]])
@example([[(SHARED, MINUTES_S)], [(SHARED, HOUR_S)]])
@example([[(SHARED, 0)]] * 3 + [[(SHARED, MINUTES_S)]])
@example([[(SHARED, HOUR_S), (OTHER, MINUTES_S)], [(SHARED, MINUTES_S), (OTHER, MINUTES_S)]])
def test_plan_and_estimate_count_the_same_rows_whatever_times_they_ask_for(chains):
    plan, spacing = MarkPlan(), Spacing(0.0, together=True)
    rows = [
        record(f"{n}")._replace(
            id=f"{n}",
            key=b"%d" % n,
            chain=chain_of(Link(digest, 600, own) for digest, own in chain),
        )
        for n, chain in enumerate(chains)
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(open_journal(Path(folder) / "journal.sqlite")) as connection,
    ):
        index(connection, *rows)
        plan_marks(connection, plan, ALL, spacing=spacing, alike_once=True)
        set_roads(connection, "batch", of_rules={}, share=True)
        begin_plan(connection)
        groups = (ChainRows(*group) for group in row_groups(connection))
        note_kept(connection, all_kept(shared_beginnings(groups), spacing))
        known = look_up_kept(connection, [SHARED, OTHER])
    # What one row marks for itself groups nothing.
    kept = {digest: told for digest, told in known.items() if told[1] > 1}
    assert {
        one: (plan.ttl_s(one), plan.rows(one)) for one in (SHARED, OTHER) if plan.ttl_s(one)
    } == kept
    assert len(plan) == len(kept)
