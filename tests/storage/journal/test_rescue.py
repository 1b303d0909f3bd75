"""Answers that the journal could not take are not lost: they go into it when the run is
opened again.
"""

from __future__ import annotations

import base64
import errno
import os
from pathlib import Path

import pytest

from claudebatch.storage.journal import AttemptState, open_journal
from claudebatch.storage.journal.rescue import RESCUE, Rescue, absorb
from claudebatch.storage.journal.statements import write_intents
from tests.support.journals import intent, outcome

BODY = b'{"text":"caf\xc3\xa9 \\n"}'


@pytest.fixture
def journal(tmp_path: Path):
    connection = open_journal(tmp_path / "journal.sqlite")
    write_intents(connection, [intent(1), intent(2)])
    yield connection
    connection.close()


def states(journal) -> list[tuple[int, int, bytes | None]]:
    return journal.execute("SELECT attempt, state, body FROM attempts ORDER BY attempt").fetchall()


def test_what_is_saved_is_in_the_journal_after_the_next_opening(tmp_path, journal):
    rescue = Rescue(tmp_path, "run-1")
    assert rescue.save([outcome(2, cost=7, body=BODY)])
    rescue.close()
    assert absorb(tmp_path, "run-1", journal) == 1
    assert states(journal) == [(1, AttemptState.SENT, None), (2, AttemptState.ANSWERED, BODY)]
    assert not (tmp_path / RESCUE).exists()
    assert absorb(tmp_path, "run-1", journal) == 0


def test_what_version_0_1_0_saved_is_taken_over(tmp_path, journal):
    line = (
        b'[1, 7, true, 10, 1, 2, 3, 20, 4, "standard", "us", null, "p1", 50, 200, "req_1", null,'
        b' "%b", false, 2, [2, 1, "claude-haiku-5-5", 9, 5, "2026-11-22", "x", 9, 8, 99, "a"]]'
    )
    saved = line % base64.b64encode(BODY)
    (tmp_path / RESCUE).write_bytes(b"run-1\n" + saved + b"\n" + bytes(100))
    assert absorb(tmp_path, "run-1", journal) == 1
    assert states(journal)[1] == (2, AttemptState.ANSWERED, BODY)
    columns = "cost, input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens"
    columns += ", output_tokens, web_searches, tier, geo, request_id"
    found = journal.execute(f"SELECT {columns} FROM attempts WHERE attempt = 2").fetchone()
    assert found == (7, 10, 1, 2, 3, 20, 4, "standard", "us", "req_1")


def test_what_belongs_to_a_run_that_was_started_over_is_dropped(tmp_path, journal):
    rescue = Rescue(tmp_path, "run-1")
    rescue.save([outcome(2)])
    rescue.close()
    assert absorb(tmp_path, "run-2", journal) == 0
    assert [state for _, state, _ in states(journal)] == [AttemptState.SENT, AttemptState.SENT]
    assert not (tmp_path / RESCUE).exists()


def test_a_session_that_needs_no_rescue_leaves_nothing(tmp_path):
    rescue = Rescue(tmp_path, "run-1")
    assert (tmp_path / RESCUE).stat().st_size >= 1 << 20, "the room is taken beforehand"
    assert (tmp_path / RESCUE).stat().st_mode & 0o777 == 0o600
    rescue.close()
    assert not (tmp_path / RESCUE).exists()


def test_a_crash_leaves_room_without_content_and_that_is_nothing(tmp_path, journal):
    Rescue(tmp_path, "run-1")
    assert absorb(tmp_path, "run-1", journal) == 0
    assert [state for _, state, _ in states(journal)] == [AttemptState.SENT, AttemptState.SENT]


def test_a_line_that_is_torn_or_planted_is_left_out_and_the_others_count(tmp_path, journal):
    rescue = Rescue(tmp_path, "run-1")
    rescue.save([outcome(1), outcome(2)])
    rescue.close()
    data = (tmp_path / RESCUE).read_bytes().partition(b"\0")[0]
    (tmp_path / RESCUE).write_bytes(data[:-5] + b"\n{}\n[1]\n")
    assert absorb(tmp_path, "run-1", journal) == 1
    assert [state for _, state, _ in states(journal)] == [AttemptState.ANSWERED, AttemptState.SENT]


def test_where_not_even_the_room_can_be_taken_the_run_goes_on(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    monkeypatch.setattr(os, "pwrite", full)
    rescue = Rescue(tmp_path, "run-1")
    assert not rescue.save([outcome(1)])
    rescue.close()
