"""Under shared caps the run's hold is a budget's: the writer moves money out of it into
spend, and never makes any.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.storage.journal.schema import AttemptState
from claudebatch.storage.ledger import LedgerWriter, RunEntry
from claudebatch.storage.ledger.tables import ADD_HOLD
from tests.support.journals import intent, outcome

DAY = "2026-11-22"
ENTRY = RunEntry("run-1", "out.jsonl", "2026-11-22T12:00:00+00:00")


def writer_with(path: Path, taken: int) -> tuple[LedgerWriter, sqlite3.Connection]:
    """A writer whose budget has taken so much out of the caps, and the budget's own
    connection.
    """
    writer = LedgerWriter.open(path, ENTRY, shared_budget=True)
    writer._connection.execute("PRAGMA synchronous=OFF")
    budget_store = sqlite3.connect(path, isolation_level=None)
    budget_store.execute(ADD_HOLD, ("run-1", DAY, taken))
    return writer, budget_store


def money(connection: sqlite3.Connection) -> tuple[int, int]:
    """(spent or unknown, held)."""
    (used,) = connection.execute("SELECT coalesce(sum(spent + unknown), 0) FROM spend").fetchone()
    (held,) = connection.execute("SELECT coalesce(sum(amount), 0) FROM holds").fetchone()
    return used, held


@settings(max_examples=30, deadline=None)
@given(
    attempts=st.lists(
        st.tuples(
            st.integers(0, 1000),
            st.floats(0, 1),
            st.sampled_from([AttemptState.ANSWERED, AttemptState.FAILED, AttemptState.UNKNOWN]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_whatever_it_writes_and_whenever_the_sum_stays_what_the_budget_has_taken(
    tmp_path_factory, attempts
):
    taken = sum(worst for worst, *_ in attempts) + 5
    writer, budget_store = writer_with(tmp_path_factory.mktemp("ledger") / "spend.sqlite", taken)
    expected = 0
    for number, (worst, share, state, flush) in enumerate(attempts, 1):
        cost = round(worst * share)
        writer.apply([intent(number, worst=worst)], [])
        assert sum(money(budget_store)) == taken
        writer.apply([], [outcome(number, state, cost=cost, worst=worst)])
        expected += {
            AttemptState.ANSWERED: cost,
            AttemptState.FAILED: 0,
            AttemptState.UNKNOWN: worst,
        }[state]
        if flush:
            writer.flush()
            assert money(budget_store)[0] == expected
        assert sum(money(budget_store)) == taken
    writer.close()
    assert money(budget_store) == (expected, 0), "the budget has let go by then"
    budget_store.close()


def test_at_the_end_only_what_has_no_outcome_stays_held(tmp_path: Path):
    writer, budget_store = writer_with(tmp_path / "spend.sqlite", 1000)
    writer.apply([intent(1, worst=100), intent(2, worst=30)], [outcome(1, cost=7)])
    writer.close()
    assert money(budget_store) == (7, 30)
    budget_store.close()


def test_what_cost_more_than_was_held_still_counts_in_full(tmp_path: Path):
    writer, budget_store = writer_with(tmp_path / "spend.sqlite", 100)
    writer.apply([intent(1, worst=100)], [outcome(1, cost=130)])
    writer.flush()
    assert money(budget_store) == (130, 0)
    writer.close()
    budget_store.close()
