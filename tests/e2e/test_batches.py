"""Rows that go out with message batches: every answer once, at half the price, and the
same command collects what an earlier one sent.
"""

from __future__ import annotations

import json
import random
import signal
import time
from decimal import Decimal
from typing import Any
from urllib.request import Request, urlopen

import pytest

from claudebatch.core.errors import AttemptError
from claudebatch.simulator import SimulatedBatches
from tests.e2e.world import World, prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku")
BATCH = (*RUN, "--batch")
# Seconds of batch time: at once, in the time of a test.
SOON = "fixed:1"


@pytest.fixture
def batches(world: World, serve: Any) -> Any:
    """Serves batches whose time flies, to runs that ask often."""
    world.configure("batches: {poll: 0.05s, max_requests: 20}\n")

    def start(*, latency: str = SOON, time: float = 1000.0, **settings: Any) -> Any:
        return serve(batches=SimulatedBatches(time=time, latency=latency), **settings)

    return start


def another(world: World) -> World:
    """A second user of the same account."""
    folder = world.folder / "stranger"
    folder.mkdir()
    return World(folder, world._monkeypatch, world._capfd, None)


def billed(simulator: Any) -> int:
    found: int = simulator.stats()["billed_pico"]
    return found


def test_every_row_has_its_answer_at_half_the_price(world: World, batches: Any) -> None:
    simulator = batches()
    world.write("in.jsonl", prompts(50))
    done = world.claudebatch(*BATCH, "--budget", "5")
    assert done.code == 0, done.err
    results = world.results()
    assert len(results) == 50
    assert {line["via"] for line in results.values()} == {"batch"}
    assert {line["usage"]["service_tier"] for line in results.values()} == {"batch"}
    assert simulator.requests == 0, "nothing went out by itself"
    spent = world.settled()
    assert spent == billed(simulator) == world.ledger()[0]
    assert world.ledger()[1] == 0, "nothing is held or unknown"
    # The same rows, sent at once: twice as dear, row by row.
    world.claudebatch("run", "in.jsonl", "-o", "live.jsonl", "-m", "haiku", "--no-cache")
    assert world.settled("live.jsonl") == 2 * spent


def test_the_same_command_again_sends_nothing(world: World, batches: Any) -> None:
    simulator = batches()
    world.write("in.jsonl", prompts(30))
    world.claudebatch(*BATCH)
    before = billed(simulator)
    done = world.claudebatch(*BATCH)
    assert done.code == 0
    assert billed(simulator) == before
    # Nor does another file with the same prompts: they are in the cache.
    world.claudebatch("run", "in.jsonl", "-o", "other.jsonl", "-m", "haiku", "--batch")
    assert billed(simulator) == before
    assert {line["source"] for line in world.results("other.jsonl").values()} == {"cache"}


def test_equal_rows_are_asked_once(world: World, batches: Any) -> None:
    batches()
    rows = [{"id": f"row-{n}", "prompt": f"prompt {n % 7}"} for n in range(60)]
    world.write("in.jsonl", rows)
    assert world.claudebatch(*BATCH).code == 0
    results = world.results()
    assert len(results) == 60
    assert sorted(line["source"] for line in results.values()).count("api") == 7
    for n, row in enumerate(rows):
        assert results[row["id"]]["text"] == results[f"row-{n % 7}"]["text"]
    assert world.query("SELECT count(*) FROM attempts") == [(7,)]


def test_without_the_cache_each_of_them_is_asked(world: World, batches: Any) -> None:
    batches()
    world.write("in.jsonl", [{"id": f"row-{n}", "prompt": "the same"} for n in range(5)])
    assert world.claudebatch(*BATCH, "--no-cache").code == 0
    assert world.query("SELECT count(*) FROM attempts") == [(5,)]


def test_detached_it_leaves_and_the_same_command_collects(world: World, batches: Any) -> None:
    simulator = batches(latency="fixed:1000")
    world.write("in.jsonl", prompts(45))
    done = world.claudebatch(*BATCH, "--detach", "--budget", "5")
    assert done.code == 0, done.err
    assert "3 batches with 45 rows are with the API" in done.err
    assert world.path("out.jsonl").read_text() == ""
    spent, held = world.ledger()
    assert spent == 0
    worst = world.query("SELECT sum(worst) FROM attempts")[0][0]
    assert held == worst, "the worst case stays held while nobody runs"
    done = world.claudebatch(*BATCH, "--budget", "5")
    assert done.code == 0, done.err
    assert len(world.results()) == 45
    assert world.query("SELECT count(*) FROM attempts") == [(45,)], "nothing was sent again"
    assert world.ledger() == (billed(simulator), 0)


