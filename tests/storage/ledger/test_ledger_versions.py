"""The ledger's file: an older form becomes the present one and leaves a copy, a newer
one is refused.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from claudebatch.core.errors import ExitCode, StorageError
from claudebatch.storage.ledger import SpendReader, open_ledger, read_ledger
from claudebatch.storage.ledger.run_index import RunRegister
from claudebatch.storage.ledger.tables import VERSION

# As the last version without a number made it.
_UNVERSIONED = """
CREATE TABLE runs (run TEXT PRIMARY KEY, output TEXT NOT NULL, started TEXT NOT NULL);
CREATE TABLE spend (
  run TEXT NOT NULL, day TEXT NOT NULL, model TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  answers INTEGER NOT NULL DEFAULT 0, input_tokens INTEGER NOT NULL DEFAULT 0,
  cache_write_tokens INTEGER NOT NULL DEFAULT 0, cache_read_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0, spent INTEGER NOT NULL DEFAULT 0,
  held INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, day, model)) WITHOUT ROWID;
INSERT INTO runs VALUES ('r1', '/data/out.jsonl', '2026-11-20T10:00:00+00:00'),
  ('r2', 'x.jsonl', '2026-11-21T10:00:00');
INSERT INTO spend VALUES ('r1', '2026-11-20', 'claude-haiku-5-5', 5, 4, 100, 20, 3, 40, 700, 0),
  ('r1', '2026-11-20', 'claude-opus-5-5', 1, 1, 10, 0, 0, 4, 90, 0),
  ('r2', '2026-11-21', 'claude-haiku-5-5', 2, 1, 50, 0, 0, 8, 60, 500),
  ('r2', '2026-11-21', 'claude-opus-5-5', 1, 0, 0, 0, 0, 0, 0, 30);
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spend.sqlite"


@pytest.fixture
def old(path: Path) -> Path:
    path.parent.mkdir(mode=0o700)
    connection = sqlite3.connect(path)
    connection.executescript(_UNVERSIONED)
    connection.close()
    path.chmod(0o600)
    return path


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    found = {
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    }
    connection.close()
    return found


def views(path: Path) -> dict[str, str]:
    connection = sqlite3.connect(path)
    found = dict(
        connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'view'").fetchall()
    )
    connection.close()
    return found


def test_the_form_without_a_version_keeps_its_runs_its_sums_and_what_it_held(old: Path):
    lines = {line.label: line for line in SpendReader(old).by("run")}
    one, other = lines["r1"], lines["r2"]
    assert (one.attempts, one.answers, one.spent, one.unknown, one.held) == (6, 5, 790, 0, 0)
    assert (
        one.input_tokens,
        one.usage.cache_creation_input_tokens,
        one.usage.cache_read_input_tokens,
        one.output_tokens,
    ) == (
        110,
        20,
        3,
        44,
    )
    assert (other.spent, other.held) == (60, 530), (
        "in flight or unknown, nobody can tell: it goes on counting"
    )
    runs = {run.run: run for run in RunRegister(old).runs()}
    assert (runs["r1"].state, runs["r1"].folder) == ("finished", "/data/out.jsonl.claudebatch")
    assert (runs["r2"].state, runs["r2"].folder) == ("died", "")


def test_before_an_older_form_is_changed_a_copy_is_put_aside(old: Path):
    open_ledger(old).close()
    copy = old.with_name("spend.sqlite.v0.bak")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert tables(copy) == {"runs", "spend"}
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT sum(spent), sum(held) FROM spend").fetchone() == (850, 530)
    connection.close()
    assert "old_spend" not in tables(old)
    assert not list(old.parent.glob("*.new"))


def test_a_change_that_fails_half_way_leaves_the_old_form_as_it_was(old: Path):
    connection = sqlite3.connect(old)
    connection.execute("CREATE TABLE holds (something TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(StorageError):
        open_ledger(old)
    connection = sqlite3.connect(old)
    assert connection.execute("SELECT sum(held) FROM spend").fetchone() == (530,)
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()


def test_several_processes_that_meet_an_older_form_change_it_once(old: Path):
    failures: list[BaseException] = []

    def meet() -> None:
        try:
            open_ledger(old).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=meet) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(line.spent for line in SpendReader(old).by("run")) == 850


def test_views_of_another_form_are_made_anew_and_nothing_else_is_touched(path: Path):
    connection = open_ledger(path)
    fresh = views(path)
    for view in ("v_unknown", "v_spend_by_run", "v_spend_by_day"):
        connection.execute(f"DROP VIEW {view}")
    connection.execute("CREATE VIEW v_spend_by_run AS SELECT run FROM spend")
    connection.execute("CREATE VIEW mine AS SELECT run FROM v_spend_by_run")
    connection.execute("INSERT INTO holds VALUES ('r', '2026-11-22', 7)")
    connection.close()
    open_ledger(path).close()
    assert views(path) == {**fresh, "mine": "CREATE VIEW mine AS SELECT run FROM v_spend_by_run"}
    after = path.read_bytes()
    open_ledger(path).close()
    assert path.read_bytes() == after, "views that are as they should be are left alone"
    assert [line.held for line in SpendReader(path).by("run")] == [7]
    assert not list(path.parent.glob("*.bak")), "views hold nothing that a copy could save"


@pytest.mark.parametrize(
    "look", [open_ledger, read_ledger, lambda path: SpendReader(path).by("run")]
)
def test_a_ledger_from_a_newer_version_is_refused_and_left_alone(path: Path, look):
    open_ledger(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="newer claudebatch") as caught:
        look(path)
    assert (caught.value.fix, caught.value.exit_code) == ("update claudebatch", ExitCode.LOCAL_IO)
    assert path.read_bytes() == before


def test_a_sum_that_does_not_fit_is_refused_and_never_rounded(path: Path):
    connection = open_ledger(path)
    add = "INSERT INTO spend (run, day, model, rule, spent) VALUES ('r', 'd', 'm', '', ?)"
    more = f"{add} ON CONFLICT DO UPDATE SET spent = spent + excluded.spent"
    connection.execute(add, (2**63 - 1,))
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(more, (1,))
    assert connection.execute("SELECT spent FROM spend").fetchone() == (2**63 - 1,)
    connection.execute(
        "INSERT INTO spend (run, day, model, rule, spent) VALUES ('s', 'd', 'm', '', 2)"
    )
    connection.close()
    (line,) = SpendReader(path).by("model")
    assert line.spent == 2**63 + 1, "sums over lines are made where they have room"
