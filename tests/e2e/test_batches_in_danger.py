"""What could pay for rows of batches twice, or lose their answers: a folder that is
thrown away, batches that are mixed up, downloads that are cut.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import suppress
from typing import Any

import pytest

from claudebatch.core.errors import ClaudebatchError
from claudebatch.simulator import SimulatedBatches
from tests.e2e.moments import Moment
from tests.e2e.world import World, prompts, query

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku")
BATCH = (*RUN, "--batch")
# Pico-dollars of a token of an answer, by batch.
TOKEN = 250_000


@pytest.fixture
def batches(world: World, serve: Any) -> Any:
    """Serves batches whose time flies, to runs that ask often."""

    def start(*, latency: str = "fixed:1", time: float = 1000.0, **settings: Any) -> Any:
        more = ", max_queued: 20" if settings.pop("one_by_one", False) else ""
        world.configure(f"batches: {{poll: 0.05s, max_requests: 20{more}}}\n")
        return serve(batches=SimulatedBatches(time=time, latency=latency), **settings)

    return start


def nothing_is_open(world: World, simulator: Any) -> None:
    """Every row was paid for once, and no money is left aside."""
    stats = simulator.stats()
    assert stats["batches"]["billed_again"] == 0
    assert world.settled() == stats["billed_pico"]
    assert world.ledger() == (stats["billed_pico"], 0)


def test_to_start_over_while_batches_are_with_the_api_is_refused(
    world: World, batches: Any
) -> None:
    simulator = batches(latency="fixed:1000")
    world.write("in.jsonl", prompts(30))
    assert world.claudebatch(*BATCH, "--detach").code == 0
    held = world.ledger()
    done = world.claudebatch(*BATCH, "--fresh", "--yes")
    assert done.code == 2, done.err
    assert "E790" in done.err
    assert "2 batches with 30 rows are with the API" in done.err
    assert world.ledger() == held
    # Nothing of it is lost: the same command collects.
    assert world.claudebatch(*BATCH).code == 0
    assert len(world.results()) == 30
    nothing_is_open(world, simulator)
    # Once they are collected, nobody minds.
    assert world.claudebatch(*BATCH, "--fresh", "--yes").code == 0


@pytest.mark.parametrize("more", [(), ("--forget",)])
def test_a_run_whose_batches_are_with_the_api_is_not_purged(
    world: World, batches: Any, more: tuple[str, ...]
) -> None:
    simulator = batches(latency="fixed:1000")
    world.write("in.jsonl", prompts(10))
    assert world.claudebatch(*BATCH, "--detach").code == 0
    held = world.ledger()
    done = world.claudebatch("runs", "purge", "out.jsonl", "--yes", *more)
    assert done.code != 0
    assert "E791" in done.err
    # To settle it decides nothing about them: they will tell themselves.
    world.claudebatch("runs", "settle", "out.jsonl", "--as", "free")
    assert world.ledger() == held
    assert world.claudebatch(*BATCH).code == 0
    nothing_is_open(world, simulator)
    assert world.claudebatch("runs", "purge", "out.jsonl", "--yes", *more).code == 0


def test_two_of_one_size_that_are_mixed_up_are_told_apart_by_their_results(
    world: World, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first create made nothing, the second did, and nobody told either: the batch
    that the list shows goes to the first intent, whose it is not.
    """
    monkeypatch.setattr("claudebatch.engine.batches.orphans.LAG_S", 0.5)
    simulator = batches(latency="fixed:3000", script=("batch_500", "batch_504"))
    world.write("in.jsonl", prompts(40))
    done = world.claudebatch(*BATCH)
    assert done.code == 0, done.err
    assert len(world.results()) == 40
    assert simulator.stats()["batches"]["made"] == 2
    nothing_is_open(world, simulator)


def test_a_stop_while_a_batch_is_built_sends_nothing(
    world: World, batches: Any, processes: World
) -> None:
    simulator = batches()
    world.write("in.jsonl", prompts(30))
    done = world.launch(
        *BATCH, "--budget", "5", moment=Moment((signal.SIGINT,), "upload_file.py:finish")
    ).wait()
    assert done.code == 130, done.err
    assert simulator.stats()["batches"]["made"] == 0
    assert world.ledger() == (0, 0)
    assert world.claudebatch(*BATCH).code == 0
    assert len(world.results()) == 30
    nothing_is_open(world, simulator)


