"""Under shared caps the run's hold is a purse's: the pen moves money out of it into
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


def pen_with(path: Path, taken: int) -> tuple[LedgerWriter, sqlite3.Connection]:
    """A pen whose purse has taken so much out of the caps, and the purse's own
    connection.
    """
    pen = LedgerWriter.open(path, ENTRY, purse=True)
    pen._connection.execute("PRAGMA synchronous=OFF")
    purse = sqlite3.connect(path, isolation_level=None)
    purse.execute(ADD_HOLD, ("run-1", DAY, taken))
    return pen, purse


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
def test_whatever_it_writes_and_whenever_the_sum_stays_what_the_purse_has_taken(
    tmp_path_factory, attempts
):
    taken = sum(worst for worst, *_ in attempts) + 5
    pen, purse = pen_with(tmp_path_factory.mktemp("ledger") / "spend.sqlite", taken)
    expected = 0
    for number, (worst, share, state, flush) in enumerate(attempts, 1):
        cost = round(worst * share)
        pen.apply([intent(number, worst=worst)], [])
        assert sum(money(purse)) == taken
        pen.apply([], [outcome(number, state, cost=cost, worst=worst)])
        expected += {
            AttemptState.ANSWERED: cost,
            AttemptState.FAILED: 0,
            AttemptState.UNKNOWN: worst,
        }[state]
        if flush:
            pen.flush()
            assert money(purse)[0] == expected
        assert sum(money(purse)) == taken
    pen.close()
    assert money(purse) == (expected, 0), "the purse has let go by then"
    purse.close()


def test_at_the_end_only_what_has_no_outcome_stays_held(tmp_path: Path):
    pen, purse = pen_with(tmp_path / "spend.sqlite", 1000)
    pen.apply([intent(1, worst=100), intent(2, worst=30)], [outcome(1, cost=7)])
    pen.close()
    assert money(purse) == (7, 30)
    purse.close()


def test_what_cost_more_than_was_held_still_counts_in_full(tmp_path: Path):
    pen, purse = pen_with(tmp_path / "spend.sqlite", 100)
    pen.apply([intent(1, worst=100)], [outcome(1, cost=130)])
    pen.flush()
    assert money(purse) == (130, 0)
    pen.close()
    purse.close()
