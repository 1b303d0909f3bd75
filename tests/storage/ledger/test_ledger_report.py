"""What the ledger tells: by run, model, day, tag and route, and through its documented
views.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from claudebatch.core.reports import SpendLine
from claudebatch.storage.journal.records import AnswerSource, FreeAnswer, ResultRecord
from claudebatch.storage.journal.schema import AttemptState
from claudebatch.storage.ledger import Dearest, LedgerWriter, RunEntry, SpendReader, spend_report
from tests.support.journals import NOON_MS, intent, outcome

DAY_MS = 86_400_000
HAIKU, OPUS = "claude-haiku-5-5", "claude-opus-5-5"
DEAREST = Dearest(
    OPUS,
    {
        "input": 50,
        "cache_write_5m": 60,
        "cache_write_1h": 100,
        "cache_read": 5,
        "output": 250,
        "search": 10_000,
    },
)
DOCS = Path(__file__).parents[3] / "docs" / "ledger.md"
PICO = 10**12


def entry(run: str, *, tag: str = "", dearest: Dearest | None = None, hour: int = 12) -> RunEntry:
    return RunEntry(
        run, f"{run}.jsonl", f"2026-11-22T{hour:02}:00:00+00:00", tag=tag, dearest=dearest
    )


def saved(came: AnswerSource, amount: int) -> ResultRecord:
    free = FreeAnswer(came, amount, "2026-11-22", HAIKU, "default")
    return ResultRecord(1, True, b"{", b"{}", free=free)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with three runs: one over midnight, one tagged and routed, one that goes
    on.
    """
    path = tmp_path / "spend.sqlite"
    one = LedgerWriter.open(path, entry("a", hour=10))
    for number, (sent_ms, model) in enumerate(
        [(NOON_MS, HAIKU), (NOON_MS + DAY_MS, HAIKU), (NOON_MS, OPUS)], 1
    ):
        mine = intent(number, model=model, sent_ms=sent_ms)
        one.apply([mine], [])
        one.apply([], [outcome(number, cost=number * 10, model=model, sent_ms=sent_ms)])
    one.keep(
        [
            saved(AnswerSource.CACHE, 11),
            saved(AnswerSource.DUPLICATE, 5),
            saved(AnswerSource.API, 0),
        ]
    )
    one.close()
    two = LedgerWriter.open(path, entry("b", tag="nightly", dearest=DEAREST, hour=11))
    two.apply([intent(1), intent(2)], [])
    two.apply([], [outcome(1, cost=100, tokens=(10, 1, 2, 4)), outcome(2, AttemptState.UNKNOWN)])
    two.close()
    three = LedgerWriter.open(path, entry("c"))
    three.apply([intent(1, worst=300)], [])
    three._connection.close()
    return path


def by(path: Path, what: str, **more) -> dict[str, SpendLine]:
    return {line.label: line for line in SpendReader(path).by(what, **more)}  # type: ignore[arg-type]


def test_every_question_adds_up_to_the_same(path: Path):
    for what in ("run", "model", "day", "tag", "route"):
        lines = by(path, what).values()
        sums = [
            sum(getattr(line, name) for line in lines)
            for name in ("spent", "unknown", "held", "attempts")
        ]
        assert sums[0] == 160 and sums[1] == 100 and sums[3] == 5, what
        assert sums[2] >= 300, what


def test_money_that_is_settled_while_one_looks_is_counted_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    find = spend_report._dicts

    def found(*arguments):
        rows = find(*arguments)
        with (
            suppress(sqlite3.OperationalError),
            closing(sqlite3.connect(path, timeout=0)) as other,
        ):  # it is locked
            other.executescript(
                "BEGIN IMMEDIATE; UPDATE spend SET spent = spent + 300 WHERE run = 'b'; COMMIT;"
            )
            other.executescript("DELETE FROM holds;")
        return rows

    before = {label: line.spent + line.held for label, line in by(path, "tag").items()}
    monkeypatch.setattr(spend_report, "_dicts", found)
    assert {label: line.spent + line.held for label, line in by(path, "tag").items()} == before


def test_each_label_has_its_own(path: Path):
    assert {k: v.spent for k, v in by(path, "run").items()} == {"a": 60, "b": 100, "c": 0}
    assert {k: v.spent for k, v in by(path, "model").items()} == {HAIKU: 130, OPUS: 30, "": 0}
    assert {k: v.spent for k, v in by(path, "day").items()} == {"2026-11-22": 140, "2026-11-23": 20}
    assert {k: v.spent for k, v in by(path, "tag").items()} == {"": 60, "nightly": 100}
    assert {k: v.spent for k, v in by(path, "route").items()} == {"default": 160, "": 0}
    assert by(path, "route")["default"].note == f"{HAIKU}, {OPUS}"


