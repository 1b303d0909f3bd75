"""Alerts of whole runs: levels of the cap on screen, in log and events, to command and
webhook; what a spike does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from claudebatch.alerts.settings import SpikeSettings
from claudebatch.config import alerts as alert_settings
from claudebatch.core.errors import SpendStopped
from claudebatch.core.events import AttemptFinished, Emit, Event
from claudebatch.engine import session
from tests.alerts.sinks.receiver import Receiver
from tests.e2e.world import World, prompts

LATE = (
    "import time; time.sleep(0.5); import sys;"
    " open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"
)
KEEP = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"
QUICK = "limits: {tier: none}\nsimulate: {latency: 'fixed:0.002'}\n"
DEAR = {"id": "dear", "prompt": "word " * 4000, "max_tokens": 50}


@pytest.fixture
def hooks(world: World) -> Path:
    """A configuration that its user names, with a command that keeps what it gets in
    the file returned.
    """
    kept = world.path("kept.jsonl")
    command = json.dumps([sys.executable, "-c", KEEP, str(kept)])
    name_hooks(world, f"command: {command}, timeout: 30s")
    return kept


def name_hooks(world: World, alerts: str) -> None:
    """A configuration that the user names, with the *alerts* settings."""
    world.path("hooks.yaml").write_text(f"{QUICK}alerts: {{{alerts}}}\n", encoding="utf-8")


def events(text: str, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    return [line for line in found if line["event"] == event]


def capped(world: World, rows: int, *more: str) -> Any:
    world.write("in.jsonl", prompts(rows, max_tokens=100))
    return world.claudebatch(
        "run", "in.jsonl", "-o", "out.jsonl", "-c", "hooks.yaml", "--simulate", "--no-cache", *more
    )


def test_each_level_of_the_cap_is_told_on_every_way(world: World, hooks: Path) -> None:
    done = capped(world, 60, "--budget", "0.03", "--json", "--log", "run.log", "-j", "2")
    assert done.code == 3
    told = events(done.out, "alert")
    assert [(alert["kind"], alert["scope"], alert["percent"]) for alert in told] == [
        ("cap", "run", 50),
        ("cap", "run", 80),
        ("cap", "run", 100),
    ]
    logged = events(world.path("run.log").read_text(), "alert")
    kept = events(hooks.read_text(), "alert")
    assert (
        [alert["text"] for alert in told]
        == [alert["text"] for alert in logged]
        == [alert["text"] for alert in kept]
    )
    assert {(alert["v"], alert["output"], alert["simulated"]) for alert in kept} == {
        (1, "out.jsonl", True)
    }
    assert {alert["run"] for alert in kept} == {logged[0]["run"]}
    assert "prompt" not in hooks.read_text()


def test_a_level_is_not_told_again_when_the_run_is_resumed(world: World, hooks: Path) -> None:
    capped(world, 60, "--budget", "0.03", "-j", "2")
    before = hooks.read_text()
    assert before.count('"percent":50') == 1
    capped(world, 60, "--budget", "0.031", "-j", "2")
    assert hooks.read_text().count('"percent":50') == 1
    assert hooks.read_text().count('"percent":80') == 1


@pytest.mark.usefixtures("api")
def test_caps_that_runs_share_have_alerts_too_and_a_later_run_only_those_that_are_left(
    world: World,
) -> None:
    budget = "budget: {day: 0.034, tags: {night: 0.5}}"
    world.path("c.yaml").write_text(f"limits: {{tier: none}}\n{budget}\n", encoding="utf-8")
    told = []
    for name in ("first", "second"):
        world.write(f"{name}.jsonl", prompts(20, max_tokens=100))
        done = world.claudebatch(
            "run",
            f"{name}.jsonl",
            "-o",
            f"{name}.out.jsonl",
            "-c",
            "c.yaml",
            "--tag",
            "night",
            "--no-cache",
            "--json",
            "-j",
            "2",
        )
        told.append([(alert["scope"], alert["percent"]) for alert in events(done.out, "alert")])
    first, second = told
    assert first == [("day", 50)]
    assert second == [("day", 80), ("day", 100)]


@pytest.mark.usefixtures("api")
def test_a_level_of_a_shared_cap_that_the_last_answer_passes_is_told(world: World) -> None:
    world.path("c.yaml").write_text(
        "limits: {tier: none}\nbudget: {day: 0.0018}\n", encoding="utf-8"
    )
    world.write("in.jsonl", prompts(1, max_tokens=100))
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "-c", "c.yaml", "--json")
    assert [(alert["scope"], alert["percent"]) for alert in events(done.out, "alert")] == [
        ("day", 50)
    ]


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("scope", ["run", "day"])
def test_a_cap_below_what_was_spent_already_is_no_news(world: World, scope: str) -> None:
    world.write("in.jsonl", prompts(20, max_tokens=100))
    told = []
    for cap in ("0.02", "0.005"):
        text = f"limits: {{tier: none}}\nbudget: {{{scope}: {cap}}}\n"
        world.path("c.yaml").write_text(text, encoding="utf-8")
        done = world.claudebatch(
            "run", "in.jsonl", "-o", "out.jsonl", "-c", "c.yaml", "--json", "-j", "2"
        )
        assert done.code == 3
        told.append([alert["text"] for alert in events(done.out, "alert")])
    assert told[0] and told[1] == []
    assert "is passed already, by $0.0" in events(done.out, "done")[0]["stop_reason"]


def test_on_the_screen_an_alert_is_a_line(world: World, hooks: Path) -> None:
    done = capped(world, 60, "--budget", "0.03", "-j", "2")
    assert "50 % of this run's cap is used: $0.01" in done.err
    assert done.out == ""


def test_the_webhook_gets_the_alert_and_no_key(world: World) -> None:
    with Receiver() as receiver:
        name_hooks(world, f"webhook: '{receiver.url}/x'")
        world.environment["ANTHROPIC_API_KEY"] = "sk-ant-api03-canary"
        assert capped(world, 60, "--budget", "0.03", "-j", "2").code == 3
    assert len(receiver.requests) >= 2
    assert json.loads(receiver.requests[0][1])["percent"] == 50
    assert not any("canary" in head or b"canary" in body for head, body in receiver.requests)


def test_the_end_of_a_run_waits_for_an_alert_that_is_not_handed_over_yet(world: World) -> None:
    kept = world.path("kept.jsonl")
    name_hooks(
        world,
        f"command: {json.dumps([sys.executable, '-c', LATE, str(kept)])}, timeout: 30s, "
        f"at_percent: [1]",
    )
    world.write("in.jsonl", prompts(1, max_tokens=100))
    output = str(world.path("out.jsonl"))
    done = world.claudebatch(
        "run", "in.jsonl", "-o", output, "-c", "hooks.yaml", "--simulate", "--budget", "0.01"
    )
    assert done.code == 0
    [alert] = events(kept.read_text(), "alert")
    assert alert["output"] == "out.jsonl"
    assert str(world.folder) not in kept.read_text()


@pytest.mark.parametrize(
    "setting", ["webhook: 'http://127.0.0.1:1/secret'", "command: [/nonexistent/program]"]
)
def test_one_who_takes_nothing_costs_one_notice(world: World, setting: str) -> None:
    name_hooks(world, f"{setting}, at_percent: [10, 20, 30]")
    done = capped(world, 20, "--budget", "0.03", "-j", "2")
    assert done.code == 0
    assert done.err.count("an alert could not be sent to the ") == 1
    assert "secret" not in done.err
    assert len(world.results()) == 20


def test_a_configuration_that_lies_in_the_folder_runs_no_command(world: World) -> None:
    world.configure(f"alerts: {{command: [touch, '{world.path('trap')}'], at_percent: [1]}}\n")
    world.write("in.jsonl", prompts(5))
    done = world.claudebatch("run", "in.jsonl", "-o", "out.jsonl", "--simulate", "--budget", "0.05")
    assert done.code == 2
    assert "alerts.command cannot be set by a file found in the current folder" in done.err
    assert not world.path("trap").exists()
    assert not world.path("out.jsonl").exists()


@pytest.fixture
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of five requests, however quickly they come."""
    monkeypatch.setattr(
        alert_settings, "SpikeSettings", partial(SpikeSettings, window_s=0.0, window_costs=5)
    )


