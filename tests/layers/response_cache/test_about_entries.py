"""What is known of an entry beside its answer: who asked what, how often it was found,
and that none of it ever costs an answer.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from claudebatch.core.errors import StorageError
from claudebatch.core.reports import CacheEntry
from claudebatch.layers.response_cache.about_tables import MOST_GONE, trim
from claudebatch.layers.response_cache.disk_admin import clear, describe
from claudebatch.layers.response_cache.entries import EntryFilter
from claudebatch.layers.response_cache.settings import CachePolicy
from tests.support.asked import CENT, Asked, key_of, worth
from tests.support.caches import LARGE
from tests.support.scripted import HAIKU, OPUS, make_call, make_reply

TABLES = ("About", "AboutText", "AboutBody")


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    asked = Asked(tmp_path / "responses")
    yield asked
    await asked.close()


def entries(asked: Asked, **wanted: object) -> list[CacheEntry]:
    sort = wanted.pop("sort", "age")
    with asked.reader() as cache:
        found = cache.listed(EntryFilter(**wanted), sort=sort, limit=100, now=time.time())  # type: ignore[arg-type]
        assert found.matching == len(found.entries)
        return list(found.entries)


async def test_an_entry_tells_who_asked_what_and_what_came(asked: Asked):
    call = make_call("Is it\n  raining?", system="Be brief.")
    prompt = replace(call.prompt, id="wet", file="in.jsonl", line=17, betas=("b", "a"), repeat=2)
    call = replace(call, prompt=prompt)
    usage = {"input_tokens": 30, "cache_read_input_tokens": 4, "output_tokens": 5}
    await asked.ask((call, make_reply("No.", usage=usage)))
    (entry,) = entries(asked)
    assert entry.key == key_of(call)
    assert (entry.model, entry.words, entry.row) == (HAIKU, "Is it raining?", "wet")
    assert (entry.file, entry.line, entry.run, entry.repeat) == ("in.jsonl", 17, "run-1", 2)
    assert (entry.betas, entry.place) == (("a", "b"), "")
    assert (entry.input_tokens, entry.output_tokens, entry.worth) == (34, 5, CENT)
    assert abs(entry.stored - time.time()) < 60 and entry.expires is None
    with asked.reader() as cache:
        (number,) = cache.numbers("wet")
        pair = cache.pair(number)
        assert cache.numbers(entry.key[:9]) == [number]
    assert pair is not None and pair.message is not None and pair.whole
    assert pair.request is not None and pair.request["system"] == "Be brief."
    assert pair.message["content"][0]["text"] == "No."


async def test_hits_are_counted_without_a_write_for_each(asked: Asked):
    calls = [make_call(f"question {n}", row=n) for n in range(3)]
    await asked.ask(*((call, make_reply()) for call in calls))
    store = asked.noting()
    await store.get_many([key_of(call) for call in calls])
    for _ in range(5):
        assert await store.get(key_of(calls[1])) is not None
    assert asked.sql("SELECT sum(hits) FROM About") == [(0,)]
    await asked.close()
    first, *_ = entries(asked, sort="hits")
    assert (first.words, first.hits, first.saved) == ("question 1", 6, 6 * CENT)
    assert sum(entry.hits for entry in entries(asked)) == 8
    # Another session adds to them.
    await asked.ask((calls[1], make_reply()), (calls[1], make_reply()))
    assert entries(asked, sort="hits")[0].hits == 8


async def test_a_look_that_is_no_run_counts_no_hits(asked: Asked):
    await asked.ask((make_call(), make_reply()))
    assert await asked.find(key_of(make_call())) != [None]
    assert [entry.hits for entry in entries(asked)] == [0]


async def test_an_id_that_looks_like_a_key_is_an_id(asked: Asked):
    await asked.ask(*((make_call(f"q{n}", row=n), make_reply()) for n in range(60)))
    (name,) = asked.sql("SELECT substr(key, 1, 2) FROM Cache LIMIT 1")[0]
    asked.sql("UPDATE AboutText SET row = ? WHERE words = 'q7'", name)
    with asked.reader() as cache:
        assert [entry.words for entry in cache.some(cache.numbers(name))] == ["q7"]
        assert cache.numbers("zz") == cache.numbers("") == []


async def test_a_full_disk_costs_the_notes_and_no_answer(asked: Asked):
    store = asked.noting()
    assert await store.get("none") is None
    pages = asked.sql("PRAGMA page_count")[0][0]
    reader = store._reader
    assert reader is not None
    await store._groups.call(lambda: reader.execute(f"PRAGMA max_page_count={pages}"))
    for n in range(300):
        call = make_call(f"q{n}", row=n)
        asked.notes.answered(key_of(call), call, make_reply())
        await store.put_many({key_of(call): make_reply().message})
    assert await store.get(key_of(make_call("q299", row=299))) == make_reply().message
    await asked.close()
    assert [notice.id for notice in asked.notices] == ["W100"]
    assert "full" in asked.notices[0].text
    with asked.reader() as cache:
        told = cache.listed(EntryFilter(text="→ hi"), sort="age", limit=1, now=time.time())
    assert told.matching == 300, "they are described from their answers"


async def test_filters_and_orders_choose_as_they_say(asked: Asked):
    await asked.ask(
        (make_call("A short one"), make_reply()),
        (make_call("A long one", row=2), make_reply("x" * 5000)),
        (make_call("An opus one", row=3, model=OPUS), make_reply(model=OPUS)),
    )
    asked.sql("UPDATE About SET stored = stored - 864000 WHERE size > 4000")
    assert [e.words for e in entries(asked, model="OPUS")] == ["An opus one"]
    assert [e.words for e in entries(asked, older_than_s=86400.0)] == ["A long one"]
    assert {e.words for e in entries(asked, newer_than_s=86400.0)} == {"A short one", "An opus one"}
    assert [e.words for e in entries(asked, larger_than=4000)] == ["A long one"]
    assert [e.words for e in entries(asked, text="SHORT")] == ["A short one"]
    assert [e.words for e in entries(asked, text="%")] == []
    assert entries(asked, sort="size")[0].words == "A long one"
    assert [e.words for e in entries(asked, sort="age")][-1] == "A long one"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ÄRGER MIT", ["100 % Ärger mit Öl_1"]),
        ("öl_", ["100 % Ärger mit Öl_1"]),
        ("Öl?1", []),
        ("  100\n% ", ["100 % Ärger mit Öl_1"]),
        ("ol_1", []),
        ("天気\\は", [r"天気\は"]),
        ("天気は", []),
        ("Straße", []),
        ("", ["100 % Ärger mit Öl_1", r"天気\は"]),
        ("x" * 100_000, []),
    ],
)
async def test_words_are_found_in_any_script_and_case_and_no_sign_is_a_wildcard(
    asked: Asked, text: str, found: list[str]
):
    asks = (make_call("100 %  Ärger\nmit Öl_1"), make_call(r"天気\は", row=2))
    await asked.ask(*((call, make_reply()) for call in asks))
    assert sorted(e.words for e in entries(asked, text=text)) == found
    assert sorted(e.words for e in entries(asked, text=text, model="HAIKU")) == found


def steps(asked: Asked, **wanted: object) -> int:
    """Instructions of SQLite for a list of what is *wanted*."""
    told = 0

    def count() -> None:
        nonlocal told
        told += 1

    with asked.reader() as cache:
        cache.connection.set_progress_handler(count, 1)
        cache.listed(EntryFilter(**wanted), sort="age", limit=5, now=time.time())  # type: ignore[arg-type]
        cache.connection.set_progress_handler(None, 1)
    return told


_STEPS_AN_ENTRY: list[tuple[dict[str, object], int]] = [
    # 20, 34, 31 and 45 where the words are looked through again to count them.
    ({"text": "question 77"}, 5),
    ({"text": "question 77", "model": "haiku"}, 14),
    ({"text": "question"}, 24),
    ({"text": "question", "model": "haiku"}, 31),
]


async def test_words_are_looked_for_once_in_each_entry(asked: Asked):
    few, many = 100, 300
    ask = [(make_call(f"question {n}", row=n), make_reply()) for n in range(many)]
    await asked.ask(*ask[:few])
    before = [steps(asked, **wanted) for wanted, _ in _STEPS_AN_ENTRY]
    await asked.ask(*ask[few:])
    for (wanted, most), at_few in zip(_STEPS_AN_ENTRY, before, strict=True):
        assert steps(asked, **wanted) - at_few <= most * (many - few), wanted


async def test_what_is_about_an_entry_goes_with_it_whoever_drops_it(asked: Asked):
    await asked.ask(*((make_call(f"q{n}", row=n), make_reply()) for n in range(10)))
    asked.sql("DELETE FROM Cache WHERE rowid <= 4")  # as an older version would
    assert [asked.sql(f"SELECT count(*) FROM {name}") for name in TABLES] == [[(6,)]] * 3
    gone = asked.sql("SELECT key FROM AboutGone")
    assert (key_of(make_call("q0", row=0)),) in gone and len(gone) == 4
    assert clear(asked.path) == 6
    assert [asked.sql(f"SELECT count(*) FROM {name}") for name in (*TABLES, "AboutGone")] == [
        [(0,)]
    ] * 4


async def test_eviction_for_room_counts_requests_as_well_and_removes_them(asked: Asked):
    big = [(make_call(f"{n} " + "words " * 5000, row=n), make_reply()) for n in range(600)]
    asked.new_notes()
    store = asked.noting(size_limit=400_000)
    for call, reply in big:
        asked.notes.answered(key_of(call), call, reply)
        await store.put_many({key_of(call): reply.message})
    await asked.close()
    kept = asked.sql("SELECT count(*) FROM Cache")[0][0]
    # The answers alone would have had room.
    assert 0 < kept < 600
    assert [asked.sql(f"SELECT count(*) FROM {name}") for name in TABLES] == [[(kept,)]] * 3


async def test_entries_of_an_earlier_version_are_listed_with_what_the_answer_says(asked: Asked):
    usage = {"input_tokens": 3, "output_tokens": 4}
    await asked.keep(abc=make_reply("Yes,  it is.", usage=usage).message, odd=b"no message")
    await asked.keep(large=make_reply("z" * len(LARGE)).message)
    found = {entry.key: entry for entry in entries(asked)}
    assert found["abc"].words == "→ Yes, it is."
    assert (found["abc"].model, found["abc"].output_tokens, found["abc"].worth) == (HAIKU, 4, CENT)
    assert (found["odd"].words, found["odd"].model) == ("(damaged)", "")
    assert found["large"].size > len(LARGE)
    with asked.reader() as cache:
        pair = cache.pair(cache.numbers("abc")[0])
        assert pair is not None and pair.request is None and pair.message is not None


async def test_a_file_of_an_earlier_version_gets_its_tables_and_keeps_its_answers(asked: Asked):
    await asked.keep(old=b"1")
    assert asked.sql("SELECT count(*) FROM sqlite_master WHERE name LIKE 'About%'") == [(0,)]
    await asked.ask((make_call(), make_reply()))
    assert await asked.find("old") == [b"1"]
    assert len(entries(asked)) == 2


async def test_notes_that_cannot_be_written_cost_no_answer_and_are_said_once(asked: Asked):
    await asked.ask((make_call("before"), make_reply()))
    asked.sql("DROP TABLE AboutBody")
    asked.sql("CREATE VIEW AboutBody AS SELECT 1 AS entry, 2 AS form, 3 AS body")
    await asked.ask(*((make_call(f"q{n}", row=n), make_reply(f"a{n}")) for n in range(3)))
    assert [notice.id for notice in asked.notices] == ["W100"]
    assert await asked.find(*(key_of(make_call(f"q{n}", row=n)) for n in range(3))) == [
        make_reply(f"a{n}").message for n in range(3)
    ]


async def test_a_request_that_went_out_by_batch_is_known_when_its_answer_comes(asked: Asked):
    call = make_call("by batch")
    asked.new_notes("run-1").sent(key_of(call), call)
    asked.noting()
    await asked.close()
    asked.new_notes("run-2")
    store = asked.noting()
    asked.notes.answered(key_of(call), None, make_reply())
    await store.put_many({key_of(call): make_reply().message})
    await asked.close()
    (entry,) = entries(asked)
    assert (entry.words, entry.run, entry.worth) == ("by batch", "run-1", CENT)
    assert asked.sql("SELECT count(*) FROM AboutSent") == [(0,)]


async def test_requests_of_a_large_batch_do_not_gather_in_memory(asked: Asked):
    store = asked.noting()
    for n in range(300):
        call = make_call(f"q{n}", row=n)
        asked.notes.sent(key_of(call), call)
    await store.get("anything")
    assert not asked.notes.pending
    assert asked.sql("SELECT count(*) FROM AboutSent") == [(300,)]


async def test_why_an_answer_was_not_kept_is_remembered(asked: Asked):
    cut = make_reply(stop_reason="max_tokens")
    await asked.ask((make_call(), cut), (make_call("b"), replace(make_reply(), fits=False)))
    assert asked.sql("SELECT key, why FROM AboutGone ORDER BY n") == [
        (key_of(make_call()), "max_tokens"),
        (key_of(make_call("b")), "unfit"),
    ]
    await asked.ask((make_call(), cut), policy=CachePolicy(keep_max_tokens=True))
    assert len(entries(asked)) == 1


async def test_the_memory_of_what_is_gone_is_bounded(asked: Asked):
    await asked.ask((make_call(), make_reply()))
    with sqlite3.connect(asked.path / "cache.db") as connection:
        connection.executemany(
            "INSERT INTO AboutGone(n, key, at, why) VALUES (?, ?, 0, '')",
            ((n, str(n)) for n in range(1, MOST_GONE + 11)),
        )
        trim(connection)
        assert connection.execute("SELECT min(n), count(*) FROM AboutGone").fetchone() == (
            11,
            MOST_GONE,
        )
    connection.close()


async def test_the_store_never_holds_an_address_with_a_password(asked: Asked):
    scope = "2023-06-01 https://ana:secret@gw.example/tenant-token/v1"
    await asked.ask((make_call(), make_reply()), scope=scope)
    (entry,) = entries(asked)
    assert entry.place.startswith("gw.example (")
    everything = b"".join(path.read_bytes() for path in asked.path.iterdir())
    assert b"secret" not in everything and b"tenant-token" not in everything
    assert {oct(path.stat().st_mode)[-3:] for path in asked.path.iterdir()} == {"600"}


async def test_figures_add_up_by_model_and_age(asked: Asked):
    await asked.ask(
        (make_call("a"), make_reply()), (make_call("b", model=OPUS), make_reply(model=OPUS))
    )
    await asked.ask((make_call("a"), make_reply()))
    asked.sql("UPDATE About SET stored = stored - 864000 WHERE hits = 0")
    stats = describe(asked.path, size_limit=2**30, ttl_s=None, worth=worth, now=time.time())
    assert [(g.label, g.entries, g.hits, g.saved) for g in stats.by_model] == [
        (HAIKU, 1, 1, CENT),
        (OPUS, 1, 0, 0),
    ]
    assert [(g.label, g.entries, g.hits) for g in stats.by_age] == [
        ("today", 1, 1),
        ("8 to 30 days", 1, 0),
    ]


async def test_a_cache_that_cannot_be_read_is_told(asked: Asked):
    await asked.ask((make_call(), make_reply()))
    (asked.path / "cache.db").write_bytes(b"no database, " * 1000)
    (asked.path / "cache.db-wal").unlink(missing_ok=True)
    with pytest.raises(StorageError) as told, asked.reader():
        pass
    assert told.value.id == "E800"