def test_results_that_end_too_early_are_downloaded_again(world: World, batches: Any) -> None:
    simulator = batches(script=("batch_short", "batch_short"))
    world.write("in.jsonl", prompts(15))
    done = world.claudebatch(*BATCH)
    assert done.code == 0, done.err
    assert len(world.results()) == 15
    nothing_is_open(world, simulator)


def test_a_row_that_no_download_has_counts_as_maybe_billed(world: World, batches: Any) -> None:
    simulator = batches(script=("batch_short",) * 3)
    world.write("in.jsonl", prompts(1))
    done = world.claudebatch(*BATCH)
    assert done.code == 1, done.err
    assert "W081" in done.err
    (failed,) = world.results().values()
    assert failed["error"]["type"] == "batch_result_unknown"
    spent, unknown = world.ledger()
    assert (spent, unknown >= simulator.stats()["billed_pico"]) == (0, True)


def test_rows_that_wait_for_an_equal_one_are_with_the_api_too(world: World, batches: Any) -> None:
    simulator = batches(latency="fixed:1000")
    world.write("in.jsonl", [{"id": f"row-{n}", "prompt": f"prompt {n % 5}"} for n in range(12)])
    done = world.claudebatch(*BATCH, "--detach")
    assert done.code == 0, done.err
    assert world.claudebatch(*BATCH).code == 0
    assert len(world.results()) == 12
    nothing_is_open(world, simulator)


def test_rows_that_no_batch_has_are_not_hidden_by_those_beyond_the_limit(
    world: World, batches: Any
) -> None:
    batches(latency="fixed:100000")
    world.write("in.jsonl", prompts(10, max_tokens=100))
    assert world.claudebatch(*BATCH, "--detach").code == 0
    # Ten rows in front that no cap lets pass; those in the batch lie beyond the limit.
    big = [{"id": f"big-{n}", "prompt": f"big {n}", "max_tokens": 60_000} for n in range(10)]
    world.write("in.jsonl", [*big, *prompts(10, max_tokens=100)])
    done = world.claudebatch(*BATCH, "--detach", "-n", "10", "--budget", "0.01")
    assert done.code == 3, done.err


