"""Deleting some entries and looking through all of them: what is chosen goes with all
that belongs to it, and an interruption leaves a whole cache.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.errors import StorageError
from claudebatch.core.reports.cache_audit import CacheAudit
from claudebatch.layers.response_cache.entries import EntryFilter, changing
from claudebatch.layers.response_cache.prune import prune, to_prune
from claudebatch.layers.response_cache.verify import verify
from tests.support.asked import CENT, Asked, key_of
from tests.support.caches import LARGE
from tests.support.scripted import HAIKU, OPUS, make_call, make_reply

TABLES = ("Cache", "About", "AboutText", "AboutBody")
LONG = make_reply("z" * len(LARGE))


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    asked = Asked(tmp_path / "responses")
    yield asked
    await asked.close()


def pruned(asked: Asked, **wanted: Any) -> tuple[list[tuple[str, int, int]], int]:
    chosen, now = EntryFilter(**wanted), time.time()
    with asked.reader() as cache:
        told = to_prune(cache, chosen, now=now)
        with changing(asked.path):
            deleted = prune(cache, chosen, now=now)
        return [(g.label, g.entries, g.saved) for g in told], deleted


def checked(asked: Asked, *, repair: bool = False) -> CacheAudit:
    with asked.reader() as cache:
        return verify(cache, repair=repair, now=time.time() + 7200)


def counts(asked: Asked) -> set[int]:
    return {asked.sql(f"SELECT count(*) FROM {name}")[0][0] for name in TABLES}


async def test_what_is_chosen_is_told_with_its_price_and_goes_with_all_that_is_about_it(
    asked: Asked,
):
    await asked.ask(
        (make_call("a"), make_reply()),
        (make_call("b"), LONG),
        (make_call("c", model=OPUS), make_reply(model=OPUS)),
    )
    assert pruned(asked, model="sonnet") == ([], 0)
    assert pruned(asked, model="opus") == ([(OPUS, 1, CENT)], 1)
    assert counts(asked) == {2} and len(asked.files()) == 1
    assert pruned(asked, larger_than=50_000) == ([(HAIKU, 1, CENT)], 1)
    assert counts(asked) == {1} and asked.files() == []
    assert await asked.find(key_of(make_call("a"))) != [None]
    assert asked.sql("SELECT DISTINCT why FROM AboutGone") == [("pruned",)]
    assert checked(asked).sound


async def test_by_age_those_of_long_ago_go_and_expired_ones_as_well(asked: Asked):
    await asked.ask((make_call("old"), make_reply()), ttl_s=3600.0)
    asked.sql("UPDATE About SET stored = stored - 864000")
    asked.sql("UPDATE Cache SET expire_time = 1")
    await asked.ask((make_call("new"), make_reply()))
    assert pruned(asked, older_than_s=86400.0)[1] == 1
    assert asked.sql("SELECT key FROM Cache") == [(key_of(make_call("new")),)]


async def test_more_than_one_step_deletes_all_and_an_error_in_one_keeps_the_others(asked: Asked):
    await asked.ask(*((make_call(f"q{n}", row=n), make_reply()) for n in range(1200)))
    # An error in the middle of the second step.
    asked.sql(
        "CREATE TRIGGER stop BEFORE DELETE ON Cache WHEN OLD.rowid = 700"
        " BEGIN SELECT RAISE(ABORT, 'disk'); END"
    )
    with pytest.raises(StorageError) as told:
        pruned(asked, older_than_s=-60.0)
    assert told.value.id == "E807" and "disk" in str(told.value)
    assert counts(asked) == {700}
    assert checked(asked).sound
    asked.sql("DROP TRIGGER stop")
    assert pruned(asked, older_than_s=-60.0)[1] == 700
    assert counts(asked) == {0}


async def test_killed_between_the_commit_and_its_files_only_files_are_left(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
):
    await asked.ask((make_call("a"), LONG), (make_call("b"), LONG), (make_call("c"), make_reply()))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("claudebatch.layers.response_cache.bytes_disk.BytesDisk.remove", killed)
        with pytest.raises(KeyboardInterrupt):
            pruned(asked, larger_than=50_000)
    found = checked(asked)
    assert (found.entries, found.damaged_count, found.orphan_files) == (1, 0, 2)
    assert checked(asked, repair=True).repaired
    assert checked(asked) == CacheAudit(str(asked.path), 1)
    assert asked.files() == []


async def test_two_processes_may_prune_and_write_at_once(asked: Asked):
    await asked.ask(*((make_call(f"q{n}", row=n), make_reply()) for n in range(50)))
    store = asked.noting()
    with asked.reader() as cache:
        await store.put_many({"other": b"1"})
        assert prune(cache, EntryFilter(model="haiku"), now=time.time()) == 50
        assert await store.get("other") == b"1"
        assert await store.get(key_of(make_call("q1", row=1))) is None


async def test_a_look_through_finds_each_kind_of_damage_and_repairs_it(asked: Asked):
    calls = [make_call(f"q{n}", row=n) for n in range(6)]
    await asked.ask(*((call, LONG if n < 2 else make_reply()) for n, call in enumerate(calls)))
    keys = [key_of(call) for call in calls]
    assert checked(asked) == CacheAudit(str(asked.path), 6)
    gone, young = asked.files()
    gone.unlink()
    asked.sql("UPDATE Cache SET value = x'00' WHERE key = ?", keys[2])
    asked.sql("UPDATE Cache SET mode = 4 WHERE key = ?", keys[3])
    asked.sql("INSERT INTO About(entry) VALUES (999)")
    (young.parent / "orphan.val").write_bytes(b"123")
    (asked.path / "mine.txt").write_text("not ours")
    found = checked(asked)
    assert (found.damaged_count, found.orphan_files, found.orphan_bytes) == (3, 1, 3)
    assert found.orphan_notes == 1 and not found.sound
    assert set(found.damaged) & {keys[0], keys[1]} and {keys[2], keys[3]} < set(found.damaged)
    checked(asked, repair=True)
    assert checked(asked) == CacheAudit(str(asked.path), 3)
    assert counts(asked) == {3}
    assert (asked.path / "mine.txt").exists()


async def test_a_file_that_a_run_may_be_about_to_name_is_left_alone(asked: Asked):
    await asked.ask((make_call("a"), LONG))
    (path,) = asked.files()
    (path.parent / "young.val").write_bytes(b"1")
    with asked.reader() as cache:
        assert verify(cache, repair=True, now=time.time()).sound
        os.utime(path.parent / "young.val", (1, 1))
        assert verify(cache, repair=True, now=time.time()).orphan_files == 1
    assert asked.files() == [path]


async def test_a_broken_file_is_told_and_not_written_to(asked: Asked):
    await asked.ask(*((make_call(f"q{n}", row=n), make_reply()) for n in range(300)))
    # One page in the middle of the table of texts.
    page = asked.sql("SELECT rootpage FROM sqlite_master WHERE name = 'Cache_expire_time'")[0][0]
    asked.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    with (asked.path / "cache.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 64)
    with asked.reader() as cache:
        try:
            found = verify(cache, repair=True, now=time.time())
        except sqlite3.DatabaseError:
            return
    assert found.structure is not None and not found.sound and not found.repaired
