"""A deadline is kept by the run: what can wait goes by batch, and batches that are late
are given up in time; every answer once, and none paid twice.
"""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from claudebatch.simulator import SimulatedBatches
from tests.e2e.moments import Moment
from tests.e2e.world import Done, World, prompts

RUN = ("run", "in.jsonl", "-o", "out.jsonl", "-m", "haiku")
HOUR = ("--deadline", "1h")
QUICK = """\
batches: {poll: 0.05s}
expected_output_tokens: 1
"""
# Of batch time, a thousand times faster: a moment, and a minute and a half.
AT_ONCE, LATE = "fixed:1", "fixed:80000"


@pytest.fixture
def batches(world: World, serve: Any) -> Any:
    """Serves batches whose time flies, to runs that ask often."""
    world.configure(QUICK)

    def start(latency: str, **settings: Any) -> Any:
        return serve(batches=SimulatedBatches(time=1000.0, latency=latency), **settings)

    return start


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Once a batch is made the machine sleeps for 50 minutes: the wall's clock goes on,
    and no other.
    """

    def sleeps(simulator: Any, minutes: int = 50) -> None:
        def wall() -> datetime:
            made = simulator.stats()["batches"]["made"]
            return datetime.now(UTC) + timedelta(minutes=minutes if made else 0)

        monkeypatch.setattr("claudebatch.cli.wiring.launch._wall", wall)

    return sleeps


def events(done: Done, name: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in done.out.splitlines()]
    return [event for event in found if event["event"] == name]


def said(done: Done) -> set[str]:
    return {event.get("id", "") for event in events(done, "notice")}


def by_road(world: World, road: str) -> int:
    return sum(line["via"] == road for line in world.results().values())


def paid_once(world: World, simulator: Any, rows: int) -> None:
    stats = simulator.stats()
    assert len(world.results()) == rows
    assert {line["status"] for line in world.results().values()} == {"succeeded"}
    assert (stats["batches"]["billed_again"], stats["duplicates"]) == (0, 0)
    assert world.settled() == stats["billed_pico"]
    assert world.ledger() == (stats["billed_pico"], 0)


def test_what_can_wait_goes_by_batch_and_the_rest_at_once(world: World, batches: Any) -> None:
    simulator = batches(AT_ONCE)
    world.write("in.jsonl", prompts(30))
    done = world.claudebatch(*RUN, *HOUR, "--budget", "5", "--json")
    assert done.code == 0, done.err
    (plan,) = events(done, "plan")
    assert plan["batch_rows"] + plan["live_rows"] == 30
    assert plan["batch_rows"] > 0
    assert by_road(world, "batch") == plan["batch_rows"]
    assert simulator.requests == plan["live_rows"]
    assert not said(done) & {"N115", "W116"}
    assert world.query("SELECT count(*) FROM rows WHERE size = x''") == [(0,)]
    paid_once(world, simulator, 30)


def test_a_late_batch_is_canceled_and_only_what_it_left_is_sent_at_once(
    world: World, batches: Any, asleep: Any
) -> None:
    simulator = batches(LATE)
    asleep(simulator)
    world.write("in.jsonl", prompts(30))
    done = world.claudebatch(*RUN, *HOUR, "--budget", "5", "--json")
    assert done.code == 0, done.err
    assert "N115" in said(done)
    (plan,) = events(done, "plan")
    stats = simulator.stats()
    left = stats["batches"]["canceled"]
    assert 0 < left <= stats["batches"]["requests"] == plan["batch_rows"]
    # What was begun when the cancel came is answered by the batch.
    assert by_road(world, "batch") == stats["batches"]["succeeded"]
    assert simulator.requests == plan["live_rows"] + left
    states = [event["state"] for event in events(done, "batch") if event["batch"] == 1]
    assert states[-3:] == ["canceling", "ended", "collected"]
    assert "W116" not in said(done), "in time"
    paid_once(world, simulator, 30)
    assert world.claudebatch(*RUN, *HOUR).code == 0
    assert simulator.stats()["billed_pico"] == stats["billed_pico"]


def test_rows_of_a_late_batch_wait_for_no_slower_model(
    world: World, batches: Any, asleep: Any
) -> None:
    simulator = batches(LATE)
    asleep(simulator, minutes=70)
    # Three rows that go out a second apart, beside a batch of another model.
    text = world.path("claudebatch.yaml").read_text()
    pace = "{tier: none, pools: {haiku-5.5: {requests_per_minute: 60}}}"
    world.path("claudebatch.yaml").write_text(text.replace("{tier: none}", pace))
    world.configure(
        "routes:\n  - {name: now, when: {tags: [now]}, model: claude-haiku-5-5, via: live}\n"
    )
    slow = [{"id": f"slow-{n}", "prompt": f"slow {n}", "tags": ["now"]} for n in range(4)]
    world.write("in.jsonl", [*slow, *prompts(8, model="claude-sonnet-5-5")])
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", *HOUR, "--json")
    assert done.code == 0, done.err
    assert "N115" in said(done)
    assert by_road(world, "live") > 4
    order = [json.loads(line)["id"] for line in world.path("out.jsonl").read_text().splitlines()]
    assert order[-1].startswith("slow"), order
    paid_once(world, simulator, 12)


def test_a_cancel_that_cancels_nothing_sends_nothing_again(
    world: World, batches: Any, asleep: Any
) -> None:
    simulator = batches(LATE, faults={"batch_uncanceled": 1.0})
    asleep(simulator)
    world.write("in.jsonl", prompts(30))
    done = world.claudebatch(*RUN, *HOUR, "--json")
    assert done.code == 0, done.err
    (plan,) = events(done, "plan")
    assert "N115" in said(done)
    assert simulator.stats()["batches"]["succeeded"] == plan["batch_rows"]
    assert simulator.requests == plan["live_rows"]
    paid_once(world, simulator, 30)


def test_what_is_not_proved_ours_is_never_canceled(world: World, batches: Any, asleep: Any) -> None:
    # Its create was not answered, and it ends after the moment to give up.
    simulator = batches("fixed:1500", script=("batch_504",))
    asleep(simulator, minutes=70)
    world.write("in.jsonl", prompts(15))
    done = world.claudebatch(*RUN, *HOUR, "--json")
    assert done.code == 0, done.err
    assert {"W115", "W116"} <= said(done)
    assert "N115" not in said(done), "nothing was canceled"
    stats = simulator.stats()["batches"]
    assert (stats["made"], stats["canceled"]) == (1, 0)
    assert by_road(world, "batch") == stats["requests"] == stats["succeeded"]
    paid_once(world, simulator, 15)


@pytest.mark.parametrize("place", ["sender.py:_canceling", "collect.py:_write"])
def test_killed_between_cancel_and_collection_it_takes_up_what_the_batch_left(
    processes: World, batches: Any, place: str
) -> None:
    world, simulator = processes, batches(LATE)
    world.write("in.jsonl", prompts(20))
    assert world.claudebatch(*RUN, "--batch", "--detach").code == 0
    # Nothing meets it: what is with the API is given up at once.
    asked = (*RUN, "--deadline", "1s", "--yes")
    reached = world.path("reached")
    process = world.launch(*asked, moment=Moment((signal.SIGKILL,), place, reached=str(reached)))
    assert process.wait().code == -signal.SIGKILL
    assert reached.exists()
    done = world.claudebatch(*asked, "--json")
    assert done.code == 0, done.err
    assert "N116" in said(done), "the same deadline, counted from the first start"
    assert by_road(world, "live") == simulator.requests == simulator.stats()["batches"]["canceled"]
    assert simulator.stats()["batches"]["made"] == 1
    paid_once(world, simulator, 20)


def test_the_dry_run_says_the_same_plan_to_the_digit(world: World, batches: Any) -> None:
    batches(AT_ONCE)
    # Cached and equal rows, two models, rows of rules, and rows that no batch takes.
    world.configure(
        "routes:\n"
        "  - {name: now, when: {tags: [now]}, model: claude-haiku-5-5, via: live}\n"
        "  - {name: later, when: {tags: [later]}, model: claude-haiku-5-5, via: batch}\n"
        "  - {name: hard, when: {tags: [hard]}, model: claude-sonnet-5-5}\n"
    )
    rows = [
        {"id": f"r{n}", "prompt": "word " * (n % 7 * 30 + 1) + str(n % 50), "tags": [tag]}
        for n in range(60)
        for tag in (("now", "later", "hard", "any", "any")[n % 5],)
    ]
    rows += [{"id": "fast", "prompt": "x", "model": "claude-opus-5-5", "speed": "fast"}]
    world.write("first.jsonl", rows[:6])
    world.write("in.jsonl", rows)
    assert world.claudebatch("run", "first.jsonl", "-o", "first").code == 0
    asked = ("run", "in.jsonl", "-o", "out.jsonl", *HOUR, "--budget", "9")
    found = json.loads(world.claudebatch(*asked, "--dry-run", "--json").out)["plan"]
    done = world.claudebatch(*asked, "--json")
    assert done.code == 0, done.err
    (plan,) = events(done, "plan")
    assert {part["kind"] for part in found["parts"]} == {"waits", "at once", "kept"}
    assert found["give_up_seconds"]
    assert {name: plan[name] for name in found} == found, (plan, found)
    # Of what is left of the rows, and of the cap, too.
    world.write("in.jsonl", [*rows, *prompts(20, max_tokens=4000)])
    spent = world.settled()
    found = json.loads(world.claudebatch(*asked, "--dry-run", "--json").out)["plan"]
    (plan,) = events(world.claudebatch(*asked, "--json"), "plan")
    assert found["batch_rows"] == 20
    assert {name: plan[name] for name in found} == found, (plan, found)
    assert Decimal(found["left_usd"]) * 10**12 == 9 * 10**12 - spent


def test_rules_keep_their_rows_on_their_road(world: World, batches: Any, asleep: Any) -> None:
    simulator = batches("fixed:1000")
    asleep(simulator)
    world.configure(
        "routes:\n"
        "  - {name: now, when: {tags: [now]}, model: claude-haiku-5-5, via: live}\n"
        "  - {name: later, when: {tags: [later]}, model: claude-haiku-5-5, via: batch}\n"
    )
    rows = [
        {**row, "id": f"{tag}-{row['id']}", "tags": [tag]}
        for tag in ("now", "later", "any")
        for row in prompts(10, max_tokens=10 + len(tag))
    ]
    world.write("in.jsonl", rows)
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", *HOUR, "--json")
    assert done.code == 0, done.err
    roads = {(name.split("-")[0], line["via"]) for name, line in world.results().items()}
    assert ("now", "batch") not in roads
    assert ("later", "live") not in roads, "they come back, and go into another batch"
    paid_once(world, simulator, 30)


def test_rows_that_do_not_fit_under_the_cap_are_left_and_said(
    world: World, batches: Any, asleep: Any
) -> None:
    simulator = batches(LATE)
    asleep(simulator)
    world.write("in.jsonl", prompts(30, max_tokens=100))
    # So many at once, whatever they say.
    cap = 12 * 100 * 500_000
    done = world.claudebatch(*RUN, *HOUR, "--budget", f"{cap / 1e12:.6f}", "--json")
    (end,) = events(done, "done")
    assert simulator.stats()["billed_pico"] <= cap
    assert (done.code, end["stop_id"]) == (3, "E730")
    assert len(world.results()) + end["pending"] == 30


def test_a_deadline_that_nothing_meets_is_refused_and_kept_as_well_as_can_be(
    world: World, batches: Any
) -> None:
    simulator = batches(AT_ONCE)
    world.write("in.jsonl", prompts(30))
    done = world.claudebatch(*RUN, "--deadline", "1s")
    assert (done.code, "E842" in done.err, simulator.requests) == (2, True, 0)
    assert "add --yes" in done.err
    done = world.claudebatch(*RUN, "--deadline", "1s", "--yes", "--json")
    assert done.code == 0, done.err
    assert simulator.requests == 30
    assert simulator.stats()["batches"]["made"] == 0


def test_without_a_price_there_is_no_plan(world: World, batches: Any) -> None:
    simulator = batches(AT_ONCE)
    world.configure("models: {claude-next-9: {context_window: 200000, max_output: 64000}}\n")
    world.write("in.jsonl", prompts(3, model="claude-next-9"))
    done = world.claudebatch("run", "in.jsonl", "--allow-unknown-model", *HOUR)
    assert (done.code, "E841" in done.err, simulator.requests) == (2, True, 0), done.err


def test_the_same_command_later_keeps_the_first_moment_and_another_one_begins_anew(
    world: World, batches: Any, processes: Any, asleep: Any
) -> None:
    simulator = batches(LATE)
    world.write("in.jsonl", prompts(30))
    process = world.launch(*RUN, *HOUR)
    world.until(lambda: "open" in world.batch_states())
    process.send(signal.SIGINT)
    stopped = process.wait()
    assert stopped.code == 130, stopped.err
    assert "plan for " in stopped.err
    # Another deadline counts from now, and is forgotten where it is refused.
    asleep(simulator)
    assert "E842" in world.claudebatch(*RUN, "--deadline", "1s").err
    dry = json.loads(world.claudebatch(*RUN, *HOUR, "--dry-run", "--json").out)["plan"]
    assert dry["deadline_seconds"] == pytest.approx(600, abs=120)
    done = world.claudebatch(*RUN, *HOUR, "--json")
    assert done.code == 0, done.err
    assert {"N115", "N116"} <= said(done), "ten minutes are left of the hour"
    paid_once(world, simulator, 30)
    # All is answered: what is added gets a time of its own.
    assert world.query("SELECT value FROM meta WHERE key = 'deadline'") == [("null",)]
    world.write("in.jsonl", prompts(40))
    done = world.claudebatch(*RUN, "--deadline", "1s", "--yes", "--json")
    assert "N116" not in said(done)
    paid_once(world, simulator, 40)


def test_collect_makes_no_plan_and_cancels_nothing(
    world: World, batches: Any, processes: Any
) -> None:
    simulator = batches("fixed:3000")
    world.write("in.jsonl", prompts(20))
    assert world.claudebatch(*RUN, "--batch", "--detach").code == 0
    done = world.claudebatch(*RUN, "--deadline", "1s", "--collect", "--json")
    assert done.code == 0, done.err
    assert not events(done, "plan")
    assert simulator.stats()["batches"]["canceled"] == 0
    paid_once(world, simulator, 20)


def test_without_a_deadline_auto_is_by_batch_and_at_once_what_batches_bring_back_too_often(
    world: World, batches: Any
) -> None:
    simulator = batches(AT_ONCE, faults={"batch_expired": 0.5})
    world.path("claudebatch.yaml").write_text(
        world.path("claudebatch.yaml")
        .read_text()
        .replace("{poll: 0.05s}", "{poll: 0.05s, tries: 2}")
    )
    world.write("in.jsonl", prompts(30))
    done = world.claudebatch(*RUN, "--via", "auto", "--json")
    assert done.code == 0, done.err
    assert not events(done, "plan")
    stats = simulator.stats()
    assert stats["batches"]["made"] == 2
    assert 0 < simulator.requests == by_road(world, "live") < stats["batches"]["expired"]
    paid_once(world, simulator, 30)


def test_a_prompt_that_rows_share_is_planned_as_it_is_sent(world: World, batches: Any) -> None:
    batches(AT_ONCE)
    long = "These are the rules of the house. " * 600
    rows = [{"id": f"r{n}", "prompt": f"question {n}", "system": long} for n in range(30)]
    # Read from the cache at once, it costs less than half of it in a batch.
    world.write("in.jsonl", rows)
    asked = ("estimate", "in.jsonl", "-m", "haiku", *HOUR, "--json")
    assert json.loads(world.claudebatch(*asked).out)["plan"]["batch_rows"] == 0
    world.write("in.jsonl", [*rows, *prompts(10)])
    found = json.loads(world.claudebatch(*RUN, *HOUR, "--dry-run", "--json").out)["plan"]
    (plan,) = events(world.claudebatch(*RUN, *HOUR, "--json"), "plan")
    assert {name: plan[name] for name in found} == found, (plan, found)
