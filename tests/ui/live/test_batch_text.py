"""Batches in words, notices and machine lines: each change once, however often they are
asked about.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

from claudebatch.core.events import BatchChanged, BatchPhase
from claudebatch.core.stats.run_stats import RunStats
from claudebatch.ui.live.notices import Notices
from claudebatch.ui.live.verbose import sentence
from claudebatch.ui.machine.json_events import JsonEvents
from claudebatch.ui.machine.log_lines import LogLines

MADE_MS = 1_795_000_000_000


def changed(batch: int, state: BatchPhase, **more: int) -> BatchChanged:
    return BatchChanged(
        batch,
        f"msgbatch_{batch}",
        state,
        1200,
        10**10,
        at_ms=MADE_MS + 720_000,
        created_ms=MADE_MS,
        expires_ms=MADE_MS + 86_400_000,
        **more,
    )


def test_coming_and_going_is_told_five_times_and_then_counted() -> None:
    notices = Notices()
    lines = [notices(changed(batch, "submitted")) for batch in range(1, 9)]
    said = [line.shown for line in lines if line is not None]
    assert said[0] == "batch 1 with 1,200 rows is with the API (msgbatch_1)"
    assert said[-1].endswith("(msgbatch_5); more are only counted")
    assert len(said) == 5
    back = notices(changed(7, "collected", answered=1190, failed=2, again=8))
    assert back is not None, "those that come back are counted by themselves"
    assert back.shown == "batch 7 is back: 1,190 answered, 2 failed, 8 to be sent again"


def test_being_asked_about_is_for_v_alone() -> None:
    notices = Notices()
    notices(changed(1, "submitted"))
    assert notices(changed(1, "in progress")) is None
    told = sentence(changed(1, "in progress"), requests=False)
    assert told == "batch 1 (msgbatch_1): in progress, 12 min old"
    assert sentence(changed(1, "submitted"), requests=False) is None


def test_json_and_the_log_have_one_line_for_each_change() -> None:
    stream = io.StringIO()
    events = JsonEvents(stream, RunStats(lambda: 0.0), now=lambda: 0.0, own_thread=False)
    log = LogLines(now=lambda: 0.0, wall=lambda: datetime(2026, 11, 30, tzinfo=UTC))
    logged = []
    states: tuple[BatchPhase, ...] = ("submitted", "in progress", "in progress", "ended")
    for state in states:
        events(changed(1, state))
        logged.append(log(changed(1, state)))
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["state"] for line in told] == ["submitted", "in progress", "ended"]
    assert [line is None for line in logged] == [False, False, True, False]
    fields = {
        "batch": 1,
        "id": "msgbatch_1",
        "state": "submitted",
        "requests": 1200,
        "held_usd": "0.01",
        "created_at": "2026-11-18T11:06:40Z",
        "expires_at": "2026-11-19T11:06:40Z",
        "answered": 0,
        "failed": 0,
        "again": 0,
    }
    assert told[0] == {"v": 1, "event": "batch", "t": 0.0, **fields}
    assert fields.items() <= json.loads(logged[0] or b"").items()
