"""What somebody else put into the response cache is a miss: no code runs, and no file
outside is touched.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import diskcache
import pytest

from claudebatch.layers.response_cache.bytes_disk import BytesDisk, RefusedEntry
from claudebatch.layers.response_cache.disk_admin import clear, describe
from claudebatch.layers.response_cache.sound_value import sealed
from tests.support.asked import worth
from tests.support.caches import GB, LARGE, Kept


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    kept = Kept(tmp_path / "responses")
    yield kept
    await kept.close()


class Boom:
    """Makes a folder when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)

    def __repr__(self) -> str:
        return "Boom"


@pytest.mark.parametrize(
    "value", ["text", 7, 1.5, None, bytearray(b"x"), {"a": 1}, Boom(Path("x"))], ids=repr
)
def test_nothing_but_bytes_goes_in(tmp_path: Path, value: Any):
    with diskcache.Cache(str(tmp_path), disk=BytesDisk) as cache, pytest.raises(RefusedEntry):
        cache["key"] = value


@pytest.mark.parametrize("key", [7, 1.5, None, b"bytes", ("a", 1)], ids=repr)
def test_nothing_but_text_is_a_key(tmp_path: Path, key: Any):
    with diskcache.Cache(str(tmp_path), disk=BytesDisk) as cache:
        with pytest.raises(RefusedEntry):
            cache[key] = b"value"
        with pytest.raises(RefusedEntry):
            cache.get(key)


@pytest.mark.parametrize("mode", [0, 3, 4, 5, -1])
def test_only_what_it_stores_itself_is_fetched(tmp_path: Path, mode: int):
    (tmp_path / "file.val").write_bytes(b"x")
    disk = BytesDisk(str(tmp_path))
    assert (disk.fetch(1, None, b"x", False), disk.fetch(2, "file.val", None, False)) == (
        b"x",
        b"x",
    )
    for filename, value, read in (
        ("file.val", None, False),
        (None, b"x", False),
        ("file.val", None, True),
    ):
        with pytest.raises(RefusedEntry):
            disk.fetch(2 if read else mode, filename, value, read)


@pytest.mark.parametrize("mode", [0, 3, 4, 5, -1])
@pytest.mark.parametrize("where", ["in the database", "in a file"])
async def test_a_planted_pickle_is_a_miss_and_runs_no_code(
    kept: Kept, tmp_path: Path, mode: int, where: str
):
    await kept.keep(planted=b"1", sound=b"2")
    mark, bomb = tmp_path / "mark", pickle.dumps(Boom(tmp_path / "mark"))
    if where == "in a file":
        (kept.path / "aa").mkdir()
        (kept.path / "aa" / "bomb.val").write_bytes(bomb)
        kept.sql(
            "UPDATE Cache SET mode = ?, filename = 'aa/bomb.val', value = NULL WHERE key = "
            "'planted'",
            mode,
        )
    else:
        kept.sql("UPDATE Cache SET mode = ?, value = ? WHERE key = 'planted'", mode, bomb)
    assert await kept.find("planted", "sound") == [None, b"2"]
    assert not mark.exists()
    assert kept.notices == []


async def test_a_planted_pickle_as_a_key_runs_no_code(kept: Kept, tmp_path: Path):
    await kept.keep(a=b"1", b=b"2")
    bomb = pickle.dumps(Boom(tmp_path / "mark"))
    kept.sql("UPDATE Cache SET key = ?, raw = 0 WHERE key = 'b'", bomb)
    assert await kept.find("a", "b") == [b"1", None]
    describe(kept.path, size_limit=GB, ttl_s=None, worth=worth, now=0.0)
    clear(kept.path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("value", ["text", 5, 1.5, None])
async def test_a_planted_value_of_another_type_is_a_miss(kept: Kept, value: Any):
    await kept.keep(planted=b"1")
    kept.sql("UPDATE Cache SET value = ? WHERE key = 'planted'", value)
    assert await kept.find("planted") == [None]


@pytest.mark.parametrize(
    "filename", ["../x", "aa/../../x", "{tmp}/x", "", ".", "link.val", "missing.val"]
)
async def test_a_planted_file_name_is_a_miss_and_its_file_is_neither_read_nor_removed(
    kept: Kept, tmp_path: Path, filename: str
):
    outside = tmp_path / "x"
    value = sealed("planted", b"stolen")
    outside.write_bytes(value)
    await kept.keep(planted=LARGE)
    (kept.path / "link.val").symlink_to(outside)
    kept.sql("UPDATE Cache SET filename = ? WHERE key = 'planted'", filename.format(tmp=tmp_path))
    assert await kept.find("planted") == [None]
    store = kept.store()
    await store.put_many({"planted": b"new"})
    assert await store.get("planted") == b"new"
    await kept.close()
    kept.sql("UPDATE Cache SET filename = ? WHERE key = 'planted'", filename.format(tmp=tmp_path))
    clear(kept.path)
    assert outside.read_bytes() == value


async def test_an_entry_of_one_key_does_not_answer_another(kept: Kept):
    await kept.keep(a=b"answer of a", b=b"answer of b")
    kept.sql("UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = 'a') WHERE key = 'b'")
    assert await kept.find("a", "b") == [b"answer of a", None]