def test_what_is_left_with_the_api_is_said_for_people_and_programs(
    world: World, batches: Any
) -> None:
    batches(latency="fixed:1000")
    world.write("in.jsonl", prompts(45))
    done = world.claudebatch(*BATCH, "--detach", "--json", "--log", "run.log")
    events = [json.loads(line) for line in done.out.splitlines()]
    end = events[-1]
    assert (end["in_batches"], end["open_batches"], end["pending"]) == (45, 3, 45)
    worst = world.query("SELECT sum(worst) FROM attempts")[0][0]
    assert Decimal(end["held_usd"]) * 10**12 == worst
    assert end["stop_reason"] is None, "it ended as it was told to"
    assert "--detach" not in end["next_command"]
    told = [(event["batch"], event["state"]) for event in events if event["event"] == "batch"]
    # The first may have been asked about before the last is made.
    assert {state for _, state in told} <= {"submitted", "in progress"}
    made = [one for one in told if one[1] == "submitted"]
    assert made == [(1, "submitted"), (2, "submitted"), (3, "submitted")]
    progress = [event for event in events if event["event"] == "progress"][-1]
    assert (progress["batches"]["open"], progress["batches"]["rows"]) == (3, 45)
    assert (progress["eta_s"], progress["batches"]["held_usd"]) == (None, end["held_usd"])
    # The next session knows them before it asks, and tells what came back.
    done = world.claudebatch(*BATCH, "--log", "run.log")
    assert "batch 1 is back: 20 answered" in done.err
    assert "p50" not in done.err, "nobody sees how long the API takes for a row of a batch"
    lines = [json.loads(line) for line in world.path("run.log").read_text().splitlines()]
    ends = [line["batch"] for line in lines if line.get("state") == "collected"]
    assert sorted(ends) == [1, 2, 3]
    attempts = [line for line in lines if line["event"] == "attempt"]
    assert {line["id"] for line in attempts} == {f"row-{n}" for n in range(45)}
    assert {line["via"] for line in attempts} == {"batch"}


def test_a_run_that_sends_at_once_collects_them_too(world: World, batches: Any) -> None:
    simulator = batches(latency="fixed:500")
    world.write("in.jsonl", prompts(20))
    world.claudebatch(*BATCH, "--detach")
    world.write("in.jsonl", prompts(25))
    done = world.claudebatch(*RUN)
    assert done.code == 0, done.err
    results = world.results()
    assert {results[f"row-{n}"]["via"] for n in range(20)} == {"batch"}
    assert {results[f"row-{n}"]["via"] for n in range(20, 25)} == {"live"}
    assert simulator.requests == 5


def test_no_cap_is_passed_and_what_does_not_fit_waits_for_a_batch_to_end(
    world: World, batches: Any
) -> None:
    simulator = batches()
    world.write("in.jsonl", prompts(60, max_tokens=100))
    # The worst case of about 25 rows; all 60 cost less than that.
    worst = 25 * 100 * 250_000
    done = world.claudebatch(*BATCH, "--budget", f"{worst / 1e12:.6f}")
    assert billed(simulator) <= worst
    assert world.query("SELECT count(*) FROM batches WHERE requests > 0")[0][0] >= 2
    if done.code == 0:
        assert len(world.results()) == 60
    else:
        assert done.code == 3, done.err


def test_a_row_that_can_never_fit_is_left_and_said(world: World, batches: Any) -> None:
    batches()
    world.write("in.jsonl", [*prompts(5, max_tokens=10), {"id": "big", "prompt": "x"}])
    done = world.claudebatch(*BATCH, "--budget", "0.001")
    assert done.code == 3, done.err
    assert "cap is reached" in done.err
    assert set(world.results()) == {f"row-{n}" for n in range(5)}


def test_rules_choose_the_way(world: World, batches: Any) -> None:
    simulator = batches()
    world.configure(
        "via: batch\n"
        "routes:\n"
        "  - {name: urgent, when: {tags: [urgent]}, model: claude-haiku-5-5, via: live}\n"
    )
    rows = [
        *prompts(10),
        *(
            {**row, "id": f"u{row['id']}", "tags": ["urgent"], "max_tokens": 77}
            for row in prompts(4)
        ),
    ]
    world.write("in.jsonl", rows)
    assert world.claudebatch("run", "in.jsonl", "-o", "out.jsonl").code == 0
    via = {name: line["via"] for name, line in world.results().items()}
    assert {via[f"row-{n}"] for n in range(10)} == {"batch"}
    assert {via[f"urow-{n}"] for n in range(4)} == {"live"}
    assert simulator.requests == 4


