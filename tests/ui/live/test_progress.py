"""What the displays say, letter by letter, without a terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from claudebatch.core.domain import PICO_PER_USD, Usage
from claudebatch.core.events import (
    AttemptFinished,
    AttemptStarted,
    BreakerChanged,
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
from claudebatch.core.notice import Notice
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.core.stats.snapshot import MinuteLimits
from claudebatch.ui.format import money
from claudebatch.ui.live.choose import Quiet, choose
from claudebatch.ui.live.frame import live_frame, plain_line
from claudebatch.ui.live.live_progress import LiveProgress
from claudebatch.ui.live.notices import Notices
from claudebatch.ui.live.plain_progress import PlainProgress
from claudebatch.ui.terminal import Terminal
from tests.support.fed import Fed
from tests.ui.screens.samples import SUMMARIES

LIMITS = {"haiku-5-5": MinuteLimits(1000, 2_000_000, 400_000), "local": None}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _events(simulated: bool = False) -> list[Event]:
    """Half a minute of a run: 150 answers, one failure, 50 from the cache."""
    events: list[Event] = [RunStarted("r", 2000, 200, 0, 5 * PICO_PER_USD, "out.jsonl", simulated)]
    for number in range(150):
        events.append(AttemptStarted("claude-haiku-5-5", "haiku-5-5"))
        usage = Usage(input_tokens=2000, output_tokens=400)
        events.append(
            AttemptFinished(
                "claude-haiku-5-5", "haiku-5-5", usage, PICO_PER_USD // 120, None, False
            )
        )
        error = "invalid_request_error" if number == 7 else None
        events.append(
            RowFinished(f"row-{number}", "claude-haiku-5-5", "api", error is None, error, 900, 0)
        )
    events += [
        RowFinished("c", "m", "cache", True, None, 0, PICO_PER_USD // 100) for _ in range(50)
    ]
    events += [AttemptStarted("claude-haiku-5-5", "haiku-5-5")] * 12
    events += [
        BreakerChanged("local", "open"),
        Waiting("haiku-5-5", "input tokens per minute", 12.0),
    ]
    return events


def _play(display: Callable[[Event], None], clock: Clock, events: list[Event]) -> None:
    for event in events:
        display(event)
        clock.now += 30 / len(events)
    clock.now = 30.0


def _plain(clock: Clock) -> tuple[Fed, io.StringIO]:
    stream, stats = io.StringIO(), RunStats(clock)
    display = PlainProgress(Terminal(stream, {}), stats, now=clock, limits=LIMITS, own_thread=False)
    return Fed(display, stats), stream


def _frame(width: int, simulated: bool = False) -> list[str]:
    clock = Clock()
    display, _ = _plain(clock)
    _play(display, clock, _events(simulated))
    rows = live_frame(display.stats.snapshot(clock.now), LIMITS, width=width)
    return ["".join(span.text for span in row) for row in rows]


def test_the_live_display_says_how_far_how_much_how_fast_and_why_it_waits() -> None:
    assert _frame(80) == [
        "━━━━━━━━──────────────────────────────── 400/2,000 rows  20 %  ETA 3 min 59 s",
        "199 ok · 1 failed · 200 already done · 50 cached · 12 in flight",
        "$1.25 of $5.00, about $11.25 without the cap · 30 s elapsed · $0.5000 saved",
        "claude-haiku-5-5: 30 % of 2M input tokens a minute, next in 12 s",
        "local: does not answer, trying again",
    ]


def test_a_narrow_terminal_keeps_what_matters_and_cuts_no_word() -> None:
    assert _frame(40) == [
        "400/2,000 rows  20 %  ETA 3 min 59 s",
        "199 ok · 1 failed · 200 already done",
        "$1.25 of $5.00, about $11.25 without cap",
        "claude-haiku-5-5: 30 % of 2M in tok/min",
        "local: no answer, trying again",
    ]


def _waits(display: Fed, now: float) -> list[str]:
    rows = live_frame(display.stats.snapshot(now), LIMITS, width=80)
    return ["".join(span.text for span in row) for row in rows[3:]]


def test_every_wait_counts_down_and_is_gone_when_it_is_over() -> None:
    clock = Clock()
    display, _ = _plain(clock)
    display(RunStarted("r", 2000, 200, 0, 5 * PICO_PER_USD, "out.jsonl", False))
    display(Waiting("haiku-5-5", "rate limited", 12.0))
    display(Waiting("local", "circuit open", 20.0))
    assert _waits(display, 0.0) == [
        "haiku-5-5: rate limited (429), goes on in 12 s",
        "local: does not answer, next try in 20 s",
    ]
    assert _waits(display, 4.3)[0] == "haiku-5-5: rate limited (429), goes on in 8 s"
    assert _waits(display, 12.0) == [
        "haiku-5-5: 0 % of 1,000 requests a minute",
        "local: does not answer, next try in 8 s",
    ]
    clock.now = 15.0
    display(AttemptStarted("local", "local"))
    assert _waits(display, 15.0)[1] == "local: 12 requests a minute"


@pytest.mark.parametrize("reason", ["first answer", "gentle start"])
def test_a_slow_start_says_what_it_waits_for(reason: Any) -> None:
    display, _ = _plain(Clock())
    display(RunStarted("r", 2000, 0, 0, None, "out.jsonl", False))
    display(Waiting("haiku-5-5", reason, 2.0))
    assert _waits(display, 0.0) == ["haiku-5-5: starting slowly until the API states its limits"]


def test_rows_between_two_tries_say_so_where_nothing_else_goes_on() -> None:
    display, _ = _plain(Clock())
    display(RunStarted("r", 2000, 0, 0, None, "out.jsonl", False))
    display(Retrying("claude-haiku-5-5", "overloaded_error", 2, 5.0, "row-1"))
    said = "claude-haiku-5-5: retrying after overloaded_error, again in 5 s"
    assert _waits(display, 0.0) == [said]


def test_who_waits_for_money_is_told_so_once_and_for_how_many_requests() -> None:
    clock = Clock()
    display, _ = _plain(clock)
    display(RunStarted("r", 2000, 200, 0, 5 * PICO_PER_USD, "out.jsonl", False))
    for pool in ("haiku-5-5", "opus"):
        display(Waiting(pool, "money", inf))
    alone = "waiting: the rest of the cap is reserved by other runs"
    assert _waits(display, 1000.0).count(alone) == 1
    for _ in range(2):
        display(AttemptStarted("claude-opus-5-5", "local"))
    said = "waiting: the rest of the cap is reserved for 2 requests in flight"
    assert _waits(display, 1000.0).count(said) == 1
    assert plain_line(display.stats.snapshot(1000.0), LIMITS).endswith(said)
    for pool in ("haiku-5-5", "opus"):
        display(Waiting(pool, "money", 0.0))
    assert said not in _waits(display, 1000.0)


@pytest.mark.parametrize(
    ("cap", "said"),
    [
        (None, "$1.01 spent + up to $2.62 maybe billed · "),
        (5 * PICO_PER_USD, "$1.01 of $5.00 + up to $2.62 maybe billed · "),
    ],
)
def test_what_may_be_billed_stands_beside_what_is_spent(cap: int | None, said: str) -> None:
    clock = Clock()
    display, _ = _plain(clock)
    display(RunStarted("r", 9, 2, PICO_PER_USD, cap, "out.jsonl", False, PICO_PER_USD * 2))
    for cost, unknown in ((PICO_PER_USD // 100, False), (62 * PICO_PER_USD // 100, True)):
        display(AttemptFinished("m", "p", None, cost, None, unknown))
    frame = live_frame(display.stats.snapshot(clock.now), LIMITS, width=80)
    assert "".join(span.text for span in frame[2]).startswith(said)
    line = plain_line(display.stats.snapshot(clock.now), LIMITS)
    assert said.partition(" (")[0].rstrip(" ·") in line


def test_only_the_limit_that_binds_is_shown_and_never_more_than_all_of_it() -> None:
    clock = Clock()
    display, _ = _plain(clock)
    _play(display, clock, [*_events(), LimitsSeen("haiku-5-5", 50, None, 400_000)])
    display(Waiting("haiku-5-5", "input tokens per minute", 0.0))
    snapshot = display.stats.snapshot(clock.now)
    assert snapshot.pools["haiku-5-5"].requests_per_minute > 50, "by extrapolation"
    rows = live_frame(snapshot, LIMITS, width=80)
    lines = ["".join(span.text for span in row) for row in rows]
    assert "claude-haiku-5-5: 100 % of 50 requests a minute" in lines


def test_models_that_share_their_limits_are_one_line_under_the_name_of_these() -> None:
    display, _ = _plain(Clock())
    display(RunStarted("r", 2000, 0, 0, None, "out.jsonl", False))
    display(AttemptStarted("claude-opus-4-8", "opus-4.x"))
    assert _waits(display, 0.0) == ["claude-opus-4-8: 12 requests a minute"]
    display(AttemptStarted("claude-opus-4-7", "opus-4.x"))
    assert _waits(display, 0.0) == ["opus-4.x: 24 requests a minute"]


@pytest.mark.parametrize(
    ("rows", "answers", "steady"),
    [(2000, 19, False), (2000, 20, True), (100, 4, False), (100, 5, True), (10, 1, True)],
)
def test_what_is_left_is_forecast_from_twenty_answers_or_a_twentieth_on(
    rows: int, answers: int, steady: bool
) -> None:
    clock = Clock()
    display, _ = _plain(clock)
    display(RunStarted("r", rows, 0, 0, 5 * PICO_PER_USD, "out.jsonl", False))
    cost = PICO_PER_USD // 5000
    for number in range(answers):
        display(AttemptStarted("m", "local"))
        display(AttemptFinished("m", "local", Usage(1, 1), cost, None, False))
        display(RowFinished(f"r{number}", "m", "api", True, None, 1, 0))
    clock.now = 10.0
    text = plain_line(display.stats.snapshot(clock.now), LIMITS)
    assert (" at the end" in text, "ETA" in text) == (steady, steady)
    if steady:
        assert f"of $5.00, about {money(max(cost * rows, 1))[:5]}" in text


def test_a_simulated_run_says_so_in_every_frame() -> None:
    assert _frame(80, simulated=True)[0].startswith("SIMULATED ")
    assert _frame(40, simulated=True)[0] == "SIMULATED 400/2,000 rows  ETA 3 min 59 s"


@pytest.mark.parametrize("width", [20, 40, 60])
def test_a_narrow_terminal_loses_the_bar_first(width: int) -> None:
    first = _frame(width)[0]
    assert "400/2,000 rows  20 %  ETA 3 min 59 s" in first
    assert ("━" in first) is (width == 60)
    assert len(first) <= max(width, 42)


def test_without_a_terminal_one_line_every_thirty_seconds() -> None:
    clock = Clock()
    display, stream = _plain(clock)
    display.start()
    _play(display, clock, _events())
    display.tick()
    display.tick()
    lines = stream.getvalue().splitlines()
    assert lines == [
        "failed: row-7: invalid_request_error",
        "local does not answer: paused, trying again now and then",
        "400/2,000 rows (20 %), 199 ok, 1 failed, 200 already done, 50 cached, $1.25 of $5.00,"
        " about $11.25 without the cap, 30 s elapsed, ETA 3 min 59 s,"
        " claude-haiku-5-5: 30 % of 2M input tokens a minute, next in 12 s,"
        " local: does not answer, trying again",
    ]
    clock.now += 29
    display.tick()
    assert len(stream.getvalue().splitlines()) == len(lines)
    clock.now += 1
    display.tick()
    assert len(stream.getvalue().splitlines()) == len(lines) + 1


def test_without_progress_only_notices_are_said() -> None:
    clock, stream = Clock(), io.StringIO()
    stats = RunStats(clock)
    display = Fed(choose(Terminal(stream, {}), stats, now=clock, progress=False), stats)
    display(RunStarted("r", 5, 0, 0, None, "o", False))
    display(Notice("W000", "the cache was moved aside"))
    clock.now += 100
    display.stop()
    assert stream.getvalue() == "warning[W000]: the cache was moved aside\n"


def test_quiet_says_nothing_while_it_runs() -> None:
    stream = io.StringIO()
    display = choose(Terminal(stream, {}), RunStats(Clock()), now=Clock(), quiet=True)
    assert isinstance(display, Quiet)
    display.start()
    display(Notice("W000", "x"))
    display.stop()
    assert stream.getvalue() == ""


def test_only_a_terminal_that_can_be_animated_gets_the_live_display() -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    def chosen(stream: io.StringIO, environment: dict[str, str], **flags: bool) -> object:
        terminal = Terminal(stream, environment)
        return choose(terminal, RunStats(Clock()), now=Clock(), **flags)

    assert isinstance(chosen(Tty(), {"TERM": "xterm"}), LiveProgress)
    assert isinstance(chosen(Tty(), {"TERM": "dumb"}), PlainProgress)
    assert isinstance(chosen(io.StringIO(), {"FORCE_COLOR": "1"}), PlainProgress)
    assert isinstance(chosen(Tty(), {"TERM": "xterm"}, progress=False), PlainProgress)


def test_a_fault_of_every_row_does_not_print_every_row() -> None:
    notices = Notices()
    lines = [
        notices(RowFinished(f"r{n}", "m", "api", False, "api_error", 1, 0)) for n in range(100)
    ]
    said = [line.text for line in lines if line]
    assert said[0] == "failed: r0: api_error"
    assert said[-1] == "failed: r4: api_error; more are only counted"
    assert len(said) == 5


def test_a_fallback_is_told_once_for_each_pair_of_models() -> None:
    notices = Notices()
    said = [notices(FellBack(f"r{n}", "opus", "sonnet", "overloaded_error")) for n in range(3)]
    assert [line.text if line else None for line in said] == [
        "sonnet answers in place of opus: overloaded_error",
        None,
        None,
    ]


def test_a_breaker_that_probes_is_told_when_it_opens_and_when_it_closes() -> None:
    notices = Notices()
    states = ("open", "half-open", "open", "half-open", "closed", "closed", "open")
    said = [notices(BreakerChanged("p", state)) for state in states]  # type: ignore[arg-type]
    assert [bool(line) for line in said] == [True, False, False, False, True, False, True]


def test_the_other_notices_have_their_words() -> None:
    notices = Notices()
    spike = notices(SpendSpike("per minute", 3.2, 0.4))
    drain = notices(DrainStarted("interrupted"))
    assert spike is not None
    assert spike.text == "spending $3.20 per minute; usual for this run: $0.4000"
    assert drain is not None
    assert drain.text == "stopping: interrupted; requests in flight may finish"
    assert notices(RowFinished("a", "m", "api", True, None, 1, 0)) is None


def test_an_endless_id_is_one_line() -> None:
    line = Notices()(RowFinished("x" * 10**6, "m", "api", False, "e" * 10**6, 1, 0))
    assert line is not None
    assert len(line.text) < 400


def test_the_summary_has_colour_where_the_terminal_has() -> None:
    for environment, coloured in (({"FORCE_COLOR": "1"}, True), ({}, False)):
        stream, stats = io.StringIO(), RunStats(Clock())
        terminal = Terminal(stream, environment)
        choose(terminal, stats, now=Clock()).done(SUMMARIES["limited, failed, asked again"])
        text = stream.getvalue()
        assert ("\x1b" in text) is coloured
        assert ("\x1b[31mrows " in text) is coloured, "failed is red"
        assert ("\x1b[36mnext " in text) is coloured, "advice is not"
