"""The spend ledger: it may count too much for a while and never too little, and agrees
with the journal at the end.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.errors import StorageError
from claudebatch.core.reports import SpendLine
from claudebatch.storage.journal import AttemptState, open_journal
from claudebatch.storage.journal.queries import give_up_on_sent
from claudebatch.storage.journal.records import AttemptIntent, AttemptRecord
from claudebatch.storage.journal.statements import write_intents, write_outcomes
from claudebatch.storage.ledger import LedgerWriter, RunEntry, SpendReader, schema
from tests.support.journals import NOON_MS, intent, outcome

DAY_MS = 86_400_000
STARTED = datetime(2026, 11, 22, 12, tzinfo=UTC)
HAIKU, OPUS = "claude-haiku-5-5", "claude-opus-5-5"


def ledger(
    path: Path, run: str = "run-1", output: str = "out.jsonl", started: datetime = STARTED
) -> LedgerWriter:
    return LedgerWriter.open(path, RunEntry(run, output, started.isoformat()))


def hasty(path: Path) -> LedgerWriter:
    """A ledger that does not wait for the disk, for the many examples below."""
    writer = ledger(path)
    writer._connection.execute("PRAGMA synchronous=OFF")
    return writer


def lines(path: Path, what: str = "model") -> dict[str, SpendLine]:
    return {line.label: line for line in SpendReader(path).by(what)}  # type: ignore[arg-type]


def held(path: Path) -> int:
    """What the ledger holds for attempts without an outcome."""
    connection = sqlite3.connect(path)
    (amount,) = connection.execute("SELECT coalesce(sum(amount), 0) FROM holds").fetchone()
    connection.close()
    return int(amount)


def counted(path: Path) -> int:
    """What the ledger says that has left or may leave."""
    return sum(line.spent + line.unknown + line.held for line in SpendReader(path).by("run"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spend.sqlite"


def test_a_hold_is_in_the_file_before_its_request_may_leave(path: Path):
    writer = ledger(path)
    writer.apply([intent(1, worst=100), intent(2, worst=50)], [])
    assert counted(path) >= 150
    writer.close()
    assert (held(path), lines(path)[""].held) == (150, 150), "without an outcome it stays held"


def test_a_settlement_replaces_the_hold_by_the_exact_cost_and_the_tokens(path: Path):
    writer = ledger(path)
    writer.apply([intent(1), intent(2)], [])
    writer.apply(
        [], [outcome(1, cost=7, tokens=(1, 2, 3, 4)), outcome(2, cost=30, tokens=(10, 20, 30, 40))]
    )
    writer.close()
    line = lines(path)[HAIKU]
    assert (line.spent, line.unknown, line.attempts, line.answers) == (37, 0, 2, 2)
    assert (
        line.input_tokens,
        line.usage.cache_creation_input_tokens,
        line.usage.cache_read_input_tokens,
        line.output_tokens,
    ) == (11, 22, 33, 44)


def test_what_failed_costs_nothing_and_what_is_unknown_stays_held(path: Path):
    writer = ledger(path)
    writer.apply([intent(1), intent(2)], [])
    writer.apply([], [outcome(1, AttemptState.FAILED), outcome(2, AttemptState.UNKNOWN)])
    writer.close()
    line = lines(path)[HAIKU]
    assert (line.spent, line.unknown, line.attempts, line.answers) == (0, 100, 2, 0)


def test_a_simulated_answer_is_left_out_but_of_the_rehearsals_own_ledger(path: Path):
    writer = ledger(path)
    writer.apply([intent(1)], [])
    writer.apply([], [outcome(1, cost=99, simulated=True)])
    writer.close()
    assert lines(path) == {} and held(path) == 0
    rehearsed = LedgerWriter.open(
        path, RunEntry("run-2", "out.jsonl", STARTED.isoformat()), rehearsal=True
    )
    rehearsed.apply([intent(1)], [])
    rehearsed.apply([], [outcome(1, cost=99, simulated=True)])
    rehearsed.close()
    assert lines(path)[HAIKU].spent == 99


def test_a_settlement_counts_for_the_day_on_which_its_request_was_sent(path: Path):
    writer = ledger(path)
    before_midnight = NOON_MS + DAY_MS // 2 - 1
    writer.apply([intent(1, sent_ms=before_midnight), intent(2, sent_ms=before_midnight + 1)], [])
    writer.apply(
        [],
        [
            outcome(1, cost=5, sent_ms=before_midnight),
            outcome(2, cost=6, sent_ms=before_midnight + 1),
        ],
    )
    writer.close()
    by_day = lines(path, "day")
    assert {day: line.spent for day, line in by_day.items()} == {"2026-11-22": 5, "2026-11-23": 6}
    assert [line.label for line in SpendReader(path).by("day", since=date(2026, 11, 23))] == [
        "2026-11-23"
    ]


def test_runs_share_the_file_and_keep_apart(path: Path):
    one, other = (
        ledger(path, "run-1", "a.jsonl"),
        ledger(path, "run-2", "b.jsonl", STARTED.replace(hour=11)),
    )
    one.apply([intent(1, model=HAIKU)], [])
    other.apply([intent(1, model=OPUS)], [])
    one.apply([], [outcome(1, cost=5)])
    other.apply([], [outcome(1, cost=8, model=OPUS)])
    one.close()
    other.close()
    found = SpendReader(path).by("run")
    assert [(line.label, line.spent) for line in found] == [("run-2", 8), ("run-1", 5)], (
        "oldest first"
    )
    assert "a.jsonl" in found[1].note and "2026-11-22T12" in found[1].note


def test_rebuilding_one_run_leaves_the_others(path: Path, tmp_path: Path):
    other = ledger(path, "run-2")
    other.apply([intent(1)], [outcome(1, cost=8)])
    other.close()
    one = ledger(path, "run-1")
    one.apply([intent(1, worst=999)], [])
    one.rebuild(open_journal(tmp_path / "empty.sqlite"))
    one.close()
    assert {line.label: line.spent for line in SpendReader(path).by("run")}["run-2"] == 8


def test_without_a_ledger_there_is_no_spend_and_looking_makes_none(path: Path):
    assert SpendReader(path).by("run") == []
    assert not path.exists()


def test_a_file_that_is_no_ledger_is_refused_with_a_fix(path: Path):
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError) as caught:
        ledger(path)
    assert caught.value.fix
    assert "move the file away" in caught.value.fix
    with pytest.raises(StorageError):
        SpendReader(path).by("run")


def test_a_file_that_is_only_busy_is_not_to_be_moved_away(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    ledger(path).close()
    monkeypatch.setattr(schema, "_BUSY_S", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for look in (lambda: ledger(path), lambda: SpendReader(path).by("run")):
            with pytest.raises(StorageError, match="is locked") as caught:
                look()
            assert "wait" in caught.value.fix and "move" not in caught.value.fix


def test_a_damaged_file_is_named(path: Path):
    ledger(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * 4096 + whole[8192:])  # the table of runs
    with pytest.raises(StorageError, match=r"spend\.sqlite.*malformed"):
        ledger(path)


def test_the_file_is_for_its_owner_only_and_keeps_a_rollback_journal(path: Path):
    writer = ledger(path)
    writer.apply([intent(1)], [])
    modes = {entry.name: entry.stat().st_mode & 0o777 for entry in path.parent.iterdir()}
    writer.close()
    assert set(modes.values()) == {0o600} and path.parent.stat().st_mode & 0o777 == 0o700
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal", (
        "several runs write it at once"
    )
    connection.close()


# Whatever happens in whatever order

_ATTEMPTS = st.lists(
    st.tuples(
        st.integers(1, 1000),  # worst case
        st.floats(0, 1),  # share of it that it costs
        st.sampled_from(
            [
                AttemptState.ANSWERED,
                AttemptState.ANSWERED,
                AttemptState.FAILED,
                AttemptState.UNKNOWN,
                None,
            ]
        ),  # None: no outcome
        st.sampled_from([HAIKU, OPUS]),
        st.integers(0, 1),  # the day
        st.integers(0, 6),  # in which group the intent is written
        st.integers(0, 6),  # how many groups later the outcome is
        st.sampled_from([False, False, False, True]),  # simulated: it costs nothing
    ),
    max_size=30,
)


def _history(attempts) -> list[tuple[list[AttemptIntent], list[AttemptRecord]]]:
    groups: list[tuple[list[AttemptIntent], list[AttemptRecord]]] = [([], []) for _ in range(14)]
    for number, (worst, share, state, model, day, begun, later, simulated) in enumerate(
        attempts, 1
    ):
        sent_ms = NOON_MS + day * DAY_MS
        groups[begun][0].append(
            intent(number, row=number, worst=worst, model=model, sent_ms=sent_ms)
        )
        if state is not None:
            cost = round(worst * share)
            groups[begun + later][1].append(
                outcome(
                    number,
                    state,
                    row=number,
                    cost=cost,
                    worst=worst,
                    model=model,
                    sent_ms=sent_ms,
                    simulated=simulated,
                )
            )
    return groups


@settings(max_examples=25, deadline=None)
@given(attempts=_ATTEMPTS)
def test_it_never_counts_too_little_and_rebuilt_from_the_journal_it_says_the_same(
    tmp_path_factory, attempts
):
    folder = tmp_path_factory.mktemp("ledger")
    path = folder / "spend.sqlite"
    writer = hasty(path)
    journal = _journal(folder)
    at_stake: Counter[int] = Counter()
    for intents, outcomes in _history(attempts):
        writer.apply(intents, outcomes)
        at_stake.update({i.attempt: i.worst for i in intents})
        # Of a settlement the ledger may hear late, so what is settled still counts as
        # what it cost, at least.
        for done in outcomes:
            if done.state is not AttemptState.UNKNOWN:
                at_stake[done.attempt] = _cost(done)
        assert counted(path) >= sum(at_stake.values())
        _write_down(journal, intents, outcomes)
    writer.close()
    applied = _all_lines(path)
    assert counted(path) == sum(at_stake.values()), "at the end it is exact"
    give_up_on_sent(journal)
    again = hasty(path)
    again.rebuild(journal)
    again.close()
    journal.close()
    assert counted(path) == sum(at_stake.values()) and held(path) == 0
    if all(state is not None for _, _, state, *_ in attempts):
        assert _all_lines(path) == applied


@settings(max_examples=25, deadline=None)
@given(attempts=_ATTEMPTS, dies_at=st.integers(0, 13))
def test_after_a_death_it_counts_too_much_at_most_until_it_is_rebuilt(
    tmp_path_factory, attempts, dies_at
):
    folder = tmp_path_factory.mktemp("ledger")
    path = folder / "spend.sqlite"
    journal = _journal(folder)
    dead = hasty(path)
    at_stake: Counter[int] = Counter()
    for number, (intents, outcomes) in enumerate(_history(attempts)):
        if number == dies_at:
            break  # killed: nothing of what it still held in memory is written
        dead.apply(intents, outcomes)
        at_stake.update({i.attempt: i.worst for i in intents})
        at_stake.update(
            {
                o.attempt: _cost(o) - at_stake[o.attempt]
                for o in outcomes
                if o.state is not AttemptState.UNKNOWN
            }
        )
        _write_down(journal, intents, outcomes)
    assert counted(path) >= sum(at_stake.values())
    dead._connection.close()
    give_up_on_sent(journal)
    resumed = hasty(path)
    resumed.rebuild(journal)
    resumed.apply([intent(1000, worst=77)], [])
    resumed.close()
    journal.close()
    assert counted(path) == sum(at_stake.values()) + 77


def _cost(done: AttemptRecord) -> int:
    return 0 if done.simulated else done.price.cost


def _journal(folder: Path) -> sqlite3.Connection:
    journal = open_journal(folder / "journal.sqlite")
    journal.execute("PRAGMA synchronous=OFF")
    return journal


def _write_down(
    journal: sqlite3.Connection, intents: list[AttemptIntent], outcomes: list[AttemptRecord]
) -> None:
    """As a run does it, without its thread."""
    journal.execute("BEGIN")
    write_intents(journal, intents)
    write_outcomes(journal, outcomes)
    journal.execute("COMMIT")


def _all_lines(path: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT * FROM spend ORDER BY run, day, model").fetchall()
    found += connection.execute(
        "SELECT run, attempt, cost, state, worst FROM attempts ORDER BY 1, 2"
    ).fetchall()
    connection.close()
    return found
