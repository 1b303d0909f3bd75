"""What is damaged in a journal comes back as it was written, or is given up in the
open; nothing costs less after.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from claudebatch.storage.journal import AttemptState, open_journal
from claudebatch.storage.journal.audit import audit
from claudebatch.storage.journal.checksums import ATTEMPT_FIELDS, RESULT_FIELDS
from claudebatch.storage.journal.queries import result_lines, totals, unshown_answers
from claudebatch.storage.journal.repair import restore
from tests.support.small_journal import a_small_run


@pytest.fixture
async def journal(tmp_path: Path):
    await a_small_run(tmp_path / "journal.sqlite")
    connection = open_journal(tmp_path / "journal.sqlite")
    yield connection
    connection.close()


class Copies:
    """Copies in dictionaries; nothing but what is put there."""

    def __init__(
        self,
        *,
        lines: Mapping[int, bytes] | None = None,
        messages: Mapping[int, bytes] | None = None,
        records: Mapping[int, Mapping[str, object]] | None = None,
    ) -> None:
        self._lines, self._messages, self._records = lines or {}, messages or {}, records or {}

    def lines(self, row: int) -> Sequence[bytes]:
        return [self._lines[row]] if row in self._lines else []

    def messages(self, row: int) -> Sequence[bytes]:
        return [self._messages[row]] if row in self._messages else []

    def record(self, attempt: int) -> Mapping[str, object] | None:
        return self._records.get(attempt)

    def records(self) -> Sequence[Mapping[str, object]]:
        return list(self._records.values())


def content(journal: sqlite3.Connection) -> list[object]:
    """All answers and amounts."""
    attempts = f"SELECT {', '.join(ATTEMPT_FIELDS)}, seal, body FROM attempts ORDER BY attempt"
    results = f"SELECT n, {', '.join(RESULT_FIELDS)}, seal FROM results ORDER BY n"
    return [journal.execute(query).fetchall() for query in (attempts, results)]


def record(journal: sqlite3.Connection, attempt: int) -> dict[str, object]:
    """What the ledger would say."""
    names = [name for name in ATTEMPT_FIELDS if name not in ("simulated", "digest")]
    found = journal.execute(
        f"SELECT {', '.join(names)} FROM attempts WHERE attempt = ?", (attempt,)
    ).fetchone()
    return dict(zip(names, found, strict=True))


DAMAGE = [
    "UPDATE attempts SET cost = cost + 16384 WHERE attempt = 2",
    "UPDATE attempts SET model = replace(model, 'haiku', 'haiky') WHERE attempt = 2",
    "UPDATE attempts SET body = CAST(replace(CAST(body AS TEXT), '2000006', '2000007') AS BLOB) "
    "WHERE attempt = 2",
    "UPDATE results SET saved = saved + (1 << 40) WHERE row = 9",
    "UPDATE results SET body = CAST(replace(CAST(body AS TEXT), '9', '8') AS BLOB) WHERE row = 9",
]


@pytest.mark.parametrize("damage", DAMAGE)
async def test_without_a_copy_nothing_is_guessed_and_nothing_costs_less(
    journal: sqlite3.Connection, damage: str
):
    before = totals(journal).spent
    assert journal.execute(damage).rowcount == 1
    done = restore(journal, audit(journal), Copies())
    assert done.restored == 0
    assert done.lost or done.unsure, "it is given up in the open"
    assert totals(journal).spent >= before
    assert audit(journal).sound


async def test_an_answer_comes_back_only_from_a_copy_with_its_checksum(journal: sqlite3.Connection):
    journal.execute("UPDATE attempts SET body = x'0000' WHERE attempt IN (2, 3)")
    copies = Copies(messages={2: b'{"answer":2000006}', 3: b'{"answer":"edited"}'})
    done = restore(journal, audit(journal), copies)
    assert (done.restored, done.lost, done.unsure) == (1, [3], [])
    assert audit(journal).sound
    assert [row for (row,) in journal.execute("SELECT row FROM results ORDER BY n")] == [
        1,
        2,
        4,
        5,
        6,
        8,
        9,
    ]
    assert totals(journal).spent == 7 * 15, "a lost answer stays paid for"


async def test_all_rows_that_shared_a_lost_answer_are_asked_again(journal: sqlite3.Connection):
    journal.execute("UPDATE attempts SET body = NULL WHERE attempt = 1")
    assert sorted(restore(journal, audit(journal), Copies()).lost) == [1, 8]
    assert audit(journal).sound


async def test_the_line_of_any_row_that_shares_an_answer_brings_it_back(
    journal: sqlite3.Connection,
):
    before = content(journal)
    journal.execute("UPDATE attempts SET body = NULL WHERE attempt = 1")
    done = restore(journal, audit(journal), Copies(messages={8: b'{"answer":1000003}'}))
    assert (done.restored, done.lost) == (1, [])
    assert content(journal) == before


async def test_an_answer_whose_digest_is_gone_as_well_is_told_by_the_seal(
    journal: sqlite3.Connection,
):
    before = content(journal)
    journal.execute("UPDATE attempts SET body = NULL, digest = NULL WHERE attempt = 2")
    done = restore(journal, audit(journal), Copies(messages={2: b'{"answer":2000006}'}))
    assert (done.lost, done.unsure) == ([], [])
    assert content(journal) == before


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE attempts SET body = NULL, digest = NULL WHERE attempt = 2",
        "DELETE FROM attempts WHERE attempt = 2",
        "UPDATE results SET row = 999, ok = 1, saved = 5 WHERE row = 2",
    ],
)
async def test_a_result_that_stands_for_nothing_goes_and_its_row_is_asked_again(
    journal: sqlite3.Connection, damage
):
    records = {2: record(journal, 2)}
    journal.execute(damage)
    done = restore(journal, audit(journal), Copies(records=records))
    assert audit(journal).sound
    assert len(list(result_lines(journal, ordered=False))) == 7
    assert totals(journal).spent + totals(journal).unknown >= 7 * 15
    assert done.lost == ([] if "999" in damage else [2])


async def test_amounts_come_back_only_where_the_seal_confirms_them(journal: sqlite3.Connection):
    true = record(journal, 2)
    journal.execute("UPDATE attempts SET cost = 1, output_tokens = 0 WHERE attempt IN (2, 3)")
    copies = Copies(records={2: true, 3: record(journal, 3) | {"cost": 99}})
    done = restore(journal, audit(journal), copies)
    assert (done.restored, done.unsure) == (1, [3])
    assert record(journal, 2) == true
    assert record(journal, 3)["cost"] == 100, "its worst case: nobody knows what it was"
    assert audit(journal).sound


@pytest.mark.parametrize(
    "damage",
    [
        "cost = 0, worst = 1 << 20",
        "cost = 'much', worst = 300",
        "cost = 0, output_tokens = 'zz'",
        "cost = 0, model = x'ff'",
        "simulated = 1, cost = 1",
        "worst = -5, cost = 2",
    ],
)
async def test_a_request_of_which_nobody_knows_what_it_cost_never_costs_less(
    journal: sqlite3.Connection, damage: str
):
    before = totals(journal).spent
    copy = record(journal, 3)
    journal.execute(f"UPDATE attempts SET {damage} WHERE attempt = 3")
    assert restore(
        journal, audit(journal), Copies(records={3: copy | {"latency_ms": 1}})
    ).unsure == [3]
    assert totals(journal).spent >= before
    assert audit(journal).sound


@pytest.mark.parametrize(
    ("attempt", "state"), [(3, AttemptState.ANSWERED), (6, AttemptState.UNKNOWN)]
)
async def test_a_request_whose_state_nobody_knows_counts_at_its_most(
    journal: sqlite3.Connection, attempt: int, state: AttemptState
):
    copy = record(journal, attempt)
    journal.execute("UPDATE attempts SET state = 4, worst = -5 WHERE attempt = ?", (attempt,))
    copies = Copies(records={attempt: copy | {"worst": 300}})
    assert restore(journal, audit(journal), copies).unsure == [attempt]
    assert (record(journal, attempt)["state"], record(journal, attempt)["worst"]) == (state, 300)
    assert audit(journal).sound


async def test_what_the_ledger_knows_and_the_journal_does_not_stays_spent(
    journal: sqlite3.Connection,
):
    records = {number: record(journal, number) for number in range(1, 7)}
    before = totals(journal).spent
    journal.execute("DELETE FROM attempts WHERE attempt = 6 OR attempt = 5")
    journal.execute("DELETE FROM results WHERE row IN (5, 6)")
    assert restore(journal, audit(journal), Copies(records=records)).unsure == [5, 6]
    assert totals(journal).spent == before


async def test_a_result_comes_back_from_its_line_or_goes(journal: sqlite3.Connection):
    lines = dict(zip((1, 2, 3, 4, 5, 6, 8, 9), result_lines(journal, ordered=False), strict=True))
    journal.execute('UPDATE results SET head = CAST(\'{"id":"99"\' AS BLOB) WHERE row IN (2, 6, 8)')
    journal.execute("UPDATE results SET body = x'0000' WHERE row = 9")
    copies = Copies(lines={row: text for row, text in lines.items() if row in (6, 9)})
    done = restore(journal, audit(journal), copies)
    assert (done.restored, done.lost) == (2, [8]), "the answer to row 2 lies in its request"
    assert audit(journal).sound
    left = [row for (row,) in journal.execute("SELECT row FROM results ORDER BY n")]
    assert left == [1, 3, 4, 5, 6, 9]


async def test_an_answer_of_which_nobody_knows_the_row_becomes_no_other_rows(
    journal: sqlite3.Connection,
):
    journal.execute("DELETE FROM results WHERE row IN (2, 3)")  # a crash came before their lines
    journal.execute("UPDATE attempts SET row = 10, cost = 1, latency_ms = 77 WHERE attempt = 2")
    before = totals(journal).spent
    assert restore(journal, audit(journal), Copies()).unsure == [2]
    assert unshown_answers(journal) == [(3, 3)], "row 10 has never been asked"
    assert totals(journal).spent >= before
