"""The crash drill over message batches in its short form, and its judge; all calls:
`python -m tests.drills.batches`.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.drills import batch_case, kernel
from tests.drills.batch_case import ROWS, Judge, Scenario
from tests.drills.batches import recorded
from tests.drills.test_crash_drill import drill
from tests.drills.workspace import Seen, Stage

IDS = [str(row["id"]) for row in ROWS]


@pytest.mark.skipif(not kernel.available(), reason="the kernel cannot be asked here")
def test_killed_at_a_durable_call_a_run_of_batches_loses_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    record = tmp_path / "record"
    some = ("--scenario", "a create without an answer", "--every", "300", "--from", "180")
    figures = drill("batches", tmp_path, *some, "--record", str(record))
    assert figures["problems"] == 0
    assert figures["deaths"] >= 2
    # What was tried is not tried again, but for what broke a promise.
    tried = [json.loads(line) for line in record.read_text().splitlines()]
    assert len(recorded(record)) == len(tried) == figures["cases"]
    record.write_text("".join(json.dumps({**one, "problems": ["x"]}) + "\n" for one in tried))
    assert recorded(record) == {}


def world(tmp_path: Path, **more: Any) -> tuple[Stage, dict[str, Any]]:
    """A stage of a run that went well, but for *more*."""
    stats = {
        "billed_pico": 60,
        "requests": 0,
        "batches": {"requests": len(ROWS), "billed_again": 0, "made": 2},
        **more.pop("stats", {}),
    }
    answers = {id_: f"m{id_}" for id_ in IDS}
    usual = {"answers": answers, "shown": dict(answers), "spent": 60, "ledger": 60}
    lines = [{"id": id_, "status": "succeeded"} for id_ in more.pop("lines", IDS)]
    output = tmp_path / "out.jsonl"
    output.write_text("".join(json.dumps(line) + "\n" for line in lines))
    fake = SimpleNamespace(
        api=SimpleNamespace(stats=lambda: stats),
        look=lambda: Seen(**{**usual, **more}),
        output=output,
        errors=lambda: "",
    )
    return cast(Stage, fake), stats


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({}, ""),
        ({"lines": [*IDS, IDS[0]]}, "every answer once"),
        ({"lines": IDS[1:]}, "every answer once"),
        ({"stats": {"batches": {"requests": 7, "billed_again": 0, "made": 2}}}, "in two batches"),
        ({"stats": {"batches": {"requests": 6, "billed_again": 1, "made": 2}}}, "in two batches"),
        ({"spent": 59, "ledger": 59}, "the journal is the bill"),
        ({"spent": 61, "ledger": 61}, "the journal is the bill"),
        ({"ledger": 61}, "the ledger is the journal"),
        ({"unknown": 5, "ledger": 65}, "nothing is unknown"),
        ({"twice": ["r1"]}, "shown once"),
        ({"shown": {"r1": "another"}}, "before it is shown"),
        ({"damage": ["journal"]}, "nothing is damaged"),
    ],
)
def test_the_judge_of_batches_sees_every_breach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], word: str
) -> None:
    monkeypatch.setattr(batch_case, "_run", lambda *_: SimpleNamespace(code=0))
    judge = Judge(world(tmp_path, **more)[0], Scenario("calm"))
    judge.finished()
    assert [word in problem for problem in judge.problems] == ([True] if word else [])


def test_the_judge_of_batches_sees_what_is_lost_and_what_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(*_: object) -> Any:
        stats["batches"] = {**stats["batches"], "made": 3}
        return SimpleNamespace(code=0)

    stage, stats = world(tmp_path, ledger=59)
    judge = Judge(stage, Scenario("calm"))
    judge.died("write #1")
    (problem,) = judge.problems
    assert "the ledger says no less than the bill" in problem
    monkeypatch.setattr(batch_case, "_run", again)
    stage.look = lambda: Seen(spent=60, ledger=60)  # type: ignore[method-assign]
    judge.finished()
    assert ["no answer is lost" in said for said in judge.problems[1:]] == [True, False]
    assert "a finished run sends nothing" in judge.problems[2]