def test_since_leaves_out_what_was_before(path: Path):
    assert {k: v.spent for k, v in by(path, "day", since=date(2026, 11, 23)).items()} == {
        "2026-11-23": 20
    }
    assert by(path, "run", since=date(2026, 11, 24)) == {}


def test_what_cost_nothing_is_counted_with_what_it_would_have_cost(path: Path):
    line = by(path, "run")["a"]
    assert (line.cached, line.shared, line.saved_cache) == (1, 1, 16)


def test_saved_by_routing_is_the_same_tokens_at_the_dearest_model_less_what_they_cost(path: Path):
    # The attempt that is unknown has no tokens and saves nothing.
    assert by(path, "run")["b"].saved_routing == 10 * 50 + 1 * 60 + 2 * 5 + 4 * 250 - 100
    assert by(path, "run")["a"].saved_routing == 0, "a run without a choice has no dearest model"


@pytest.mark.parametrize("rule", ["line", "--model"])
def test_whoever_named_the_model_was_not_routed(tmp_path: Path, rule: str):
    path = tmp_path / "spend.sqlite"
    writer = LedgerWriter.open(path, entry("a", dearest=DEAREST))
    mine = replace(intent(1), rule=rule)
    writer.apply([mine], [replace(outcome(1), intent=mine)])
    writer.close()
    assert by(path, "run")["a"].saved_routing == 0


def test_an_answer_without_a_price_saves_nothing_and_is_counted_apart(tmp_path: Path):
    path = tmp_path / "spend.sqlite"
    writer = LedgerWriter.open(path, entry("a", dearest=DEAREST))
    writer.apply([intent(1)], [outcome(1, cost=0, known=False)])
    writer.close()
    line = by(path, "run")["a"]
    assert (line.unpriced, line.saved_routing, line.spent) == (1, 0, 0)


# The views, as whoever opens the file with sqlite3 sees them


def view(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_attempts_read_as_dollars_moments_and_words(path: Path):
    found = view(
        path,
        "SELECT row_id, sent_at, dollars, worst_dollars, state, route, tag FROM v_attempts ORDER "
        "BY run",
    )
    assert found[0] == (
        "row-1",
        "2026-11-22T12:00:00.000Z",
        10 / PICO,
        100 / PICO,
        "answered",
        "default",
        "",
    )
    assert [row[4:] for row in found[3:]] == [
        ("answered", "default", "nightly"),
        ("unknown", "default", "nightly"),
    ]


def test_sums_are_there_by_run_day_model_route_and_tag(path: Path):
    assert view(
        path, "SELECT run, dollars, unknown_dollars, held_dollars > 0 FROM v_spend_by_run"
    ) == [
        ("a", 60 / PICO, 0, 0),
        ("b", 100 / PICO, 100 / PICO, 0),
        ("c", 0, 0, 1),
    ]
    assert view(path, "SELECT day, dollars FROM v_spend_by_day") == [
        ("2026-11-22", 140 / PICO),
        ("2026-11-23", 20 / PICO),
    ]
    assert view(path, "SELECT model, attempts FROM v_spend_by_model") == [(HAIKU, 4), (OPUS, 1)]
    assert view(path, "SELECT route, model, answers FROM v_spend_by_route") == [
        ("default", HAIKU, 3),
        ("default", OPUS, 1),
    ]
    assert view(path, "SELECT tag, saved_by_cache_dollars FROM v_spend_by_tag") == [
        ("", 16 / PICO),
        ("nightly", 0),
    ]
    assert view(path, "SELECT run, row_id, worst_dollars FROM v_unknown") == [
        ("b", "row-1", 100 / PICO)
    ]
    assert view(path, "SELECT run, output, dollars >= 3e-10 FROM v_holds") == [("c", "c.jsonl", 1)]


def test_a_run_and_a_day_of_which_money_is_only_held_are_in_the_views_of_sums(tmp_path: Path):
    path = tmp_path / "spend.sqlite"
    writer = LedgerWriter.open(path, entry("a"))
    writer.apply([intent(1)], [])
    assert view(
        path, "SELECT run, output, attempts, input_tokens, dollars, cached_rows FROM v_spend_by_run"
    ) == [("a", "a.jsonl", 0, 0, 0, 0)]
    ((held,),) = view(path, "SELECT held_dollars FROM v_spend_by_run")
    assert held >= 100 / PICO
    assert view(path, "SELECT day, answers, held_dollars FROM v_spend_by_day") == [
        ("2026-11-22", 0, held)
    ]
    writer.close()


def test_every_view_and_column_is_documented(path: Path):
    text = DOCS.read_text()
    sections = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL))
    views = [
        name
        for (name,) in view(path, "SELECT name FROM sqlite_schema WHERE type IN ('view', 'table')")
    ]
    for name in views:
        columns = [row[1] for row in view(path, f"PRAGMA table_info({name})")]
        missing = [column for column in columns if f"`{column}`" not in sections.get(name, "")]
        assert missing == [], f"{name} in docs/ledger.md lacks {missing}"
