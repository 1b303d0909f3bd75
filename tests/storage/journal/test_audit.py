"""A bit that flips in an answer or an amount is found, and what is damaged comes back
only as it was written.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from claudebatch.core.errors import StorageError
from claudebatch.core.result_lines import line, parts, place
from claudebatch.storage.journal import open_journal
from claudebatch.storage.journal.audit import audit
from claudebatch.storage.journal.checksums import (
    ATTEMPT_FIELDS,
    RESULT_FIELDS,
    add_checksums,
    attempt_checksum,
    result_checksum,
)
from claudebatch.storage.journal.queries import (
    decide_unknown,
    give_up_on_sent,
    result_lines,
    totals,
)
from tests.support.small_journal import a_small_run

CONTENT = (
    f"SELECT {', '.join(ATTEMPT_FIELDS)}, seal, body FROM attempts ORDER BY attempt",
    f"SELECT n, {', '.join(RESULT_FIELDS)}, seal FROM results ORDER BY n",
)


@pytest.fixture
async def journal(tmp_path: Path):
    await a_small_run(tmp_path / "journal.sqlite")
    connection = open_journal(tmp_path / "journal.sqlite")
    yield connection
    connection.close()


def content(journal: sqlite3.Connection) -> list[object]:
    """All answers and amounts; the error where they cannot be read."""
    journal.text_factory = bytes
    try:
        return [journal.execute(query).fetchall() for query in CONTENT]
    except (sqlite3.Error, ValueError) as error:
        return [str(error)]
    finally:
        journal.text_factory = str


async def test_a_run_as_it_was_written_is_sound(journal: sqlite3.Connection):
    found = audit(journal)
    assert found.sound and (found.attempts, found.results) == (7, 8)


async def test_every_single_byte_that_changes_an_answer_or_an_amount_is_found(tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    await a_small_run(path)
    whole = bytearray(path.read_bytes())
    whole[18:20] = b"\1\1"  # no log beside it: it is read from memory
    sound = content(_in_memory(bytes(whole)))
    chance = random.Random(7)
    changed = 0
    for position in _written(whole):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << chance.randrange(8)
        journal = _in_memory(bytes(flipped))
        if content(journal) != sound:
            changed += 1
            assert not audit(journal).sound, f"byte {position}"
        journal.close()
    assert changed > 1_000


def _written(whole: bytes) -> Iterator[int]:
    """The places of bytes that are not empty space."""
    return (place for place in range(100, len(whole)) if any(whole[place - 2 : place + 3]))


def _in_memory(data: bytes) -> sqlite3.Connection:
    journal = sqlite3.connect(":memory:", isolation_level=None)
    journal.deserialize(data)
    return journal


@pytest.mark.parametrize("name", ATTEMPT_FIELDS[1:])
async def test_every_field_of_a_request_is_sealed(journal: sqlite3.Connection, name: str):
    for damage in ("99", "x''", "''"):
        journal.execute(f"UPDATE attempts SET {name} = {damage} WHERE attempt = 2")
        assert 2 in audit(journal).bad_records


@pytest.mark.parametrize("name", RESULT_FIELDS)
async def test_every_field_of_a_result_is_sealed(journal: sqlite3.Connection, name: str):
    journal.execute(f"UPDATE results SET {name} = 99 WHERE n = 2")
    assert audit(journal).bad_results == (2,)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE attempts SET body = CAST('{\"answer\":2}' AS BLOB) WHERE attempt = 2",
        "UPDATE attempts SET body = 'text' WHERE attempt = 2",
        "UPDATE attempts SET body = NULL WHERE attempt = 2",
        "DELETE FROM attempts WHERE attempt = 2",
        'UPDATE results SET head = CAST(\'{"id":"x"\' AS BLOB) WHERE row = 2',
        "UPDATE results SET head = CAST(x'ff' AS TEXT) WHERE row = 2",
    ],
)
async def test_a_damaged_line_is_never_shown(journal: sqlite3.Connection, damage: str):
    journal.execute(damage)
    shown: list[bytes] = []
    with pytest.raises(StorageError, match="is damaged") as caught:
        shown.extend(result_lines(journal, ordered=False))
    assert "runs check --repair" in (caught.value.fix or "")
    assert not audit(journal).sound


async def test_what_a_session_or_the_user_decides_is_sealed_anew(journal: sqlite3.Connection):
    assert give_up_on_sent(journal) == 1
    assert audit(journal).sound
    assert decide_unknown(journal, billed=True) == 1
    assert audit(journal).sound and totals(journal).spent == 7 * 15 + 100


async def test_what_is_damaged_stays_found_when_its_request_is_given_up(
    journal: sqlite3.Connection,
):
    journal.execute("UPDATE attempts SET worst = 1 WHERE attempt = 7")
    give_up_on_sent(journal)
    decide_unknown(journal, billed=True)
    assert audit(journal).bad_records == (7,)


async def test_a_journal_without_seals_gets_them(journal: sqlite3.Connection):
    journal.execute("UPDATE attempts SET seal = x'', digest = NULL")
    journal.execute("UPDATE results SET seal = x''")
    assert not audit(journal).sound
    add_checksums(journal)
    assert audit(journal).sound


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b'{"id":"a","status":"succeeded","text":"x"', b'{"message": 1,"message":2}'),
        (b'{"id":",\\"message\\":","status":"succeeded"', b"[ ]"),
        (b'{"id":"a","status":"failed","error":{"type":"x","message":"m"}', None),
    ],
)
@pytest.mark.parametrize(
    "where",
    [b"", place(17, 'a,"input":b.jsonl', b""), place(1, "a", b'{"line":3,"file":",,line:1"}')],
)
def test_a_line_falls_into_the_parts_it_was_made_of(
    head: bytes, message: bytes | None, where: bytes
):
    assert parts(line(head, message, where)) == (head, message, where)


def test_seals_tell_fields_apart_that_look_alike_when_joined():
    rest = (None,) * (len(ATTEMPT_FIELDS) - 2)
    assert attempt_checksum(("a", "bc", *rest)) != attempt_checksum(("ab", "c", *rest))
    one = (1, 1, b"ab", None, b"c", 0, 0, "", b"")
    assert result_checksum(one) != result_checksum((1, 1, b"a", None, b"bc", 0, 0, "", b""))
    assert result_checksum((*one[:8], b"c")) != result_checksum((*one[:4], b"cc", *one[5:]))
    assert result_checksum((*one[:8], "")) != result_checksum(one)
    assert result_checksum((*one[:4], None, *one[5:])) != result_checksum((*one[:4], b"", *one[5:]))
