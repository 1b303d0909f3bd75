"""An attempt counts for the day on which its money was set aside, in the journal and in
the ledger alike.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from claudebatch.core.domain import Hold
from claudebatch.layers.record.journal_log import JournalLog
from claudebatch.storage.journal import Journal, open_journal
from claudebatch.storage.ledger import LedgerWriter, RunEntry, open_ledger
from tests.support.journals import Lines
from tests.support.scripted import make_call, make_reply

BEFORE, AFTER = "2026-11-30", "2026-12-01"
MIDNIGHT = datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hold", "day"), [(Hold(900, 900, BEFORE), BEFORE), (Hold(900, 900), AFTER), (None, AFTER)]
)
@pytest.mark.parametrize("answered", [True, False])
async def test_held_before_midnight_and_sent_after_it_counts_for_the_day_of_the_hold(
    tmp_path, hold, day, answered
):
    connection = open_journal(tmp_path / "journal.sqlite")
    ledger = LedgerWriter.open(
        tmp_path / "spend.sqlite", RunEntry("me", "out", "now"), shared_budget=True
    )
    journal = Journal(connection, output=Lines(), ledger=ledger, on_failure=print)
    log = JournalLog(journal, wall=lambda: MIDNIGHT)
    call = make_call()
    attempt = await log.begin(call if hold is None else call.under(hold), 900)
    if answered:
        await log.answered(attempt, make_reply(cost=500))
    else:
        await log.failed(attempt, "timeout", unknown=True)
    await journal.close()
    ledger.close()
    assert connection.execute("SELECT day FROM attempts").fetchall() == [(day,)]
    spend = open_ledger(tmp_path / "spend.sqlite")
    assert spend.execute("SELECT day, spent + unknown FROM spend").fetchall() == [
        (day, 500 if answered else 900)
    ]
    spend.close()
    connection.close()
