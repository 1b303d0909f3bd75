"""Answers as JSON lines: what goes out comes in whole elsewhere, and nothing of a line
is believed.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.jsonl import InputLine, encode
from claudebatch.core.reports import CacheEntry
from claudebatch.core.reports.cache_audit import CacheImport
from claudebatch.layers.response_cache.entries import EntryFilter, make_cache
from claudebatch.layers.response_cache.exchange import exported, imported
from claudebatch.layers.response_cache.settings import CachePolicy, CacheSettings
from claudebatch.layers.response_cache.verify import verify
from tests.support.asked import SCOPE, Asked, key_of, worth
from tests.support.scripted import HAIKU, make_call, make_reply

SETTINGS = CacheSettings()
BETA = replace(make_call("beta"), prompt=replace(make_call("beta").prompt, betas=("b-2", "a-1")))
AGAIN = replace(make_call("again"), prompt=replace(make_call("again").prompt, repeat=3))
CALLS = (make_call("plain", system="Be brief."), BETA, AGAIN, make_call("user", metadata={"u": 1}))


@pytest.fixture
async def ours(tmp_path: Path) -> AsyncIterator[Asked]:
    asked = Asked(tmp_path / "ours")
    await asked.ask(*((call, make_reply("1.50 €")) for call in CALLS))
    yield asked
    await asked.close()


@pytest.fixture
def theirs(tmp_path: Path) -> Asked:
    asked = Asked(tmp_path / "theirs")
    make_cache(asked.path, 2**30)
    return asked


def lines_of(asked: Asked, **wanted: Any) -> list[bytes]:
    with asked.reader() as cache:
        return list(exported(cache, EntryFilter(**wanted), now=time.time()))


def take(
    asked: Asked, lines: list[bytes], settings: CacheSettings = SETTINGS, scope: str = SCOPE
) -> CacheImport:
    numbered = [InputLine(n, 0, len(data), data) for n, data in enumerate(lines, 1)]
    with asked.reader() as cache:
        return imported(cache, numbered, settings, scope=scope, worth=worth, now=time.time())


def entries(asked: Asked) -> list[CacheEntry]:
    with asked.reader() as cache:
        found = cache.listed(EntryFilter(), sort="age", limit=100, now=time.time())
    return sorted(found.entries, key=lambda entry: entry.key)


async def test_what_goes_out_comes_in_whole_elsewhere(ours: Asked, theirs: Asked):
    lines = lines_of(ours)
    assert take(theirs, lines) == CacheImport(len(CALLS), 0, {})
    keys = [key_of(call) for call in CALLS]
    assert await theirs.find(*keys) == await ours.find(*keys)
    for mine, other in zip(entries(ours), entries(theirs), strict=True):
        assert (other.words, other.model, other.betas) == (mine.words, mine.model, mine.betas)
        assert abs(other.stored - mine.stored) < 0.01
        assert (other.run, other.row, other.file) == ("import", "", "")
    # But for a field that is no part of the key: whose it was.
    again = [json.loads(line) for line in lines_of(theirs)]
    for line in (before := [json.loads(line) for line in lines]):
        line["request"].pop("metadata", None)
    assert sorted(again, key=str) == sorted(before, key=str)
    # Once more: all are there.
    assert take(theirs, lines) == CacheImport(0, len(CALLS), {})
    with theirs.reader() as cache:
        assert verify(cache, repair=False, now=time.time()).sound


async def test_only_what_is_wanted_goes_out_and_nothing_that_is_damaged(ours: Asked):
    assert len(lines_of(ours, text="plain")) == 1
    assert lines_of(ours, model="opus") == []
    ours.sql("UPDATE Cache SET value = x'00'")
    assert lines_of(ours) == []


async def test_an_answer_without_its_request_stays(theirs: Asked):
    await theirs.keep(abc=make_reply().message)
    assert lines_of(theirs) == []


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another question": lambda line: line["request"].update(max_tokens=1),
    "another model": lambda line: line["request"].update(model="claude-opus-5-5"),
    "another key": lambda line: line.update(key="0" * 64),
    "another repeat": lambda line: line.update(repeat=1),
    "another beta": lambda line: line.update(betas=["x"]),
    "a beta that is a scope": lambda line: line.update(betas=["https://gw.example x"]),
    "no key": lambda line: line.pop("key"),
    "a key that is a path": lambda line: line.update(key="../" * 21 + "a"),
    "no request": lambda line: line.pop("request"),
    "a request that is a list": lambda line: line.update(request=[]),
    "no message": lambda line: line.pop("message"),
    "a message that is none": lambda line: line.update(message={"type": "error"}),
    "cut off": lambda line: line["message"].update(stop_reason="max_tokens"),
    "refused": lambda line: line["message"].update(stop_reason="refusal"),
    "of another form": lambda line: line.update(cached_answer=2),
    "of no time": lambda line: line.update(answered_at="yesterday"),
    "of minus one": lambda line: line.update(answered_at=-1),
    "too old": lambda line: line.update(answered_at=time.time() - 31 * 86400),
}


@pytest.mark.parametrize("name", EDITS)
async def test_a_line_that_says_anything_else_is_left_out(name: str, ours: Asked, theirs: Asked):
    (line,) = map(json.loads, lines_of(ours, text="plain"))
    EDITS[name](line)
    found = take(theirs, [encode(line)])
    assert (found.taken, found.there, sum(found.left_out.values())) == (0, 0, 1)
    assert theirs.sql("SELECT count(*) FROM Cache") == [(0,)]


@pytest.mark.parametrize("line", [b"", b"[]", b"7", b"{", b"\xff", b"[" * 100_000, b"{}"])
async def test_what_is_no_line_of_ours_is_left_out(line: bytes, theirs: Asked):
    assert take(theirs, [line]).left_out == {"no line of `cache export`": 1}


@pytest.mark.parametrize("number", [b"1" + b"0" * 400, b"-1" + b"0" * 400, b"1e300"])
@pytest.mark.parametrize("name", [b"answered_at", b"repeat"])
async def test_a_number_that_nothing_holds_is_left_out(
    name: bytes, number: bytes, ours: Asked, theirs: Asked
):
    (line,) = lines_of(ours, text="plain")
    edited = re.sub(b'("%b"): ?[0-9.]+' % name, b"\\1:%b" % number, line)
    assert edited != line
    found = take(theirs, [edited])
    assert (found.taken, sum(found.left_out.values())) == (0, 1)


async def test_an_answer_of_the_future_is_of_now(ours: Asked, theirs: Asked):
    (line,) = map(json.loads, lines_of(ours, text="plain"))
    line["answered_at"] = time.time() + 10**9
    assert take(theirs, [encode(line)]).taken == 1
    (entry,) = entries(theirs)
    assert entry.stored <= time.time() and entry.expires is not None
    assert entry.expires <= time.time() + 30 * 86400


async def test_what_is_left_of_its_time_counts_from_the_answer(ours: Asked, theirs: Asked):
    (line,) = map(json.loads, lines_of(ours, text="plain"))
    line["answered_at"] = time.time() - 20 * 86400
    take(theirs, [encode(line)])
    (entry,) = entries(theirs)
    assert entry.expires is not None
    assert abs(entry.expires - time.time() - 10 * 86400) < 60


async def test_answers_of_another_address_are_left_out(ours: Asked, theirs: Asked):
    found = take(theirs, lines_of(ours), scope=f"{SCOPE} https://gw.example")
    assert found.taken == 0 and sum(found.left_out.values()) == len(CALLS)


async def test_a_request_that_was_cut_cannot_be_checked(theirs: Asked, tmp_path: Path):
    long = Asked(tmp_path / "long")
    await long.ask((make_call("A page. " * 20_000), make_reply()))
    found = take(theirs, lines_of(long))
    assert found.left_out == {"its request is not whole, so its key cannot be checked": 1}


async def test_what_is_there_stays_and_the_policy_is_ones_own(ours: Asked, theirs: Asked):
    await theirs.ask((CALLS[0], make_reply("mine")))
    found = take(theirs, lines_of(ours))
    assert (found.taken, found.there) == (len(CALLS) - 1, 1)
    assert await theirs.find(key_of(CALLS[0])) == [make_reply("mine").message]
    (line,) = map(json.loads, lines_of(ours, text="again"))
    line["message"]["stop_reason"] = "max_tokens"
    theirs.sql("DELETE FROM Cache")
    keeps = replace(SETTINGS, policy=CachePolicy(keep_max_tokens=True))
    assert take(theirs, [encode(line)], keeps).taken == 1


async def test_what_is_there_but_too_old_gives_way(ours: Asked, theirs: Asked):
    await theirs.ask((CALLS[0], make_reply("mine, of long ago")))
    theirs.sql("UPDATE Cache SET expire_time = ?", time.time() - 1)
    assert take(theirs, lines_of(ours)) == CacheImport(len(CALLS), 0, {})
    assert await theirs.find(key_of(CALLS[0])) == [make_reply("1.50 €").message]


async def test_an_error_in_the_middle_keeps_what_was_taken(theirs: Asked, tmp_path: Path):
    many = Asked(tmp_path / "many")
    await many.ask(*((make_call(f"q{n}", row=n), make_reply()) for n in range(500)))
    lines = lines_of(many)
    theirs.sql(
        "CREATE TRIGGER stop BEFORE INSERT ON Cache WHEN (SELECT count(*) FROM Cache) = 250"
        " BEGIN SELECT RAISE(ABORT, 'disk'); END"
    )
    with pytest.raises(Exception, match="disk"):
        take(theirs, lines)
    assert theirs.sql("SELECT count(*) FROM About") == [(200,)]
    with theirs.reader() as cache:
        assert verify(cache, repair=False, now=time.time()).sound
    theirs.sql("DROP TRIGGER stop")
    assert take(theirs, lines) == CacheImport(300, 200, {})


async def test_an_imported_answer_is_a_hit_and_counts(ours: Asked, theirs: Asked):
    take(theirs, lines_of(ours))
    (reply,) = await theirs.ask((CALLS[0], make_reply("never asked")))
    assert (reply.source, reply.text, reply.model) == ("cache", "1.50 €", HAIKU)
    assert sum(entry.hits for entry in entries(theirs)) == 1
