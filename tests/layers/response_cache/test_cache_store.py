"""DiskCacheStore: bytes and nothing else; whatever is wrong with it is a miss and never
costs a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import diskcache
import pytest

from claudebatch.core.errors import ExitCode, StorageError
from claudebatch.layers.response_cache.blocking import blocking_look_up
from claudebatch.layers.response_cache.bytes_disk import BytesDisk
from claudebatch.layers.response_cache.disk_admin import clear, describe
from tests.support.asked import worth
from tests.support.caches import GB, LARGE, Kept


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    kept = Kept(tmp_path / "responses")
    yield kept
    await kept.close()


async def test_what_is_put_is_found_by_this_run_and_the_next(kept: Kept):
    store = kept.store()
    assert await store.get("a") is None
    await store.put_many({"a": b"1"})
    await store.put_many({"b": LARGE})
    await store.put_many({"a": b"2"})
    assert [await store.get(key) for key in "abc"] == [b"2", LARGE, None]
    await kept.close()
    assert await kept.find("a", "b", "c") == [b"2", LARGE, None]
    assert kept.notices == []


async def test_many_at_once_get_each_their_own(kept: Kept):
    await kept.keep(**{f"k{n}": b"%d" % n for n in range(300)})
    wanted = random.Random(1).choices(range(600), k=1000)
    assert await kept.find(*(f"k{n}" for n in wanted)) == [
        b"%d" % n if n < 300 else None for n in wanted
    ]


def test_look_ups_are_answered_without_an_event_loop(tmp_path: Path):
    kept = Kept(tmp_path / "responses")
    asyncio.run(kept.keep(a=b"1"))
    with blocking_look_up(kept.store()) as look_up:
        assert look_up(["a", "b"]) == [b"1", None]
        assert look_up(["b", "a"]) == [None, b"1"]
    with blocking_look_up(None) as look_up:
        assert look_up(["a", "b"]) == [None, None]


async def test_files_are_for_their_owner_only_whatever_the_umask(kept: Kept):
    former = os.umask(0)
    try:
        store = kept.store()
        await store.put_many({"a": b"1"})
        await store.put_many({"b": LARGE})
        await store.get("a")
        modes = {
            path: stat.S_IMODE(path.stat().st_mode) for path in [kept.path, *kept.path.rglob("*")]
        }
    finally:
        os.umask(former)
    assert len(kept.files()) == 1 and len(modes) >= 5
    assert {oct(mode) for path, mode in modes.items() if path.is_dir()} == {"0o700"}
    assert {oct(mode) for path, mode in modes.items() if path.is_file()} == {"0o600"}


# Damage


@pytest.mark.parametrize("key", ["small", "large"])
async def test_a_flipped_byte_is_a_miss_wherever_it_is(kept: Kept, key: str):
    await kept.keep(small=b"0123456789", large=LARGE)
    if key == "small":
        ((sound,),) = kept.sql("SELECT value FROM Cache WHERE key = 'small'")
        where = range(len(sound))
    else:
        sound = kept.files()[0].read_bytes()
        where = range(0, len(sound), 9973)
    for position in where:
        damaged = bytearray(sound)
        damaged[position] ^= 0x40
        if key == "small":
            kept.sql("UPDATE Cache SET value = ? WHERE key = 'small'", bytes(damaged))
        else:
            kept.files()[0].write_bytes(damaged)
        assert await kept.find(key) == [None], position


@pytest.mark.parametrize("what", ["cut short", "emptied", "gone", "a folder"])
async def test_a_large_entry_whose_file_is_damaged_is_a_miss(kept: Kept, what: str):
    await kept.keep(large=LARGE, small=b"1")
    (file,) = kept.files()
    file.unlink()
    if what == "a folder":
        file.mkdir()
    elif what != "gone":
        file.write_bytes(b"" if what == "emptied" else LARGE[:5000])
    assert await kept.find("large", "small") == [None, b"1"]


@pytest.mark.parametrize("damage", ["header", "middle", "rubbish"])
async def test_a_damaged_database_is_moved_aside_and_started_anew(kept: Kept, damage: str):
    await kept.keep(**{f"k{n}": b"v" * 500 for n in range(200)})
    database = kept.path / "cache.db"
    kept.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(database.read_bytes())
    if damage == "header":
        data[:16] = bytes(16)
    elif damage == "middle":
        data[4096:] = os.urandom(len(data) - 4096)
    else:
        data = bytearray(b"no database at all" * 1000)
    database.write_bytes(data)
    store = kept.store()
    assert await store.get("k1") is None
    await store.put_many({"new": b"1"})
    assert await store.get("new") == b"1"
    await kept.close()
    assert len(kept.notices) == 1 and "was damaged" in kept.notices[0].text
    assert kept.path.with_name("responses.damaged-1").is_dir()
    assert await kept.find("new") == [b"1"]


async def test_a_cache_that_cannot_be_opened_is_switched_off_with_one_notice(kept: Kept):
    kept.path.parent.joinpath("responses").write_bytes(b"a file where the folder should be")
    store = kept.store()
    assert await store.get("a") is None
    await store.put_many({"a": b"1"})
    assert await store.get("a") is None
    await kept.close()
    assert len(kept.notices) == 1 and "off for this run" in kept.notices[0].text


# Age and size


async def test_an_entry_past_its_time_is_a_miss(kept: Kept):
    store = kept.store(ttl_s=3600)
    await store.put_many({"a": b"1"})
    assert await store.get("a") == b"1"
    kept.sql("UPDATE Cache SET expire_time = ?", time.time() - 1)
    assert await store.get("a") is None


async def test_without_a_time_to_live_nothing_expires(kept: Kept):
    await kept.keep(a=b"1")
    assert kept.sql("SELECT expire_time FROM Cache") == [(None,)]


async def test_beyond_its_size_the_oldest_entries_go_and_their_files_with_them(kept: Kept):
    store = kept.store(size_limit=2_500_000)
    for number in range(300):
        await store.put_many({f"k{number}": b"%6d" % number + LARGE})
        if number % 50 == 0:
            await store.get("nothing")
    await kept.close()
    numbers = sorted(int(key[1:]) for (key,) in kept.sql("SELECT key FROM Cache"))
    assert numbers == list(range(numbers[0], 300)), "the oldest went first"
    assert len(kept.files()) == len(numbers) < 200


async def test_statistics_and_clearing(kept: Kept):
    empty = describe(kept.path, size_limit=GB, ttl_s=60, worth=worth, now=0.0)
    assert (empty.entries, empty.bytes_used) == (0, 0)
    assert clear(kept.path) == 0
    assert not kept.path.exists(), "looking does not make it"
    await kept.keep(a=b"1", b=LARGE)
    full = describe(kept.path, size_limit=GB, ttl_s=60, worth=worth, now=0.0)
    assert full.entries == 2 and full.bytes_used > len(LARGE)
    assert clear(kept.path) == 2
    assert kept.files() == []
    assert await kept.find("a", "b") == [None, None]


async def test_a_cache_that_stays_locked_is_not_emptied_and_says_so(kept: Kept, monkeypatch):
    await kept.keep(a=b"1")
    with closing(sqlite3.connect(kept.path / "cache.db", isolation_level=None)) as other:

        def locked(path: Path, size_limit: int) -> diskcache.Cache:
            # Locked once it is open: to wait a minute for that would tell no more.
            diskcache.Cache(str(path), disk=BytesDisk).close()
            cache = diskcache.Cache(str(path), disk=BytesDisk, timeout=0.05)
            other.execute("BEGIN IMMEDIATE")
            return cache

        monkeypatch.setattr("claudebatch.layers.response_cache.disk_admin.open_database", locked)
        with pytest.raises(StorageError, match="cannot be emptied: it stays locked") as caught:
            clear(kept.path)
    assert (caught.value.id, caught.value.exit_code) == ("E612", ExitCode.LOCAL_IO)
    assert await kept.find("a") == [b"1"]


async def test_a_cache_in_which_nothing_can_be_written_any_more_is_given_up_and_not_tried_for_ever(
    kept: Kept, tmp_path: Path
):
    store = kept.store()
    await store.put_many({"a": b"1"})
    assert await store.get("a") == b"1"
    await store._groups.call(
        lambda: store._cache._con.execute("PRAGMA busy_timeout = 20")
    )  # what takes a minute otherwise
    with closing(
        sqlite3.connect(tmp_path / "responses" / "cache.db", isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        await store.put_many({"b": b"2"})
        async with asyncio.timeout(20):
            assert await store.get("b") is None
    assert [notice for notice in kept.notices if "off for this run" in notice.text] != []


async def test_an_entry_that_another_run_replaces_while_it_is_read_is_found_anew(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
):
    first, second = kept.store(), kept.store()
    await first.put_many({"k": LARGE})
    assert await first.get("k") is not None
    fetch = BytesDisk.fetch

    def slow(disk: BytesDisk, *entry: Any) -> bytes:
        # Between the look at the database and the look at the file.
        monkeypatch.setattr(BytesDisk, "fetch", fetch)
        second._work([("k", b"2" + LARGE)])
        return fetch(disk, *entry)

    monkeypatch.setattr(BytesDisk, "fetch", slow)
    assert await first.get("k") == b"2" + LARGE


async def test_until_a_group_of_puts_is_committed_other_runs_find_what_was_there_before(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
):
    first, second = kept.store(), kept.store()
    await first.put_many({"k": LARGE})
    assert await first.get("k") == LARGE
    transact = diskcache.Cache.transact

    @contextmanager
    def slow(cache: diskcache.Cache) -> Iterator[None]:
        with transact(cache):
            yield
            seen.extend(first._work([("k", None)]))

    seen: list[bytes | None] = []
    monkeypatch.setattr(diskcache.Cache, "transact", slow)
    second._work([("k", b"2" + LARGE)])
    assert seen == [LARGE]
    assert await first.get("k") == b"2" + LARGE
    assert len(list(kept.path.rglob("*.val"))) == 1, "the old one is gone"
