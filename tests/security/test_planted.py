"""What somebody else put among our files runs no code, reaches no other file, and lies
to nobody unseen.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest

from claudebatch.core.errors import StorageError
from claudebatch.storage.run_meta import read_note
from tests.e2e.world import prompts, query

RUN = ("run", "in.jsonl", "-o", "out.jsonl")


@pytest.fixture
def ran(world, api):
    """A world in which a run has ended."""
    world.write("in.jsonl", prompts(3))
    assert world.claudebatch(*RUN).code == 0
    return world


def spoil(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def journal(world):
    return world.path("out.jsonl.claudebatch/journal.sqlite")


HOSTILE_SQL = [
    "CREATE TRIGGER evil AFTER INSERT ON meta BEGIN SELECT load_extension('/tmp/evil.so'); END",
    "CREATE TRIGGER evil AFTER INSERT ON attempts BEGIN SELECT writefile('owned', 'x'); END",
    "CREATE TRIGGER evil BEFORE UPDATE ON attempts BEGIN SELECT readfile('/etc/passwd'); END",
    "CREATE VIEW evil AS SELECT load_extension('x')",
]


@pytest.mark.parametrize("sql", HOSTILE_SQL)
def test_code_in_a_planted_journal_does_not_run(ran, sql):
    spoil(journal(ran), sql)
    ran.write("in.jsonl", prompts(5))
    done = ran.claudebatch(*RUN)
    assert done.code in (0, 6), done.err
    assert "Traceback" not in done.err
    assert not ran.path("owned").exists()


KEYS = (
    "lanes",
    "models",
    "bad_rows",
    "run_id",
    "simulated",
    "input",
    "started",
    "ordered",
    "agreed",
    "expected",
)
NONSENSE = ("{", "[1,2]", "", b"\xff", "1e999", '{"a":{}}', "-1", "[" * 9999, 7)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: repr(value)[:12])
def test_a_planted_note_of_a_run_is_an_error_of_ours(tmp_path, key, value):
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value)")
        connection.execute("INSERT INTO meta VALUES (?, ?)", (key, value))
        with pytest.raises(StorageError, match=key) as caught:
            read_note(connection, tmp_path, key)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("key", "value"), [("lanes", "'null'"), ("models", "'[1]'"), ("run_id", "'-1'")]
)
def test_a_run_with_planted_notes_ends_with_6_and_starts_over_with_fresh(ran, key, value):
    spoil(journal(ran), f"INSERT OR REPLACE INTO meta VALUES ('{key}', {value})")
    done = ran.claudebatch(*RUN)
    assert done.code == 6, done.err
    assert f'note "{key}" is damaged' in done.err
    assert "--fresh" in done.err
    assert ran.claudebatch(*RUN, "--fresh").code == 0


def test_the_ledger_cannot_send_a_purge_anywhere(ran):
    precious = ran.folder / "precious"
    precious.mkdir(0o700)
    for name in ("journal.sqlite", "lock", "input.jsonl", "letters.txt"):
        (precious / name).write_bytes(
            journal(ran).read_bytes() if "journal" in name else b"precious"
        )
    other = ran.folder / "precious.claudebatch"
    other.mkdir(0o700)
    (other / "letters.txt").write_bytes(b"precious")
    ((run,),) = query(ran.home / "state/spend.sqlite", "SELECT run FROM runs")
    for place in (precious, ran.home, ran.work, ran.work / ".." / "precious", "/", other):
        spoil(ran.home / "state/spend.sqlite", f"UPDATE runs SET folder = '{place}'")
        done = ran.claudebatch("runs", "purge", run, "--yes")
        assert done.code == (0 if place == other else 6), done.err
    assert len([*precious.iterdir()]) == 4
    assert (other / "letters.txt").read_bytes() == b"precious"
    assert ran.path("out.jsonl").exists()


def test_a_purge_removes_everything_of_a_run_but_its_results(ran):
    done = ran.claudebatch("runs", "purge", "out.jsonl", "--yes")
    assert done.code == 0, done.err
    assert not ran.path("out.jsonl.claudebatch").exists()
    assert ran.path("out.jsonl").exists()
    kept = [path for path in ran.home.rglob("*") if path.is_file() and "cache" not in str(path)]
    assert [path for path in kept if b"row-1" in path.read_bytes()] == []


def test_an_answer_that_was_changed_in_the_cache_is_asked_again(ran, api):
    cache = ran.home / "cache/responses/cache.db"
    spoil(
        cache, "UPDATE Cache SET value = CAST(replace(CAST(value AS TEXT), 'text', 'evil') AS BLOB)"
    )
    assert ran.claudebatch("run", "in.jsonl", "-o", "again.jsonl").code == 0
    assert api.requests == 6
    assert "evil" not in ran.path("again.jsonl").read_text()


def test_an_owner_file_of_nonsense_says_nothing_and_steers_nothing(processes, serve):
    world = processes
    serve(script=("hang",) * 9)
    world.write("in.jsonl", prompts(1))
    first = world.launch(*RUN)
    place = world.path("out.jsonl.claudebatch/owner.json")
    world.until(place.exists)
    for text in (
        '{"pid":1e99,"host":"h","since":"s"}',
        '{"pid":"\\u001b[2J","host":"\\u202e","since":"\\u009b"}',
        "[" * 9999,
    ):
        place.write_text(text)
        done = world.launch(*RUN).wait()
        assert done.code == 7, done.err
        assert "\x1b" not in done.err
    assert first.running


@pytest.mark.parametrize("kind", ["link", "text"])
def test_a_run_that_starts_over_is_not_stopped_by_what_is_there_and_writes_through_no_link(
    ran, kind
):
    victim = ran.path("victim")
    victim.write_text("precious\n")
    journal(ran).unlink()
    if kind == "link":
        journal(ran).symlink_to(victim)
    else:
        journal(ran).write_text("no database\n")
    assert ran.claudebatch(*RUN).code == 6
    done = ran.claudebatch(*RUN, "--fresh")
    assert (done.code, len(ran.results())) == (0, 3), done.err
    assert victim.read_text() == "precious\n"
    assert not journal(ran).is_symlink()


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", ["pipe", "second name", "link"])
@pytest.mark.parametrize("which", ["journal", "ledger", "cache"])
def test_what_was_planted_beside_a_database_is_not_opened(ran, which, kind, suffix):
    """SQLite waited for the pipe for ever, and wrote to the file of the second name."""
    database = {
        "journal": journal(ran),
        "ledger": ran.home / "state/spend.sqlite",
        "cache": ran.home / "cache/responses/cache.db",
    }[which]
    planted = database.with_name(database.name + suffix)
    planted.unlink(missing_ok=True)
    victim = plant(ran, planted, kind)
    ran.write("in.jsonl", prompts(5))
    done = ran.claudebatch(*RUN)
    assert done.code == (0 if which == "cache" else 6), done.err
    assert f"{suffix} is " in done.err or f"{suffix} belongs" in done.err
    assert "Traceback" not in done.err and victim.read_text() == "precious\n"
    if which == "journal":
        again = ran.claudebatch(*RUN, "--fresh")
        assert (again.code, len(ran.results())) == (0, 5), again.err
        assert victim.read_text() == "precious\n"


def test_the_way_out_of_a_backup_by_links_keeps_what_was_committed(ran):
    """Of a run that died the last commits are in the log of its journal."""
    before = ran.results()
    log = journal(ran).with_name("journal.sqlite-wal")
    kept = sqlite3.connect(journal(ran))
    kept.execute("PRAGMA wal_autocheckpoint = 0")
    kept.execute("INSERT INTO meta VALUES ('mark', '1')")
    kept.commit()
    backup = ran.path("backup")
    os.link(log, backup)
    saved = backup.read_bytes()
    shutil.copyfile(journal(ran), ran.path("crashed"))
    kept.close()
    # Closing took the log in: it is as the crash left it.
    shutil.copyfile(ran.path("crashed"), journal(ran))
    log.unlink(missing_ok=True)
    backup.write_bytes(saved)
    os.link(backup, log)
    refused = ran.claudebatch(*RUN)
    assert (refused.code, "[E647]" in refused.err) == (6, True), refused.err
    assert ran.claudebatch("runs", "list").code == 0
    hint = " ".join(refused.err.split("hint: while no run goes on: ")[1].split())
    subprocess.run(hint, shell=True, check=True, cwd=ran.work)
    ran.write("in.jsonl", prompts(5))
    done = ran.claudebatch(*RUN)
    assert (done.code, len(ran.results())) == (0, 5), done.err
    assert before.items() <= ran.results().items()
    assert backup.read_bytes() == saved
    assert ran.query("SELECT value FROM meta WHERE key = 'mark'") == [("1",)]


@pytest.mark.parametrize("kind", ["pipe", "second name", "link"])
@pytest.mark.parametrize(
    "name", ["owner.json", "owner.json.new", "rescue", "journal.sqlite.new", "input.jsonl"]
)
def test_what_was_planted_in_a_run_folder_leads_nowhere(ran, name, kind):
    place = ran.path("out.jsonl.claudebatch") / name
    place.unlink(missing_ok=True)
    victim = plant(ran, place, kind)
    ran.write("in.jsonl", prompts(5))
    for more in ((), ("--fresh",)):
        done = ran.claudebatch(*RUN, *more)
        assert done.code in (0, 6) and "Traceback" not in done.err
        assert victim.read_text() == "precious\n"


def plant(world, place, kind):
    """Something that is no file of ours at *place*; what it leads to."""
    victim = world.path("victim")
    victim.write_text("precious\n")
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to(victim)
    else:
        os.link(victim, place)
    return victim
