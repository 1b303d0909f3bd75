"""The `--json` protocol is what its page says, line by line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from claudebatch.core.domain import PICO_PER_USD, Usage
from claudebatch.core.errors import ExitCode
from claudebatch.core.events import (
    AttemptFinished,
    AttemptStarted,
    BreakerChanged,
    ConcurrencyChanged,
    DrainStarted,
    LimitsSeen,
    RowFinished,
    RunStarted,
    Waiting,
)
from claudebatch.core.notice import Notice
from claudebatch.core.reports import RunSummary
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.core.stats.snapshot import MinuteLimits
from claudebatch.ui.machine import json_events
from claudebatch.ui.machine.json_events import JsonEvents
from tests.support.fed import Fed

STARTED = RunStarted("r", 10, 2, PICO_PER_USD, 5 * PICO_PER_USD, "out.jsonl", True)


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def _display() -> tuple[Fed, Clock, Callable[[], list[dict[str, Any]]]]:
    stream, clock = io.StringIO(), Clock()
    stats, limits = RunStats(clock), {"haiku": MinuteLimits(1000, None, 400_000)}
    json_events = JsonEvents(
        stream, stats, now=clock, interval=5.0, limits=limits, own_thread=False
    )
    display = Fed(json_events, stats)
    display.start()
    return display, clock, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def _summary() -> RunSummary:
    zeros = dict.fromkeys(
        (
            "succeeded",
            "failed",
            "finished_before",
            "answered_now",
            "cached_now",
            "shared_now",
            "pending",
            "removed",
        ),
        0,
    )
    money = dict.fromkeys(
        ("spent_now", "spent", "unknown", "unknown_attempts", "saved", "requests", "retries"), 0
    )
    return RunSummary(
        "r",
        ExitCode.OK,
        0,
        **zeros,
        **money,
        cap=None,
        usage=Usage(),
        p50_ms=0,
        p95_ms=0,
        wall_s=0.0,
        output="o",
    )


def test_a_wait_of_which_nobody_knows_the_end_has_no_seconds() -> None:
    display, clock, lines = _display()
    display(STARTED)
    display(Waiting("haiku", "money", inf))
    clock.now += 3
    display.tick()
    progress = lines()[-1]
    assert progress["waiting"] == {"pool": "haiku", "reason": "money", "seconds": None}
    assert progress["pools"]["haiku"]["waiting"] == {"reason": "money", "seconds": None}


def test_a_run_from_start_to_done() -> None:
    display, clock, lines = _display()
    display(STARTED)
    clock.now += 1.5
    display(AttemptStarted("claude-haiku", "haiku"))
    display(AttemptFinished("claude-haiku", "haiku", Usage(100, 20), 123, None, False))
    display(RowFinished("a", "claude-haiku", "api", True, None, 900, 0))
    display(RowFinished("b\x1b\u202e\x7f", "claude-haiku", "api", False, "timeout", 900, 0))
    display(Waiting("haiku", "rate limited", 12.0))
    display(BreakerChanged("haiku", "open"))
    display.tick()
    display(DrainStarted("interrupted"))
    display.done(_summary())

    start, failed, breaker, progress, drain, last, done = lines()
    assert start == {
        "v": 1,
        "event": "start",
        "t": 0.0,
        "run_id": "r",
        "rows": 10,
        "finished_before": 2,
        "spent_usd": "1",
        "cap_usd": "5",
        "output": "out.jsonl",
        "simulated": True,
    }
    assert failed == {
        "v": 1,
        "event": "row_failed",
        "t": 1.5,
        "id": "b\x1b\u202e\x7f",
        "model": "claude-haiku",
        "error": "timeout",
        "message": "",
        "latency_ms": 900,
    }
    assert (breaker["event"], breaker["kind"]) == ("notice", "breaker")
    pools = progress.pop("pools")
    assert progress.pop("eta_s") > 0
    assert progress == {
        "v": 1,
        "event": "progress",
        "t": 1.5,
        "rows": 10,
        "done": 4,
        "succeeded": 1,
        "failed": 1,
        "cached": 0,
        "shared": 0,
        "in_flight": 0,
        "requests": 1,
        "retries": 0,
        "fallbacks": 0,
        "spent_usd": "1.000000000123",
        "saved_usd": "0",
        "unknown_usd": "0",
        "unknown_attempts": 0,
        "batches": {
            "open": 0,
            "rows": 0,
            "held_usd": "0",
            "looked_for": 0,
            "canceling": 0,
            "collected": 0,
            "age_s": None,
            "left_s": None,
            "usual_s": None,
        },
        "draining": None,
        "waiting": {"pool": "haiku", "reason": "rate limited", "seconds": 12.0},
    }
    assert pools["haiku"] == {
        "breaker": "open",
        "in_flight": 0,
        "concurrency": None,
        "waiting": {"reason": "rate limited", "seconds": 12.0},
        "rpm": 12.0,
        "itpm": 1200,
        "otpm": 240,
        "rpm_limit": 1000,
        "itpm_limit": None,
        "otpm_limit": 400_000,
    }
    assert (drain["kind"], last["draining"]) == ("drain", "interrupted")
    assert (done["event"], done["exit_code"], done["spent_usd"]) == ("done", 0, "0")


def test_limits_and_concurrency_have_their_events_and_enter_progress() -> None:
    display, _, lines = _display()
    display(STARTED)
    display(LimitsSeen("haiku", 50.0, None, 8000.0))
    display(ConcurrencyChanged("haiku", 12))
    display.tick()
    _, limits, concurrency, progress = lines()
    assert limits == {
        "v": 1,
        "event": "limits",
        "t": 0.0,
        "pool": "haiku",
        "requests_per_minute": 50.0,
        "input_tokens_per_minute": None,
        "output_tokens_per_minute": 8000.0,
    }
    assert concurrency == {"v": 1, "event": "concurrency", "t": 0.0, "pool": "haiku", "limit": 12}
    pool = progress["pools"]["haiku"]
    assert (pool["rpm_limit"], pool["itpm_limit"], pool["otpm_limit"], pool["concurrency"]) == (
        50.0,
        None,
        8000.0,
        12,
    )


def test_progress_is_written_at_most_once_an_interval() -> None:
    display, clock, lines = _display()
    display(STARTED)
    for _ in range(100):
        clock.now += 0.5
        display.tick()
    assert sum(line["event"] == "progress" for line in lines()) == 10


def test_every_failed_row_has_its_line() -> None:
    display, _, lines = _display()
    for number in range(100):
        display(RowFinished(str(number), "m", "api", False, "api_error", 1, 0))
    assert [line["id"] for line in lines()] == [str(number) for number in range(100)]


def test_lines_are_safe_to_look_at_and_ids_exact(hostile_text: str) -> None:
    stream = io.StringIO()
    display = JsonEvents(stream, RunStats(Clock()), now=Clock(), own_thread=False)
    display(RowFinished(hostile_text, "m", "api", False, hostile_text, 1, 0))
    display(Notice("W000", hostile_text))
    written = stream.getvalue()
    assert written.isascii()
    assert all(line.isprintable() for line in written.splitlines())
    assert json.loads(written.splitlines()[0])["id"] == hostile_text


@pytest.mark.parametrize("own_thread", [True, False])
def test_a_reader_that_went_away_does_not_end_the_run(own_thread: bool) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    stats = RunStats(Clock())
    display = Fed(JsonEvents(Gone(), stats, now=Clock(), own_thread=own_thread), stats)
    display.start()
    display(STARTED)
    display.done(_summary())


def test_the_page_names_every_field() -> None:
    display, _, lines = _display()
    display(STARTED)
    display(AttemptStarted("claude-haiku", "haiku"))
    display.tick()
    display(RowFinished("b", "m", "api", False, "timeout", 900, 0))
    page = json_events.__doc__ or ""
    for line in lines():
        for name in [*line, *line.get("pools", {}).get("haiku", {})]:
            assert name in page
