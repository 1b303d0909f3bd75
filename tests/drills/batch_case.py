"""One case of the drill over message batches: a run of batches, its deaths, and what
must hold after each of them and at the end. The evidence is the simulator's bill.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from claudebatch.cli.main import run_command_line
from tests.drills import processes
from tests.drills.processes import Ended, Word
from tests.drills.workspace import Api, Seen, Stage

CONFIG = "batches: {poll: 0.05s, max_requests: 3}\nexpected_output_tokens: 1\n"
ALL = ("in.jsonl", "-o", "out.jsonl", "-m", "haiku", "--budget", "5", "-q", "--yes")
RUN = ("run", *ALL, "--batch")
ROWS = tuple({"id": f"r{n}", "prompt": f"question {n}", "max_tokens": 50} for n in range(6))
# Not `--budget`: nothing is sent by it.
ATTACH = ("in.jsonl", "-o", "out.jsonl", "-m", "haiku")
_HEADERS = {
    "authorization": "Bearer key",
    "anthropic-version": "2026-10-21",
    "content-type": "application/json",
}


@dataclass(frozen=True)
class Scenario:
    """A run of batches; *before* makes what the deadly command finds."""

    name: str
    script: tuple[str, ...] = ()
    """What befalls its requests, undisturbed."""
    requests: int = len(ROWS)
    """Of all batches; a row that came back is in a second one."""
    takes_s: int = 1
    """So long lasts a batch; its time is a thousand times faster."""
    before: Callable[[Stage], tuple[str, ...]] = lambda _: RUN
    """Returns the command."""


def _late(stage: Stage) -> tuple[str, ...]:
    assert _run(stage, (*RUN, "--detach")).code == 0, stage.errors()
    return ("run", *ALL, "--deadline", "1s", "-j", "1")


def _made_elsewhere(stage: Stage) -> tuple[str, ...]:
    params = {"model": "claude-haiku-5-5", "max_tokens": 50}
    requests = [
        {
            "custom_id": row["id"],
            "params": {**params, "messages": [{"role": "user", "content": row["prompt"]}]},
        }
        for row in ROWS
    ]
    made = stage.api.ask("POST", "/v1/messages/batches", {"requests": requests}, _HEADERS)
    return ("batches", "attach", made["id"], *ATTACH)


SCENARIOS = (
    Scenario("two batches"),
    Scenario("a row that expires", script=("batch_expired",), requests=len(ROWS) + 1),
    Scenario("a create without an answer", script=("batch_504",)),
    Scenario("a download that breaks", script=("batch_cut",)),
    Scenario("given up for a deadline", takes_s=80_000, before=_late),
    Scenario("made elsewhere", before=_made_elsewhere),
)


def preload(place: Path) -> None:
    """Let one small rehearsal import what only a run by batch needs."""
    folder = Path(tempfile.mkdtemp(prefix="preload-", dir=place))
    (folder / "in.jsonl").write_text('"hi"\n')
    (folder / "config.yaml").write_text(
        "simulate: {batch_time: 1000000x}\nbatches: {poll: 0.01s}\n"
    )
    files = (str(folder / "in.jsonl"), "-c", str(folder / "config.yaml"))
    homes = {f"CLAUDEBATCH_{name}_DIR": str(folder) for name in ("CACHE", "STATE")}
    arguments = ["claudebatch", "run", *files, "--simulate", "--batch", "-qq"]
    with patch.dict(os.environ, homes), patch.object(sys, "argv", arguments):
        assert run_command_line() == 0
    gc.collect()
    gc.freeze()


def named(name: str) -> Scenario:
    """The scenario of that name."""
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def play(scenario: Scenario, deaths: Sequence[int], place: Path) -> dict[str, Any]:
    """Die before those durable calls, a session each, then go on to the end: where it
    died, and which promises were broken.
    """
    with _stage(scenario, place) as stage:
        command = scenario.before(stage)
        judge, died = Judge(stage, scenario), list[str]()
        for at in deaths:
            ended = _run(stage, command, at=at)
            if not ended.killed:
                judge.expect("the exit code is 0", ended.code == 0)
                break
            died.append(f"{ended.points[-1].name} {ended.points[-1].place} #{at}")
            judge.died(died[-1])
        else:
            judge.expect("the exit code is 0", _run(stage, command).code == 0)
        judge.finished()
        return {
            "scenario": scenario.name,
            "deaths": died,
            "sessions": len(died) + 1,
            "problems": judge.problems,
        }


def steps(scenario: Scenario, place: Path) -> int:
    """How many durable calls an undisturbed session has."""
    with _stage(scenario, place) as stage:
        return len(_run(stage, scenario.before(stage)).points)


class Judge:
    """Follows one case; `problems` is empty when every promise was kept."""

    def __init__(self, stage: Stage, scenario: Scenario) -> None:
        self._stage = stage
        self._scenario = scenario
        self._where = "the end"
        self._known: dict[str, str] = {}
        self.problems: list[str] = []

    def expect(self, promise: str, kept: bool, more: object = "") -> None:
        """Note *promise* as broken unless it was *kept*."""
        if not kept:
            last = self._stage.errors()[-200:]
            self.problems.append(f"{self._where}: not so: {promise} {more} {last}".strip())

    def died(self, where: str) -> None:
        """What must hold after any death."""
        self._where = where
        seen = self._seen()
        # What another tool has made is in no book before it is attached.
        if self._scenario.before is not _made_elsewhere:
            bill = self._stage.api.stats()["billed_pico"]
            self.expect("the ledger says no less than the bill", seen.ledger >= bill)
        self._where = "the end"

    def finished(self) -> None:
        """The run is done, and is started once more."""
        seen, stats = self._seen(), self._stage.api.stats()
        lines = [json.loads(line) for line in self._stage.output.read_text().splitlines()]
        ids = sorted(line["id"] for line in lines if line["status"] == "succeeded")
        self.expect("every answer once", ids == [row["id"] for row in ROWS], ids)
        bill, batches = stats["billed_pico"], stats["batches"]
        in_batches = (batches["requests"], batches["billed_again"])
        self.expect("no row in two batches", in_batches == (self._scenario.requests, 0), in_batches)
        # Only what is sent at once may be in flight at a death, and be sent again.
        self.expect("the journal is the bill", seen.spent <= bill <= seen.spent + seen.unknown)
        self.expect("the ledger is the journal", seen.ledger == seen.spent + seen.unknown)
        if not stats["requests"]:
            self.expect("nothing is unknown", not seen.unknown)
        output = self._stage.output.read_bytes()
        self.expect("once more it ends well", _run(self._stage, RUN).code == 0)
        later = self._stage.api.stats()
        sent = (later["requests"], later["batches"]["made"], later["billed_pico"])
        self.expect(
            "a finished run sends nothing",
            sent == (stats["requests"], batches["made"], bill)
            and self._stage.output.read_bytes() == output,
        )

    def _seen(self) -> Seen:
        seen = self._stage.look()
        lost = [id_ for id_, message in self._known.items() if seen.answers.get(id_) != message]
        self.expect("no answer is lost", not lost, lost)
        self.expect("shown once", not seen.twice, seen.twice)
        early = [id_ for id_, message in seen.shown.items() if seen.answers.get(id_) != message]
        self.expect("written down before it is shown", not early, early)
        self.expect("nothing is damaged", not seen.damage, seen.damage)
        self._known |= seen.answers
        return seen


@contextmanager
def _stage(scenario: Scenario, place: Path) -> Iterator[Stage]:
    """A fresh world whose API knows no batch yet."""
    folder = Path(tempfile.mkdtemp(prefix="case-", dir=place))
    api = Api(
        folder / "api",
        *("--latency", "fixed:0", "--seed", "7"),
        *("--batch-time", "1000x", "--batch-latency", f"fixed:{scenario.takes_s}"),
        *(("--script", ",".join(scenario.script)) if scenario.script else ()),
    )
    stage = Stage(folder / "case", api)
    try:
        with (stage.work / "claudebatch.yaml").open("a") as config:
            config.write(CONFIG)
        stage.write("in.jsonl", list(ROWS))
        yield stage
    finally:
        api.close()
        shutil.rmtree(folder)


def _run(stage: Stage, arguments: Sequence[str], *, at: int = 0) -> Ended:
    return processes.supervised(
        stage.command(*arguments),
        lambda point: Word.KILL if point.number == at else Word.ALLOW,
    )
