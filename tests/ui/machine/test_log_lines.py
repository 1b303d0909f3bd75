"""A line of the log says what its page promises, with nothing that could steer a
terminal.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.domain import PICO_PER_USD, PromptSavings, Usage
from claudebatch.core.errors import ExitCode
from claudebatch.core.events import (
    AttemptFinished,
    AttemptStarted,
    BatchChanged,
    BreakerChanged,
    CapAlert,
    ConcurrencyChanged,
    DrainStarted,
    Event,
    FellBack,
    LimitsSeen,
    Retrying,
    RowFinished,
    RunStarted,
    SpendSpike,
    Waiting,
)
from claudebatch.core.notice import LineLeftOut, Notice
from claudebatch.core.reports import RunSummary
from claudebatch.core.reports.shared_waits import SharedWaits
from claudebatch.ui.machine.log_lines import HEAD, LogLines
from tests.support.scripted import HAIKU, make_call, make_reply
from tests.ui.screens import samples

PAGE = (Path(__file__).parents[3] / "docs" / "log.md").read_text()
STARTED = RunStarted("20261122-1", 10, 2, 0, None, "out.jsonl", False)
ANSWER = make_reply(request_id="req_1", latency_ms=850, cost=1_234_000_000, attempt_id=7)
ANSWERED = AttemptFinished(
    HAIKU,
    "haiku",
    ANSWER.usage,
    ANSWER.cost,
    None,
    False,
    make_call(),
    ANSWER,
    7,
    850,
    None,
    "req_1",
)
TIMED_OUT = AttemptFinished(HAIKU, "haiku", None, 5, "timeout", True, make_call(), None, 8, 600_000)
ZEROS = dict.fromkeys(RunSummary.__dataclass_fields__, 0)
MAPPINGS: dict[str, object] = {"failures": {}, "failure_examples": {}, "endings": {}}
OBJECTS: dict[str, object] = {"usage": Usage(), "bound_by": (), "rest": None}
OBJECTS["prompt_cache"] = PromptSavings()
OBJECTS["shared"] = SharedWaits(3, 0.25)
SUMMARY = RunSummary(**{**ZEROS, **MAPPINGS, **OBJECTS, "exit_code": ExitCode.OK})  # type: ignore[arg-type]
EVENTS: list[Event] = [
    STARTED,
    ANSWERED,
    TIMED_OUT,
    Waiting("haiku", "rate limited", 12.0, "row-1"),
    Retrying(HAIKU, "overloaded_error", 1, 1.5, "row-1"),
    FellBack("row-1", HAIKU, "claude-sonnet-5-5", "overloaded_error"),
    BreakerChanged("haiku", "open"),
    LimitsSeen("haiku", 50.0, None, 8000.0),
    ConcurrencyChanged("haiku", 12),
    SpendSpike("per minute", 3.2, 0.4),
    CapAlert("run", 80, 5 * PICO_PER_USD, 4 * PICO_PER_USD),
    BatchChanged(1, "msgbatch_1", "submitted", 100, PICO_PER_USD, created_ms=0),
    samples.PLAN,
    Notice("W000", "the cache was moved aside"),
    LineLeftOut("in.jsonl", 3, ("E000",), "not valid JSON", "write a JSON object"),
    DrainStarted("interrupted"),
]


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def lines(clock: Clock | None = None, *, prompts: bool = False) -> LogLines:
    wall = datetime(2026, 11, 22, 18, 12, 3, 123_456, UTC)
    return LogLines(now=clock or Clock(), wall=lambda: wall, prompts=prompts)


def read(line: bytes | None) -> dict[str, Any]:
    assert (
        line is not None
        and line.startswith(HEAD)
        and line.endswith(b"}\n")
        and line.count(b"\n") == 1
    )
    return dict(json.loads(line))


def section(event: str) -> str:
    found = re.search(rf"^## `{event}`$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/log.md says nothing of {event}"
    return found[1]


def test_an_answer_is_told_with_everything_that_is_known_of_it():
    told = lines()
    told(STARTED)
    assert read(told(ANSWERED)) == {
        "v": 1,
        "time": "2026-11-22T18:12:03.123Z",
        "run": "20261122-1",
        "event": "attempt",
        "id": "row-1",
        "attempt": 7,
        "model": HAIKU,
        "pool": "haiku",
        "rule": "default",
        "waited_ms": {},
        "latency_ms": 850,
        "status": 200,
        "error": None,
        "request_id": "req_1",
        "retry_after": None,
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 10,
            "output_tokens": 20,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "web_search_requests": 0,
        },
        "cost_usd": "0.001234",
        "unknown": False,
        "via": "live",
        "simulated": False,
    }


def test_a_failure_is_told_with_its_status_and_what_it_may_cost():
    error = AttemptFinished(
        HAIKU,
        "haiku",
        None,
        0,
        "overloaded_error",
        False,
        make_call(),
        None,
        8,
        12,
        529,
        "req_2",
        7.0,
    )
    told = read(lines()(error))
    assert (told["status"], told["error"], told["request_id"], told["retry_after"]) == (
        529,
        "overloaded_error",
        "req_2",
        7.0,
    )
    assert (told["usage"], told["stop_reason"], told["cost_usd"], told["unknown"]) == (
        None,
        None,
        "0",
        False,
    )
    unknown = read(lines()(TIMED_OUT))
    assert (unknown["status"], unknown["unknown"], unknown["cost_usd"]) == (
        None,
        True,
        "0.000000000005",
    )


def test_a_cost_that_nobody_knows_is_null():
    reply = make_reply(cost_known=False)
    told = read(
        lines()(AttemptFinished(HAIKU, "haiku", reply.usage, 0, None, False, make_call(), reply))
    )
    assert told["cost_usd"] is None


def test_the_page_has_exactly_the_events_that_are_written():
    told = lines()
    written = [read(told(event))["event"] for event in EVENTS]
    written += [read(told.end(SUMMARY))["event"], read(told.lost(3))["event"]]
    assert set(written) == set(re.findall(r"^## `(\w+)`$", PAGE, re.MULTILINE))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_field_is_explained_and_nothing_else_is(event):
    told = read(lines(prompts=True)(event))
    own = [*told, *(told.get("usage") or ())]
    head = ["v", "time", "run", "event"]
    assert [
        name
        for name in own
        if f"`{name}`" not in (PAGE if name in head else section(told["event"]))
    ] == []
    rows = re.findall(r"^\| (`.*?) \|", section(told["event"]), re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} <= set(own)


def test_what_is_no_news_has_no_line():
    told = lines()
    assert told(AttemptStarted(HAIKU, "haiku")) is None
    assert told(RowFinished("a", HAIKU, "cache", True, None, 0, 0)) is None
    assert told(Waiting("haiku", "requests per minute", 0.06)) is None


def test_waits_of_a_row_are_told_by_reason_with_its_next_attempt():
    clock = Clock()
    told = lines(clock)
    for wait_s, event in (
        (2.0, Waiting("haiku", "output tokens per minute", 30.0, "row-1")),
        (5.0, Waiting("haiku", "rate limited", 5.0, "row-1")),
        (0.5, Waiting("haiku", "output tokens per minute", 0.5, "row-1")),
        (9.0, Waiting("haiku", "output tokens per minute", 9.0, "row-2")),
    ):
        told(event)
        clock.now += wait_s
    clock.now += 0.85  # in flight
    waited = read(told(ANSWERED))["waited_ms"]
    assert waited == {"output tokens per minute": 2000 + 9500, "rate limited": 5000}
    assert read(told(ANSWERED))["waited_ms"] == {}
    told(Retrying(HAIKU, "overloaded_error", 1, 1.5, "row-1"))
    clock.now += 1.5 + 0.85
    assert read(told(ANSWERED))["waited_ms"] == {"retry": 1500}


def test_a_wait_without_end_is_still_json():
    assert read(lines()(Waiting("haiku", "rate limited", float("inf"))))["seconds"] is None


def test_prompts_and_answers_are_told_on_demand_only_and_letter_by_letter():
    text = "a secret of my own \u202e\x1b[2J\x7f\U0001f600 é"
    call, reply = make_call(text), make_reply(text)
    event = AttemptFinished(HAIKU, "haiku", reply.usage, 1, None, False, call, reply)
    assert b"secret" not in (lines()(event) or b"")
    line = lines(prompts=True)(event)
    told = read(line)
    assert told["request"] == json.loads(call.body)
    assert told["answer"] == json.loads(reply.message)
    assert told["request"]["messages"][0]["content"] == told["answer"]["content"][0]["text"] == text
    assert line is not None and line.isascii() and line[:-1].decode().isprintable()
    failed = read(lines(prompts=True)(TIMED_OUT))
    assert (failed["request"]["model"], failed["answer"]) == (HAIKU, None)


def test_lines_are_safe_to_look_at(hostile_text: str) -> None:
    told = lines(prompts=True)
    told(RunStarted(hostile_text, 1, 0, 0, None, hostile_text, False))
    for event in (
        AttemptFinished(
            hostile_text,
            hostile_text,
            None,
            0,
            hostile_text,
            False,
            make_call(),
            None,
            request_id="\x1b",
        ),
        FellBack(hostile_text, hostile_text, hostile_text, hostile_text),
        Notice("W000", hostile_text),
    ):
        line = told(event)
        assert read(line)["run"] == hostile_text
        assert line is not None and line.isascii() and line[:-1].decode().isprintable()