def spiking(world: World, on_spike: str, *more: str) -> Any:
    """A run of 60 cheap rows, then dear ones, one at a time."""
    rows = [*prompts(60, max_tokens=50), *({**DEAR, "id": f"dear-{n}"} for n in range(40))]
    world.write("in.jsonl", rows)
    world.path("c.yaml").write_text(
        f"{QUICK}monitor: {{on_spike: {on_spike}, pause: 0.2s}}\n", encoding="utf-8"
    )
    arguments = (
        "run",
        "in.jsonl",
        "-o",
        "out.jsonl",
        "-c",
        "c.yaml",
        "--simulate",
        "--no-cache",
        "--json",
        "-j",
        "1",
    )
    return world.claudebatch(*arguments, *more)


@pytest.mark.usefixtures("short_windows")
def test_a_spike_stops_the_run_and_the_same_command_goes_on(world: World) -> None:
    done = spiking(world, "stop")
    assert done.code == 3
    [alert] = events(done.out, "alert")
    assert (alert["kind"], alert["action"]) == ("spike", "stop")
    [end] = events(done.out, "done")
    assert "times what is usual for this run" in end["stop_reason"]
    assert 60 < end["succeeded"] < 100
    assert "--budget" not in end["next_command"]
    again = spiking(world, "warn")
    assert again.code == 0
    assert len(world.results()) == 100


@pytest.mark.parametrize(("rows", "code"), [(5, 0), (30, 3)])
def test_a_stop_that_comes_with_the_last_row_stops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, rows: int, code: int
) -> None:
    def watch(*_: Any, stop: Callable[[SpendStopped], None], **__: Any) -> Emit:
        answered = count(1)

        def listen(event: Event) -> None:
            if isinstance(event, AttemptFinished) and next(answered) == 5:
                stop(SpendStopped("E000", "spend is odd"))

        return listen

    monkeypatch.setattr(session, "watch", watch)
    world.path("c.yaml").write_text(QUICK, encoding="utf-8")
    world.write("in.jsonl", prompts(rows, max_tokens=50))
    done = world.claudebatch(
        "run", "in.jsonl", "-o", "out.jsonl", "-c", "c.yaml", "--simulate", "--json", "-j", "1"
    )
    assert done.code == code
    [end] = events(done.out, "done")
    assert end["stop_reason"] == (None if code == 0 else "spend is odd")


@pytest.mark.usefixtures("short_windows")
def test_a_spike_pauses_the_run_which_then_comes_to_its_end(world: World) -> None:
    done = spiking(world, "pause", "--log", "run.log")
    assert done.code == 0
    assert len(world.results()) == 100
    alerts = events(done.out, "alert")
    assert {(alert["kind"], alert["action"], alert["pause_s"]) for alert in alerts} == {
        ("spike", "pause", 0.2)
    }
    [end] = events(done.out, "done")
    assert any(wait["reason"] == "spending paused" for wait in end["bound_by"])
