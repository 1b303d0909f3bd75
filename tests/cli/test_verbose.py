"""`-v` says which files a run uses, and every retry, wait and limit in words; `-vv`
every request, too.
"""

from __future__ import annotations

from math import inf

import pytest

from claudebatch.cli.wiring.display import Show, make_display
from claudebatch.core.domain import Usage
from claudebatch.core.events import (
    AttemptFinished,
    ConcurrencyChanged,
    LimitsSeen,
    Retrying,
    Waiting,
)
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.ui.live.verbose import Sentences
from tests.support.scripted import make_call, make_reply

HAIKU = "claude-haiku-5-5"
ANSWER = make_reply()
EVENTS = [
    Retrying(HAIKU, "overloaded_error", 2, 1.5, "row-7"),
    Waiting("haiku-5.5", "input tokens per minute", 12.0),
    Waiting("haiku-5.5", "requests per minute", 0.06),
    Waiting("haiku-5.5", "money", inf, "row-3"),
    Waiting("haiku-5.5", "money", inf, "row-4"),
    Waiting("haiku-5.5", "money", 0.0, "row-4"),
    LimitsSeen("haiku-5.5", 50, None, 8000),
    LimitsSeen("local", None, None, None),
    ConcurrencyChanged("haiku-5.5", 1),
    AttemptFinished(
        HAIKU, "haiku-5.5", Usage(1, 1), 10**9, None, False, make_call(), ANSWER, 1, 850
    ),
    AttemptFinished(
        HAIKU, "haiku-5.5", None, 0, "overloaded_error", False, make_call(), None, 2, 12, 529
    ),
    AttemptFinished(
        HAIKU, "haiku-5.5", None, 10**10, "timeout", True, make_call(), None, 3, 600_000
    ),
]
FLOW = [
    "claude-haiku-5-5 (row-7): overloaded_error, attempt 2; again in 1.5 s",
    "haiku-5.5: waits 12.0 s: input tokens per minute",
    "waiting: the rest of the cap is reserved for requests in flight",
    "haiku-5.5: the API allows 50 requests, 8,000 output tokens a minute",
    "local: no limit is known",
    "haiku-5.5: up to 1 request in flight",
]
REQUESTS = [
    "row-1: claude-haiku-5-5 answered in 850 ms for $0.0010",
    "row-1: claude-haiku-5-5: overloaded_error (529) after 12 ms",
    "row-1: claude-haiku-5-5: timeout after 10 min; may be billed $0.0100",
]


def told(capsys, show: Show) -> list[str]:
    display = make_display(
        show,
        {"TERM": "dumb"},
        {},
        RunStats(lambda: 0.0),
        now=lambda: 0.0,
        results_on_stdout=False,
    )
    for event in EVENTS:
        display(event)
    display.stop()
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("verbose", "lines"), [(0, []), (1, FLOW), (2, FLOW + REQUESTS), (3, FLOW + REQUESTS)]
)
def test_each_level_tells_more(capsys, verbose, lines):
    assert told(capsys, Show(verbose=verbose)) == lines


def test_near_the_cap_the_wait_for_money_is_told_once():
    told = Sentences(requests=True)
    waits = [Waiting(pool, "money", inf, f"row-{n}") for n in range(84) for pool in ("a", "b")]
    said = [words for wait in waits if (words := told(wait)) is not None]
    assert said == ["waiting: the rest of the cap is reserved for requests in flight"]
    # Waits for a limit pass, and each is news.
    limited = Waiting("a", "rate limited", 5.0, "row-1")
    assert told(limited) == told(limited) is not None
