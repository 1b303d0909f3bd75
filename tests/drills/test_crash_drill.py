"""The crash drill in its short form, and the judge: every promise that is broken is
seen.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.drills import kernel
from tests.drills.judge import Judge, stable
from tests.drills.workspace import Seen

ROOT = Path(__file__).parents[2]
PATIENCE_S = 600


def drill(name: str, place: Path, *arguments: str) -> dict[str, int]:
    """Run a drill as anybody would; its figures."""
    figures = place / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", f"tests.drills.{name}", *arguments, "--json", str(figures)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, int] = json.loads(figures.read_text())
    return found


def test_a_hundred_deaths_lose_nothing_and_pay_for_nothing_twice(tmp_path: Path):
    figures = drill("crash", tmp_path, "--runs", "100")
    assert figures["deaths"] >= 100
    assert figures["answers_lost"] == figures["answers_asked_again"] == figures["problems"] == 0


@pytest.mark.skipif(
    not kernel.available(),
    reason="the kernel cannot be asked here: the test above used what is left",
)
def test_without_the_kernels_help_the_drill_kills_from_inside(tmp_path: Path):
    figures = drill("crash", tmp_path, "--runs", "12", "--by", "inside")
    assert (figures["killed_by"], figures["deaths"] >= 12) == ("inside", True)


def asked(*texts: str) -> list[dict[str, object]]:
    return [
        event
        for text in texts
        for event in (
            {"event": "asked", "question": text, "text": text},
            {"event": "delivered", "question": text, "billed_pico": 10},
        )
    ]


def seen(**more: object) -> Seen:
    """A disk on which a is answered and b was in flight."""
    usual = {
        "answers": {"a": "m1"},
        "attempts": {"a", "b"},
        "sent": {"b"},
        "spent": 10,
        "unknown": 99,
        "ledger": 109,
    }
    return Seen(**{**usual, **more})  # type: ignore[arg-type]


def judged(*looks: tuple[list[dict[str, object]], Seen]) -> list[str]:
    judge, log = Judge(in_flight=2), []
    for number, (more, look) in enumerate(looks):
        log += more
        judge.hear(log, look, where=str(number))
    return judge.problems


def test_a_clean_death_is_no_problem():
    assert judged((asked("a", "b"), seen())) == []


@pytest.mark.parametrize(
    ("second", "look", "word"),
    [
        (asked("a"), seen(spent=10, unknown=99), "asked again"),
        ([], seen(answers={}), "is lost"),
        ([], seen(answers={"a": "m2"}), "is lost"),
        ([], seen(shown={"b": "m9"}), "before it was written down"),
        ([], seen(twice=["a"]), "two result lines"),
        ([], seen(ledger=19), "counts only"),
        ([], seen(spent=0, unknown=5), "billed"),
        ([], seen(spent=21), "billed"),
        ([], seen(damage=["journal: x"]), "damaged"),
        (asked("c"), seen(), "nothing was written down first"),
        (
            asked("c", "d", "e"),
            seen(attempts=set("abcde"), unknown=999, ledger=999),
            "3 requests without an outcome",
        ),
        (asked("b", "b"), seen(), "2 times in one session"),
    ],
)
def test_the_judge_sees_every_breach(second, look, word):
    problems = judged((asked("a", "b"), seen()), (second, look))
    assert any(word in problem for problem in problems), problems


def test_the_judge_sees_a_finished_run_that_asks_and_an_output_that_differs():
    judge = Judge(in_flight=2)
    judge.finished(b'{"id":"a","text":"x"}\n', stable(b'{"id":"a","text":"y"}\n'), Seen())
    judge.resumed(asked("a"), same=True)
    assert len(judge.problems) == 2


def test_outputs_are_compared_but_for_what_every_run_has_differently():
    line = (
        b'{"id":"a","text":"x","latency_ms":%d,"request_id":"%b",'
        b'"message":{"id":"msg_%d","text":"x"}}\n'
    )
    assert stable(line % (1, b"req_1", 1)) == stable(line % (22, b"req_2", 3))
    assert stable(line % (1, b"req_1", 1)) != stable(
        (line % (1, b"req_1", 1)).replace(b'"x"', b'"y"', 1)
    )
