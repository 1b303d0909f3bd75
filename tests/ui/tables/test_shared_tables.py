"""The shared server on the screen."""

from __future__ import annotations

from claudebatch.core.domain import PICO_PER_USD
from claudebatch.core.reports.shared_money import CapLevel, SharedRun
from claudebatch.core.reports.shared_state import SharedAnswers, SharedPool, SharedState
from claudebatch.ui.tables.shared_tables import render_left, render_shared, shared_json

POOL = SharedPool(
    "haiku-5.5",
    {"requests": (2.0, 3000.0), "input tokens": (-1200.0, 100_000.0)},
    3.0,
    1000,
    {"host-a/7/ab": 12, "host-b/1/cd": 3},
    {"host-b/1/cd": 0.2},
)
RUN = SharedRun("run-1", PICO_PER_USD, 0, 0, 0, "left", None, ())
DEAD = SharedRun("run-2", 0, PICO_PER_USD, 4, PICO_PER_USD // 2, "silent", 75.0, ("host-b/1/cd",))
STATE = SharedState(
    "redis.example:6379",
    "team\x1b[31m",
    (POOL,),
    (CapLevel("day", 10 * PICO_PER_USD, 9 * PICO_PER_USD, 2 * PICO_PER_USD),),
    (RUN, DEAD),
    SharedAnswers(1, 1536, 2),
    4.0,
)


def test_all_of_it_is_shown():
    assert list(render_shared(STATE)) == [
        "shared server redis.example:6379, account team\\x1b[31m",
        "",
        "pool        requests/min   input tokens/min  output tokens/min    in flight"
        "  waiting            paused",
        "haiku-5.5  3,000 (2 now)  100k (-1,200 now)                  -  15 of 1,000"
        "  host-b/1/cd 0.2 s     3 s",
        "",
        "It has just begun: no money is granted for 4 s.",
        "cap   limit  spent  reserved   left",
        "day  $10.00  $9.00     $2.00  $0.00",
        "",
        "run    state         heard of  today  reserved  requests  maybe billed  machine",
        "run-1  left                 -  $1.00     $0.00         0         $0.00  -",
        "run-2  silent  1 min 15 s ago  $0.00     $1.00         4       $0.5000  host-b",
        "",
        "1 answer, 1.5 KiB; 2 prompts are being asked",
    ]


def test_nothing_is_told_as_nothing():
    empty = SharedState("h:1", "", (), (), (), SharedAnswers(0, 0, 0))
    told = list(render_shared(empty))
    assert "No pool was used within a day." in told and "No run has used these caps today." in told


def test_what_becomes_of_it_is_said_before():
    left = STATE.left_by("host-b")
    assert (left.runs, left.processes, left.in_flight) == ((DEAD,), ("host-b/1/cd",), 3)
    assert STATE.left_by("host-b/1") == STATE.left_by("nobody").__class__("host-b/1", (), (), 0)
    assert STATE.left_by("run-2").in_flight == 3, "of the process that holds its money"
    assert render_left(left, free=True) == [
        "run-2: $1.00 reserved for 4 requests, and $0.5000 that may be billed, become free: none "
        "of it was billed",
        "3 requests in flight make room for others",
    ]
    assert render_left(STATE.left_by("host-a"), free=False) == [
        "12 requests in flight make room for others",
        "whether host-a is dead is not known here: it shares no cap",
    ]


def test_as_json_money_is_exact():
    found = shared_json(STATE)
    assert found["caps"][0]["held_usd"] == "2" and found["answers"]["bytes"] == 1536
    assert found["pools"][0]["limits"]["input_tokens"] == {"now": -1200.0, "per_minute": 100_000.0}
