"""Caps in the ledger: what is used of a day, a month or a tag, and taking out of them
so that nobody passes them.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from claudebatch.core.shared_cap import SharedCap
from claudebatch.storage.ledger import open_ledger
from claudebatch.storage.ledger.shared_caps import SharedCaps

DAY, NEXT, LATER = "2026-11-30", "2026-12-01", "2027-01-15"
DAILY = SharedCap("day", 1000, "day")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "spend.sqlite"


def write(
    ledger: Path,
    *,
    run: str,
    day: str,
    spent: int = 0,
    unknown: int = 0,
    held: int = 0,
    tag: str = "",
) -> None:
    connection = open_ledger(ledger)
    connection.execute(
        "INSERT OR IGNORE INTO runs (run, output, started, tag) VALUES (?, 'o', 's', ?)", (run, tag)
    )
    connection.execute(
        "INSERT INTO spend (run, day, model, rule, spent, unknown) VALUES (?,?,'m','r',?,?)"
        " ON CONFLICT DO UPDATE SET spent = spent + excluded.spent, unknown = unknown + "
        "excluded.unknown",
        (run, day, spent, unknown),
    )
    connection.execute(
        "INSERT INTO holds VALUES (?,?,?) ON CONFLICT DO UPDATE SET amount = amount + "
        "excluded.amount",
        (run, day, held),
    )
    connection.close()


def used(ledger: Path, cap: SharedCap, day: str) -> tuple[int, int]:
    book = SharedCaps.open(ledger, "me", [cap])
    (use,) = book.uses(day).uses
    book.close(clear=False)
    return use.gone, use.held


def test_what_counts_for_a_cap_is_what_is_gone_and_held_in_its_span_and_under_its_tag(ledger):
    write(ledger, run="a", day=DAY, spent=1, unknown=2, held=4, tag="x")
    write(ledger, run="a", day=NEXT, spent=8, unknown=16, held=32, tag="x")
    write(ledger, run="b", day=DAY, spent=64, unknown=128, held=256)
    write(ledger, run="a", day=LATER, spent=512, tag="x")
    assert used(ledger, DAILY, DAY) == (1 + 2 + 64 + 128, 4 + 256)
    assert used(ledger, SharedCap("month", 1, "month"), NEXT) == (8 + 16, 32)
    assert used(ledger, SharedCap("tag x", 1, "total", "x"), DAY) == (1 + 2 + 8 + 16 + 512, 4 + 32)
    assert used(ledger, SharedCap("tag x per day", 1, "day", "x"), DAY) == (3, 4)
    assert used(ledger, SharedCap("tag x per month", 1, "month", "x"), NEXT) == (24, 32)
    assert used(ledger, SharedCap("tag y", 1, "total", "y"), DAY) == (0, 0)


def test_all_that_is_wished_or_what_is_there_or_nothing_if_it_is_too_little(ledger):
    write(ledger, run="other", day=DAY, spent=300, held=200)
    book = SharedCaps.open(ledger, "me", [DAILY])
    assert book.take(DAY, least=100, wish=300).amount == 300
    assert book.take(DAY, least=100, wish=300).amount == 200
    refused = book.take(DAY, least=1, wish=300)
    assert (refused.amount, refused.uses[0].gone, refused.uses[0].held, refused.uses[0].room) == (
        0,
        300,
        700,
        0,
    )
    assert refused.own == {DAY: 500}
    book.give_back({DAY: 450})
    assert book.take(DAY, least=450, wish=450).amount == 450
    assert book.take(NEXT, least=1000, wish=1000).amount == 1000, "another day is another cap"
    book.close(clear=True)
    assert used(ledger, DAILY, DAY) == (300, 200)


def test_more_is_taken_ahead_only_where_plenty_is_left(ledger):
    book = SharedCaps.open(ledger, "me", [SharedCap("day", 100_000, "day")])
    assert book.take(DAY, least=100, wish=100, ahead=300).amount == 400
    write(ledger, run="other", day=DAY, held=98_000)
    assert book.take(DAY, least=100, wish=100, ahead=300).amount == 100 + (1600 - 100) // 16
    book.close(clear=False)


def test_of_several_caps_the_tightest_counts(ledger):
    write(ledger, run="me", day=DAY, tag="x")
    book = SharedCaps.open(ledger, "me", [DAILY, SharedCap("tag x", 400, "total", "x")])
    assert book.take(DAY, least=1, wish=1000).amount == 400
    assert [use.held for use in book.take(DAY, least=1, wish=1).uses] == [400, 400]
    book.close(clear=False)


def test_what_others_write_meanwhile_is_seen_at_once(ledger):
    book = SharedCaps.open(ledger, "me", [DAILY])
    assert book.take(DAY, least=100, wish=100).amount == 100
    write(ledger, run="other", day=DAY, spent=899)
    assert book.take(DAY, least=2, wish=2).amount == 0
    assert book.take(DAY, least=1, wish=2).amount == 1
    book.close(clear=False)


def test_sums_beyond_sixty_four_bits_are_exact(ledger):
    for run in range(4):
        write(ledger, run=f"r{run}", day=DAY, spent=2**62 + run, unknown=2**62, held=2**62)
    assert used(ledger, DAILY, DAY) == (2**65 + 6, 2**64)


def test_a_transaction_that_fails_takes_nothing(ledger):
    book = SharedCaps.open(ledger, "me", [DAILY])
    assert book.take(DAY, least=100, wish=100).amount == 100
    with pytest.raises((sqlite3.Error, OverflowError)):
        book.give_back({DAY: 50, NEXT: 2**64})
    assert used(ledger, DAILY, DAY) == (0, 100)
    assert book.take(DAY, least=1, wish=5000).amount == 900
    book.close(clear=False)


def test_threads_that_race_never_take_more_than_there_is(ledger):
    open_ledger(ledger).close()
    taken: list[int] = []

    def grab(name: str) -> None:
        book = SharedCaps.open(ledger, name, [DAILY])
        while amount := book.take(DAY, least=1, wish=7).amount:
            taken.append(amount)
        book.close(clear=False)

    threads = [threading.Thread(target=grab, args=(f"run {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(taken) == 1000
    assert used(ledger, DAILY, DAY) == (0, 1000)


def test_other_holders_are_named_and_ones_own_holds_are_not(ledger):
    write(ledger, run="other", day=DAY, held=5)
    write(ledger, run="done", day=DAY, spent=5)
    book = SharedCaps.open(ledger, "me", [DAILY])
    book.take(DAY, least=1, wish=1)
    assert book.holders() == ["other"]
    book.close(clear=False)
