"""Which answers of earlier runs an estimate gets to see."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from claudebatch.core.errors import StorageError
from claudebatch.storage.columns import LEDGER_COLUMNS, names
from claudebatch.storage.journal.schema import AttemptState
from claudebatch.storage.ledger import open_ledger
from claudebatch.storage.ledger.past_answers import past_answers
from claudebatch.storage.ledger.tables import ADD_ATTEMPT


@pytest.fixture
def ledger(tmp_path: Path):
    connection = open_ledger(tmp_path / "spend.sqlite")
    yield connection
    connection.close()


def add_run(
    ledger: sqlite3.Connection,
    run: str,
    count: int,
    *,
    input: str = "",
    tag: str = "",
    first: int = 1,
) -> None:
    """A run of *count* answers; each has its number as its output."""
    ledger.execute(
        "INSERT INTO runs (run, output, started, input, tag) VALUES (?, 'o', ?, ?, ?)",
        (run, run, input, tag),
    )
    add_attempts(ledger, run, range(first, first + count))


def add_attempts(
    ledger: sqlite3.Connection, run: str, numbers, *, state: AttemptState = AttemptState.ANSWERED
) -> None:
    values = dict.fromkeys(names(LEDGER_COLUMNS), 0) | {
        "id": "x",
        "day": "2026-11-22",
        "model": "m",
        "rule": "r",
        "price_version": "",
    }
    values |= {"state": int(state), "input_tokens": 7, "geo": "us"}
    rows = [tuple({**values, "attempt": n, "output_tokens": n}.values()) for n in numbers]
    with ledger:
        ledger.execute("BEGIN")
        ledger.executemany(ADD_ATTEMPT, [(run, *row) for row in rows])


def outputs(tmp_path: Path, **like: str) -> list[tuple[int, int]]:
    return [
        (far, answer.usage.output_tokens)
        for far, answer in past_answers(tmp_path / "spend.sqlite", **like)
    ]


def test_there_is_nothing_to_see_where_nothing_was_run(tmp_path):
    assert outputs(tmp_path) == []


def test_the_newest_runs_come_first_and_columns_go_where_they_belong(ledger, tmp_path):
    add_run(ledger, "2026-11-20", 2, first=10)
    add_run(ledger, "2026-11-21", 2, first=20)
    assert outputs(tmp_path) == [(2, 20), (2, 21), (2, 10), (2, 11)]
    _, answer = next(past_answers(tmp_path / "spend.sqlite"))
    assert (answer.model, answer.rule) == ("m", "r")
    assert (answer.usage.input_tokens, answer.usage.inference_geo) == (7, "us")


def test_runs_of_the_same_input_come_before_those_of_the_same_tag_and_those_before_all_others(
    ledger, tmp_path
):
    add_run(ledger, "2026-11-18", 1, first=1, input="a.jsonl")
    add_run(ledger, "2026-11-19", 1, first=2, tag="nightly")
    add_run(ledger, "2026-11-20", 1, first=3, input="b.jsonl")
    assert outputs(tmp_path, input_name="a.jsonl", tag="nightly") == [(0, 1), (1, 2), (2, 3)]
    assert [far for far, _ in outputs(tmp_path)] == [2, 2, 2], (
        "runs without a tag are not alike for that"
    )


def test_only_answers_count(ledger, tmp_path):
    add_run(ledger, "2026-11-20", 3)
    for number, state in enumerate(
        (AttemptState.SENT, AttemptState.FAILED, AttemptState.UNKNOWN, AttemptState.PARTIAL)
    ):
        add_attempts(ledger, "2026-11-20", [50 + number], state=state)
    assert [output for _, output in outputs(tmp_path)] == [1, 2, 3]


def test_of_a_long_run_the_sample_is_taken_from_all_over_it(ledger, tmp_path):
    add_run(ledger, "2026-11-20", 30_000)
    found = [output for _, output in outputs(tmp_path)]
    assert len(found) == len(set(found)) == 4000
    by_tenth = Counter((number - 1) // 3000 for number in found)
    assert set(by_tenth) == set(range(10))
    assert max(by_tenth.values()) <= 1.3 * min(by_tenth.values())
    assert {1, 30_000} <= set(found)


def test_however_much_there_is_only_so_much_is_read(ledger, tmp_path):
    for day in range(10, 15):
        add_run(ledger, f"2026-11-{day}", 4500)
    assert len(outputs(tmp_path)) == 12_000


def test_a_file_that_is_no_ledger_is_an_error_that_says_which(tmp_path):
    (tmp_path / "spend.sqlite").write_bytes(b"no database" * 200)
    with pytest.raises(StorageError, match="spend ledger cannot be read"):
        outputs(tmp_path)


def test_nobody_waits_for_a_ledger_that_is_being_written(ledger, tmp_path):
    add_run(ledger, "2026-11-20", 3)
    ledger.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match="locked"):
        outputs(tmp_path)
    ledger.execute("ROLLBACK")
    assert len(outputs(tmp_path)) == 3


def test_a_ledger_of_another_form_is_left_as_it_is(ledger, tmp_path):
    add_run(ledger, "2026-11-20", 3)
    for version in (0, 99):
        ledger.execute(f"PRAGMA user_version={version}")
        before = sorted(tmp_path.iterdir())
        assert outputs(tmp_path) == []
        assert sorted(tmp_path.iterdir()) == before