def test_what_a_batch_refuses_is_sent_at_once(world: World, batches: Any) -> None:
    simulator = batches()
    fast = {"id": "fast", "prompt": "x", "model": "claude-opus-5-5", "speed": "fast"}
    world.write("in.jsonl", [*prompts(5), fast])
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--batch")
    assert done.code == 0, done.err
    assert world.results()["fast"]["via"] == "live"
    assert simulator.requests == 1


FAULTY = {
    "batch_invalid": 0.03,
    "batch_overloaded": 0.05,
    "batch_api_error": 0.05,
    "batch_expired": 0.05,
    "batch_canceled": 0.05,
    "batch_flat": 0.2,
    "batch_cut": 0.25,
    "batch_404": 0.2,
    "batch_lag": 0.2,
    "batch_500": 0.1,
}


@pytest.mark.parametrize("seed", range(3))
def test_every_row_ends_once_whatever_becomes_of_its_batch(
    world: World, batches: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    # A list is believed after two seconds, not three minutes; this one lags by one.
    monkeypatch.setattr("claudebatch.engine.batches.orphans.LAG_S", 2.0)
    simulator = batches(faults=FAULTY, seed=seed)
    world.configure("batches: {poll: 0.02s, max_requests: 50, tries: 8}\n")
    text = world.path("claudebatch.yaml").read_text()
    world.path("claudebatch.yaml").write_text(
        text.replace("batches: {poll: 0.05s, max_requests: 20}\n", "")
    )
    world.write("in.jsonl", prompts(200))
    done = world.claudebatch(*BATCH)
    results = world.results()
    assert len(results) == 200, done.err
    failed = [line for line in results.values() if line["status"] == "failed"]
    assert {line["error"]["type"] for line in failed} <= {"invalid_request_error"}
    assert done.code == (1 if failed else 0)
    assert world.settled() == billed(simulator) == world.ledger()[0]
    assert world.ledger()[1] == 0


def test_an_answer_of_an_unknown_kind_is_kept_as_maybe_billed(world: World, batches: Any) -> None:
    batches(script=("batch_unknown",))
    world.write("in.jsonl", prompts(3))
    done = world.claudebatch(*BATCH)
    assert done.code == 1
    (failed,) = [line for line in world.results().values() if line["status"] == "failed"]
    assert failed["error"]["type"] == "batch_result_unknown"
    assert world.ledger()[1] > 0


@pytest.mark.parametrize("fault", ["batch_504", "batch_lost"])
def test_a_create_without_an_answer_is_found_and_never_sent_again(
    world: World, batches: Any, fault: str
) -> None:
    simulator = batches(script=(fault,))
    world.write("in.jsonl", prompts(15))
    done = world.claudebatch(*BATCH)
    assert done.code == 0, done.err
    assert len(world.results()) == 15
    assert world.query("SELECT count(*) FROM attempts") == [(15,)]
    assert simulator.stats()["batches"]["made"] == 1
    assert world.ledger() == (billed(simulator), 0)


def test_a_batch_of_another_program_is_let_go(world: World, batches: Any) -> None:
    """It has as many rows, and was made in the same moment: only its results tell."""
    simulator = batches(script=("batch_504", "batch_504"))
    world.write("in.jsonl", prompts(15))
    # The other program: it never hears of its batch either.
    stranger = another(world)
    stranger.environment |= {
        name: world.environment[name] for name in ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY")
    }
    stranger.configure("batches: {poll: 0.05s}\n")
    stranger.write("in.jsonl", [{"id": f"o{n}", "prompt": f"other {n}"} for n in range(15)])
    assert stranger.claudebatch(*BATCH).code == 0
    done = world.claudebatch(*BATCH)
    assert done.code == 0, done.err
    ours = {line["text"] for line in world.results().values()}
    theirs = {line["text"] for line in stranger.results().values()}
    assert not ours & theirs
    assert simulator.stats()["batches"]["made"] == 2


def test_batches_that_are_too_large_are_cut_smaller(world: World, serve: Any) -> None:
    world.configure("batches: {poll: 0.05s}\n")
    serve(batches=SimulatedBatches(time=1000.0, latency=SOON, max_bytes=4000))
    world.write("in.jsonl", prompts(60))
    done = world.claudebatch(*BATCH)
    assert done.code == 0, done.err
    assert "W082" in done.err
    assert len(world.results()) == 60
    assert world.ledger()[1] == 0


def test_a_row_that_no_batch_takes_stops_them(world: World, serve: Any) -> None:
    world.configure("batches: {poll: 0.05s}\n")
    serve(batches=SimulatedBatches(time=1000.0, latency=SOON, max_bytes=100))
    world.write("in.jsonl", prompts(2))
    done = world.claudebatch(*BATCH)
    assert (done.code, "E780" in done.err) == (5, True)
    assert world.ledger() == (0, 0)


def test_where_no_batches_can_be_made_the_run_ends_and_nothing_is_held(
    world: World, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_found(*_: Any, **__: Any) -> None:
        raise AttemptError("404 Not Found", type="not_found_error", status=404)

    # As a gateway answers that knows messages only.
    monkeypatch.setattr("claudebatch.clients.batch_client.ClaudeBatches.create", not_found)
    batches()
    world.write("in.jsonl", prompts(1))
    done = world.claudebatch(*BATCH)
    assert (done.code, "[E781]" in done.err) == (5, True), done.err
    assert "batches cannot be made: 404 Not Found" in done.err
    assert "its 1 row was not sent" in done.err
    assert world.ledger() == (0, 0)


def test_results_that_are_gone_after_29_days_are_told_and_asked_again(
    world: World, batches: Any
) -> None:
    # A day lasts a hundredth of a second.
    simulator = batches(time=8_640_000.0)
    world.write("in.jsonl", prompts(4))
    assert world.claudebatch(*BATCH, "--detach").code == 0
    time.sleep(0.5)
    done = world.claudebatch(*RUN)
    assert done.code == 0, done.err
    assert "W083" in done.err
    assert {line["via"] for line in world.results().values()} == {"live"}
    assert simulator.requests == 4
    worst = world.query("SELECT sum(worst) FROM attempts WHERE batch > 0")[0][0]
    assert world.ledger()[1] == worst, "they may have been billed"


def test_killed_at_random_moments_it_loses_and_repeats_nothing(
    world: World, batches: Any, processes: Any
) -> None:
    simulator = batches(latency="fixed:300")
    world.write("in.jsonl", prompts(60))
    rng = random.Random(11)
    for _ in range(6):
        process = world.launch(*BATCH)
        time.sleep(rng.uniform(0.2, 1.5))
        process.send(signal.SIGKILL)
        process.wait()
    done = world.claudebatch(*BATCH)
    assert done.code == 0, done.err
    assert len(world.results()) == 60
    assert world.settled() == billed(simulator)
    assert simulator.stats()["batches"]["billed_again"] == 0
    assert world.ledger() == (billed(simulator), 0)


def test_an_interrupt_leaves_them_with_the_api(world: World, batches: Any, processes: Any) -> None:
    batches(latency="fixed:100000")
    world.write("in.jsonl", prompts(10))
    process = world.launch(*BATCH)
    world.until(lambda: world.batch_states() == ["open"])
    process.send(signal.SIGINT)
    done = process.wait()
    assert done.code == 130, done.err
    assert "1 batch with 10 rows is with the API" in done.err


def test_an_estimate_knows_how_long_batches_took_and_plans_by_it(
    world: World, batches: Any
) -> None:
    batches()
    world.write("in.jsonl", prompts(50))
    first = json.loads(world.claudebatch("estimate", "in.jsonl", "-m", "haiku", "--json").out)
    assert first["batch_times"] is None, "unknown is not a number"
    assert "unknown, up to 24 h" in world.claudebatch("estimate", "in.jsonl", "--batch").out
    assert world.claudebatch(*BATCH).code == 0
    world.write("more.jsonl", [{"id": f"new-{n}", "prompt": f"another {n}"} for n in range(40)])
    asked = ("estimate", "more.jsonl", "-m", "haiku", "--deadline", "30h")
    found = json.loads(world.claudebatch(*asked, "--json").out)
    assert found["batch_times"]["batches"] == 3
    assert found["plan"]["past_batches"] == 3
    assert found["plan"]["batch_rows"] == 40
    live, batch = found["ways"]
    assert float(batch["expected_usd"]) == pytest.approx(float(live["expected_usd"]) / 2)
    shown = world.claudebatch(*asked).out
    for command in ("run more.jsonl -m haiku", "run more.jsonl -m haiku --batch"):
        assert f"claudebatch {command}\n" in shown


def test_a_late_batch_is_given_up_as_the_plan_says(world: World, batches: Any) -> None:
    simulator = batches(latency="fixed:80000")
    world.write("in.jsonl", prompts(30))
    assert world.claudebatch(*BATCH, "--detach").code == 0
    for (name,) in world.query("SELECT id FROM batches"):
        cancel = f"{simulator.url}/v1/messages/batches/{name}/cancel"
        headers = {"authorization": "Bearer key", "anthropic-version": "2026-10-21"}
        urlopen(Request(cancel, data=b"", headers=headers, method="POST")).close()
    done = world.claudebatch(*RUN)
    assert done.code == 0, done.err
    results = world.results()
    assert len(results) == 30
    live = [line for line in results.values() if line["via"] == "live"]
    # What was begun when the cancel came is answered by the batch, and paid once.
    assert 0 < len(live) == simulator.requests
    assert (world.settled(), 0) == (billed(simulator), 0) == world.ledger()