def test_what_another_run_holds_is_waited_for(
    world: World, batches: Any, processes: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose rows fit once another one has ended does not leave without them."""
    simulator = batches(latency="fixed:4000")
    # The worst case of one file's rows, not of two.
    worst = 20 * 1000 * TOKEN
    world.configure(f"budget: {{day: {worst * 1.5 / 1e12:.6f}}}\n")
    monkeypatch.setattr("claudebatch.engine.batches.sender._SHORT_S", 0.5)
    world.write("in.jsonl", prompts(20, max_tokens=1000))
    world.write(
        "other.jsonl",
        [{**row, "prompt": f"other {row['id']}"} for row in prompts(20, max_tokens=1000)],
    )
    first = processes.launch(*BATCH)
    world.until(lambda: simulator.stats()["batches"]["made"] == 1)
    done = world.claudebatch(
        "run", "other.jsonl", "-o", "other-out.jsonl", "-m", "haiku", "--batch"
    )
    assert first.wait().code == 0
    assert done.code == 0, done.err
    assert len(world.results("other-out.jsonl")) == 20
    assert world.ledger() == (simulator.stats()["billed_pico"], 0)


def test_the_money_of_a_detached_run_is_missing_to_others_until_it_is_collected(
    world: World, batches: Any
) -> None:
    simulator = batches(latency="fixed:2000")
    worst = 20 * 1000 * TOKEN
    world.configure(f"budget: {{day: {worst * 1.5 / 1e12:.6f}}}\n")
    world.write("in.jsonl", prompts(20, max_tokens=1000))
    world.write(
        "other.jsonl",
        [{**row, "prompt": f"other {row['id']}"} for row in prompts(20, max_tokens=1000)],
    )
    other = ("run", "other.jsonl", "-o", "other-out.jsonl", "-m", "haiku")
    assert world.claudebatch(*BATCH, "--detach").code == 0
    held = world.ledger()[1]
    assert held > 0
    # Settled as a dead one by whoever needs the money, it keeps what its batch holds.
    assert world.claudebatch("runs", "settle", "--all").code == 0
    assert world.ledger() == (0, held)
    done = world.claudebatch(*other, "--batch", "-n", "2", "--detach")
    assert done.code == 0, done.err
    both = world.ledger()[1]
    assert held < both <= worst * 1.5
    assert world.claudebatch(*BATCH).code == 0
    assert world.claudebatch(*other, "--batch").code == 0
    assert len(world.results("other-out.jsonl")) == 20
    assert world.ledger() == (simulator.stats()["billed_pico"], 0)


def test_two_runs_race_for_one_cap_and_never_pass_it_together(
    world: World, batches: Any, processes: World
) -> None:
    simulator = batches(latency="uniform:100,1500", use_all_max_tokens=True)
    # Less than either of them needs.
    cap = 45 * 400 * TOKEN
    world.configure(f"budget: {{day: {cap / 1e12:.6f}}}\n")
    for name in ("a", "b"):
        rows = [{**row, "prompt": f"{name} {row['id']}"} for row in prompts(50, max_tokens=400)]
        world.write(f"{name}.jsonl", rows)
    runs = [
        processes.launch(
            "run", f"{name}.jsonl", "-o", f"{name}-out.jsonl", "-m", "haiku", "--batch"
        )
        for name in ("a", "b")
    ]
    seen = 0
    ledger = world.home / "state" / "spend.sqlite"
    at_once = (
        "SELECT (SELECT coalesce(sum(spent + unknown), 0) FROM spend)"
        " + (SELECT coalesce(sum(amount), 0) FROM holds)"
    )
    while any(run.running for run in runs):
        # Its tables are being made.
        with suppress(sqlite3.OperationalError):
            seen = max(seen, query(ledger, at_once)[0][0])
        assert seen <= cap
        time.sleep(0.01)
    ended = [run.wait() for run in runs]
    assert {run.code for run in ended} == {3}, "both are ended by the cap"
    billed = simulator.stats()["billed_pico"]
    assert 0.8 * cap < billed <= cap
    assert world.ledger() == (billed, 0)


def test_what_came_back_from_a_batch_is_no_attempt_of_a_request_that_is_sent_at_once(
    world: World, batches: Any
) -> None:
    config = world.path("claudebatch.yaml")
    config.write_text(config.read_text().replace("retry: {", "retry: {max_attempts: 2, "))
    simulator = batches(script=("batch_expired", "529", "ok"))
    world.write("in.jsonl", prompts(1))
    assert world.claudebatch(*BATCH, "--detach").code == 0
    world.claudebatch(*RUN, "--collect")
    assert world.query("SELECT state FROM attempts") == [(2,)], "it expired, and waits"
    done = world.claudebatch(*RUN)
    assert done.code == 0, done.err
    assert world.results()["row-0"]["attempts"] == 2
    assert simulator.requests == 2


def test_answers_to_rows_of_a_file_that_is_not_given_wait_for_it(
    world: World, batches: Any
) -> None:
    simulator = batches()
    world.write("a.jsonl", prompts(2))
    world.write("b.jsonl", [{"id": f"b{n}", "prompt": f"b{n}"} for n in range(3)])
    both = ("run", "a.jsonl", "b.jsonl", "-o", "out.jsonl", "-m", "haiku")
    assert world.claudebatch(*both, "--batch", "--detach").code == 0
    done = world.claudebatch("run", "a.jsonl", "-o", "out.jsonl", "-m", "haiku", "-n", "2")
    assert done.code == 0, done.err
    assert set(world.results()) == {"row-0", "row-1"}
    done = world.claudebatch(*both)
    assert done.code == 0, done.err
    assert set(world.results()) == {"row-0", "row-1", "b0", "b1", "b2"}
    assert world.query("SELECT count(*) FROM attempts") == [(5,)], "none was asked again"
    assert simulator.requests == 0


def test_equal_rows_of_a_simulator_save_nothing(world: World, batches: Any) -> None:
    batches(marked=True)
    world.write("in.jsonl", [{"id": f"row-{n}", "prompt": "the same"} for n in range(4)])
    assert world.claudebatch(*BATCH).code == 0
    assert world.query("SELECT sum(saved) FROM results") == [(0,)]


def test_a_fault_of_what_is_sent_at_once_is_told_before_batches_end(
    world: World, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ClaudebatchError("E217", "the connection cannot be set up: a test", fix="mend it")

    monkeypatch.setattr("claudebatch.engine.dependencies.LazyClient.open", broken)
    simulator = batches(latency="fixed:30000")
    world.configure(
        "routes:\n  - {name: urgent, when: {tags: [a]}, model: claude-haiku-5-5, via: live}\n"
    )
    world.write("in.jsonl", [*prompts(3), {"id": "now", "prompt": "now", "tags": ["a"]}])
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--batch")
    assert "E217" in done.err
    assert simulator.stats()["batches"]["ended"] == 0, "it waited for them"


def test_a_row_that_cannot_fit_keeps_no_others_out_of_a_batch(world: World, batches: Any) -> None:
    batches()
    beta = {"betas": ["output-300k-2026-03-24"]}
    dear = {"id": "dear", "prompt": "x", "max_tokens": 60_000, **beta}
    world.write("in.jsonl", [dear, *prompts(5, max_tokens=10)])
    done = world.claudebatch(*BATCH, "--budget", "0.001")
    assert done.code == 3, done.err
    assert set(world.results()) == {f"row-{n}" for n in range(5)}


@pytest.mark.parametrize("fault", ["batch_twice", "batch_504"])
def test_a_batch_that_was_made_twice_is_booked_twice(
    world: World, batches: Any, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr("claudebatch.engine.batches.orphans.LAG_S", 0.5)
    # Of the second create nobody hears: the first one's twin may be taken for its
    # batch.
    script = ("batch_twice",) if fault == "batch_twice" else ("batch_twice", fault)
    simulator = batches(latency="fixed:300", script=script)
    world.write("in.jsonl", prompts(40 if fault == "batch_504" else 15))
    done = world.claudebatch(*BATCH, "--budget", "5")
    assert done.code == 0, done.err
    assert "W121" in done.err
    stats = simulator.stats()
    twice = 20 if fault == "batch_504" else 15
    assert stats["batches"]["billed_again"] == twice
    assert len(world.results()) == (40 if fault == "batch_504" else 15)
    assert world.settled() == stats["billed_pico"]
    assert world.ledger() == (stats["billed_pico"], 0)
    # Once: another look finds nothing new, also where the ledger is made anew.
    world.write("in.jsonl", prompts(41))
    (world.home / "state" / "spend.sqlite").unlink()
    assert world.claudebatch(*BATCH, "--budget", "5").code == 0
    assert world.settled() == simulator.stats()["billed_pico"]
    assert world.ledger() == (simulator.stats()["billed_pico"], 0)


def test_batches_of_others_beside_ours_are_no_twins(world: World, batches: Any) -> None:
    simulator = batches(latency="fixed:100")
    world.write("in.jsonl", prompts(10))
    world.claudebatch(*BATCH, "--detach")
    other = ("run", "other.jsonl", "-o", "other-out.jsonl", "-m", "haiku", "--batch")
    world.write("other.jsonl", [{"id": f"x{n}", "prompt": f"other {n}"} for n in range(10)])
    world.claudebatch(*other, "--detach")
    # As if another machine had made that one.
    with sqlite3.connect(world.home / "state" / "spend.sqlite") as ledger:
        ledger.execute("DELETE FROM batches WHERE run IN (SELECT max(run) FROM batches)")
    time.sleep(0.3)
    done = world.claudebatch(*BATCH)
    assert (done.code, "W121" in done.err) == (0, False), done.err
    assert world.query("SELECT count(*) FROM attempts") == [(10,)]
    assert world.claudebatch(*other).code == 0
    spent = simulator.stats()["billed_pico"]
    assert world.ledger() == (spent, 0)


def test_answers_to_lines_that_were_edited_meanwhile_are_booked_and_are_no_rows(
    world: World, batches: Any
) -> None:
    simulator = batches(latency="fixed:1000")
    world.write("in.jsonl", prompts(10))
    assert world.claudebatch(*BATCH, "--detach").code == 0
    rows = prompts(9)
    rows[0]["prompt"] = "another one"
    world.write("in.jsonl", rows)
    done = world.claudebatch(*BATCH, "--collect")
    assert set(world.results()) == {f"row-{n}" for n in range(1, 9)}, done.err
    assert world.settled() == simulator.stats()["billed_pico"], "all ten are paid for"
    done = world.claudebatch(*BATCH, "--yes")
    assert done.code == 0, done.err
    assert set(world.results()) == {f"row-{n}" for n in range(9)}
    assert world.query("SELECT count(*) FROM attempts") == [(11,)]
    nothing_is_open(world, simulator)
