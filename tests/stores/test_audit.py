"""A bit that flips in an answer or an amount is found, and what is damaged comes back only as it was written."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from claudebatch.errors import StorageError
from claudebatch.results import line, parts
from claudebatch.stores.journal import State, open_journal
from claudebatch.stores.journal.audit import audit
from claudebatch.stores.journal.queries import decide_unknown, give_up_on_sent, result_lines, totals
from claudebatch.stores.journal.records import Result
from claudebatch.stores.journal.restore import restore
from claudebatch.stores.journal.seals import ATTEMPT_FIELDS, RESULT_FIELDS, attempt_seal, result_seal, seal_all
from tests.support.journals import Desk, failed, intent, open_desk, outcome, succeeded

CONTENT = (
    f"SELECT {', '.join(ATTEMPT_FIELDS)}, seal, body FROM attempts ORDER BY attempt",
    f"SELECT n, {', '.join(RESULT_FIELDS)}, seal FROM results ORDER BY n",
)


async def a_small_run(path: Path) -> None:
    """Answers, a failure, an unknown one, an answer that two rows share, one out of the cache."""
    desk = open_desk(path)
    for row in range(1, 6):
        await _sent(desk, row)
        message = b'{"answer":%d}' % (row * 1_000_003)
        desk.journal.settle(outcome(row, cost=7 * row, body=message)._replace(intent=intent(row, row=row)))
        await desk.journal.finish(_good(row, row, message))
    await _sent(desk, 6)
    desk.journal.settle(outcome(6, State.FAILED)._replace(intent=intent(6, row=6)))
    await desk.journal.finish(failed(6))
    await _sent(desk, 7)
    await desk.journal.finish(_good(8, 1, b'{"answer":1000003}'))
    await desk.journal.finish(_good(9, None, b'{"cached":9}'))
    await desk.close()
    desk.connection.close()


def _good(row: int, attempt: int | None, message: bytes) -> Result:
    return succeeded(row, attempt, message)._replace(head=b'{"id":"%d","status":"succeeded"' % row)


async def _sent(desk: Desk, row: int) -> None:
    await desk.journal.begin(intent(desk.journal.next_attempt(), row=row))


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
    for place in _written(whole):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << chance.randrange(8)
        journal = _in_memory(bytes(flipped))
        if content(journal) != sound:
            changed += 1
            assert not audit(journal).sound, f"byte {place}"
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
    journal.execute(f"UPDATE attempts SET {name} = 99 WHERE attempt = 2")
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


async def test_what_is_damaged_stays_found_when_its_request_is_given_up(journal: sqlite3.Connection):
    journal.execute("UPDATE attempts SET worst = 1 WHERE attempt = 7")
    give_up_on_sent(journal)
    decide_unknown(journal, billed=True)
    assert audit(journal).bad_records == (7,)


async def test_a_journal_without_seals_gets_them(journal: sqlite3.Connection):
    journal.execute("UPDATE attempts SET seal = x'', digest = NULL")
    journal.execute("UPDATE results SET seal = x''")
    assert not audit(journal).sound
    seal_all(journal)
    assert audit(journal).sound


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


async def test_an_answer_comes_back_only_from_a_copy_with_its_checksum(journal: sqlite3.Connection):
    journal.execute("UPDATE attempts SET body = x'00' WHERE attempt IN (2, 3)")
    copies = Copies(messages={2: b'{"answer":2000006}', 3: b'{"answer":"edited"}'})
    done = restore(journal, audit(journal), copies)
    assert (done.restored, done.lost, done.unsure) == (1, [3], [])
    assert audit(journal).sound
    assert [row for (row,) in journal.execute("SELECT row FROM results ORDER BY n")] == [1, 2, 4, 5, 6, 8, 9]
    assert totals(journal).spent == 7 * 15, "a lost answer stays paid for"


async def test_all_rows_that_shared_a_lost_answer_are_asked_again(journal: sqlite3.Connection):
    journal.execute("UPDATE attempts SET body = NULL WHERE attempt = 1")
    assert sorted(restore(journal, audit(journal), Copies()).lost) == [1, 8]
    assert audit(journal).sound


async def test_amounts_come_back_only_where_the_seal_confirms_them(journal: sqlite3.Connection):
    true = _record(journal, 2)
    journal.execute("UPDATE attempts SET cost = 1, output_tokens = 0 WHERE attempt IN (2, 3)")
    copies = Copies(records={2: true, 3: _record(journal, 3) | {"cost": 999}})
    done = restore(journal, audit(journal), copies)
    assert (done.restored, done.unsure) == (1, [3])
    assert _record(journal, 2) == true
    assert _record(journal, 3)["cost"] == 999, "never less than anybody says"
    assert audit(journal).sound


@pytest.mark.parametrize(("attempt", "state"), [(3, State.ANSWERED), (6, State.UNKNOWN)])
async def test_a_request_whose_state_nobody_knows_counts_at_its_most(
    journal: sqlite3.Connection, attempt: int, state: State
):
    journal.execute("UPDATE attempts SET state = 4, worst = -5 WHERE attempt = ?", (attempt,))
    copies = Copies(records={attempt: _record(journal, attempt) | {"worst": 300}})
    assert restore(journal, audit(journal), copies).unsure == [attempt]
    assert (_record(journal, attempt)["state"], _record(journal, attempt)["worst"]) == (state, 300)
    assert audit(journal).sound


async def test_a_record_whose_seal_is_damaged_is_believed_where_the_ledger_says_the_same(journal: sqlite3.Connection):
    journal.execute("UPDATE attempts SET seal = x'00' WHERE attempt IN (2, 3)")
    done = restore(journal, audit(journal), Copies(records={2: _record(journal, 2)}))
    assert (done.restored, done.unsure) == (1, [3])


async def test_a_damaged_digest_is_told_from_a_damaged_answer(journal: sqlite3.Connection):
    journal.execute("UPDATE attempts SET digest = x'00' WHERE attempt = 2")
    done = restore(journal, audit(journal), Copies())
    assert (done.restored, done.lost) == (1, [])
    assert audit(journal).sound


async def test_a_result_comes_back_from_its_line_or_goes(journal: sqlite3.Connection):
    lines = dict(zip((1, 2, 3, 4, 5, 6, 8, 9), result_lines(journal, ordered=False), strict=True))
    journal.execute('UPDATE results SET head = CAST(\'{"id":"9"\' AS BLOB) WHERE row IN (2, 6, 8)')
    journal.execute("UPDATE results SET body = x'00' WHERE row = 9")
    copies = Copies(lines={row: text for row, text in lines.items() if row in (6, 9)})
    done = restore(journal, audit(journal), copies)
    assert (done.restored, done.lost) == (2, [])
    assert audit(journal).sound
    left = [row for (row,) in journal.execute("SELECT row FROM results ORDER BY n")]
    assert left == [1, 3, 4, 5, 6, 9], "the others' answers lie in their requests and are shown by the next session"


def _record(journal: sqlite3.Connection, attempt: int) -> dict[str, object]:
    """What the ledger would say."""
    names = [name for name in ATTEMPT_FIELDS if name not in ("simulated", "digest")]
    found = journal.execute(f"SELECT {', '.join(names)} FROM attempts WHERE attempt = ?", (attempt,)).fetchone()
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b'{"id":"a","status":"succeeded","text":"x"', b'{"message": 1,"message":2}'),
        (b'{"id":",\\"message\\":","status":"succeeded"', b"[ ]"),
        (b'{"id":"a","status":"failed","error":{"type":"x","message":"m"}', None),
    ],
)
def test_a_line_falls_into_the_parts_it_was_made_of(head: bytes, message: bytes | None):
    assert parts(line(head, message)) == (head, message)


def test_seals_tell_fields_apart_that_look_alike_when_joined():
    assert attempt_seal(("a", "bc")) != attempt_seal(("ab", "c"))
    one = (1, 1, b"ab", None, b"c", 0, 0, "")
    assert result_seal(one) != result_seal((1, 1, b"a", None, b"bc", 0, 0, ""))
    assert result_seal((*one[:4], None, *one[5:])) != result_seal((*one[:4], b"", *one[5:]))
