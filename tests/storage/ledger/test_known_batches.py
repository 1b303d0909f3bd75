"""Batches of which it is not known whether they were made, in the ledger."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from claudebatch.storage.journal import open_journal
from claudebatch.storage.journal.batches import (
    BatchRow,
    BatchState,
    begin_batch,
    note_ready,
    undo_building,
)
from claudebatch.storage.ledger.known_batches import (
    batch_durations,
    batch_lines,
    note_perhaps_made,
    queued_batches,
    remember_batch,
)
from claudebatch.storage.ledger.schema import open_ledger

READY = BatchRow(1, "n" * 16, BatchState.READY, 20, 5000, 1_000)
MADE = replace(READY, state=BatchState.MADE, id="msgbatch_1", created_ms=2_000, expires_ms=9_000)


def seen(ledger: Path) -> list[tuple[str, str | None, int]]:
    return [(line.id, line.state, line.number) for line in batch_lines(ledger)]


def test_each_is_there_once_from_its_intent_to_its_end(tmp_path: Path) -> None:
    ledger = tmp_path / "spend.sqlite"
    remember_batch(ledger, "run", READY)
    assert seen(ledger) == [("", "perhaps made", 1)]
    remember_batch(ledger, "run", MADE)
    assert seen(ledger) == [("msgbatch_1", "open", 1)]
    remember_batch(ledger, "run", replace(READY, batch=2))
    assert seen(ledger) == [("", "perhaps made", 2), ("msgbatch_1", "open", 1)]
    remember_batch(ledger, "run", replace(READY, batch=2, state=BatchState.NOT_MADE))
    assert seen(ledger) == [("msgbatch_1", "open", 1)]


def test_in_the_queue_are_those_of_others_that_have_not_expired(tmp_path: Path) -> None:
    ledger = tmp_path / "spend.sqlite"
    remember_batch(ledger, "run", MADE)
    remember_batch(ledger, "other", replace(MADE, id="msgbatch_2", requests=30))
    remember_batch(ledger, "other", replace(MADE, id="msgbatch_3", state=BatchState.COLLECTED))
    remember_batch(ledger, "other", replace(READY, batch=4))
    assert queued_batches(ledger, but="run", now_ms=8_999) == {"msgbatch_2": 30}
    assert queued_batches(ledger, but="run", now_ms=9_000) == {}
    assert queued_batches(tmp_path, but="run", now_ms=0) == {}, "no ledger"


def test_queue_and_history_are_those_of_one_address(tmp_path: Path) -> None:
    ledger = tmp_path / "spend.sqlite"
    remember_batch(ledger, "run", MADE)
    ended = replace(MADE, id="msgbatch_2", state=BatchState.COLLECTED, ended_ms=62_000)
    remember_batch(ledger, "run", ended, "https://gateway")
    remember_batch(ledger, "run", replace(MADE, id="msgbatch_3"), "https://gateway")
    assert queued_batches(ledger, but="other", now_ms=0) == {"msgbatch_1": 20}
    there = queued_batches(ledger, but="other", now_ms=0, address="https://gateway")
    assert there == {"msgbatch_3": 20}
    assert batch_durations(ledger) == []
    assert batch_durations(ledger, address="https://gateway") == [(20, 60.0)]


def test_a_ledger_from_before_addresses_has_those_of_the_api_itself(tmp_path: Path) -> None:
    ledger = tmp_path / "spend.sqlite"
    remember_batch(ledger, "run", MADE)
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("ALTER TABLE batches DROP COLUMN address")
        connection.commit()
    remember_batch(ledger, "run", replace(MADE, id="msgbatch_2"), "https://gateway")
    assert queued_batches(ledger, but="other", now_ms=0) == {"msgbatch_1": 20}


def test_what_a_crash_has_left_is_put_right_by_the_journal(tmp_path: Path) -> None:
    ledger = tmp_path / "spend.sqlite"
    with closing(open_journal(tmp_path / "journal.sqlite")) as journal:
        half = begin_batch(journal, "n" * 16, 0)
        whole = begin_batch(journal, "m" * 16, 0)
        note_ready(journal, whole, requests=7, worst=1, now_ms=0)
        # The first died before its last commit, the second before its note here.
        remember_batch(ledger, "run", replace(READY, batch=half))
        undo_building(journal)
        with closing(open_ledger(ledger)) as connection:
            note_perhaps_made(connection, "run", journal)
    assert seen(ledger) == [("", "perhaps made", whole)]
    with closing(sqlite3.connect(ledger)) as connection:
        assert connection.execute("SELECT requests FROM batches").fetchall() == [(7,)]
