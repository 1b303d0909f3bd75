"""One case of the disk drill: a session on a failing disk, then the same command on a
whole one, then once more.
"""

from __future__ import annotations

import json
import resource
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.drills import processes
from tests.drills.damage import Damage, ruin
from tests.drills.faults import FILES, Disk, Fault, file_of
from tests.drills.processes import Ended
from tests.drills.scenarios import IN_FLIGHT, rows
from tests.drills.workspace import Api, Stage

ROWS = 6
MAX_TOKENS = 1000
"""More than any answer takes: those that are cut off are not kept in the cache."""
RUN = (
    "run",
    "in.jsonl",
    "-o",
    "out.jsonl",
    "-j",
    str(IN_FLIGHT),
    "--yes",
    "--no-progress",
    "--log",
    "run.log",
)
STOPS_WITHIN_S = 1.0
FATAL = ("output", "journal", "ledger")
"""Without these a run stops; without the others it goes on and says so."""


@dataclass(frozen=True)
class Verdict:
    """What became of a case."""

    scenario: str
    fault: str
    struck: bool
    """Whether the fault has come."""
    sessions: int
    requests: int
    resends: int
    problems: tuple[str, ...]


class Bench:
    """Plays cases one after another against one API."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._api = Api(place / "api", "--latency", "uniform:0.001,0.004")

    def lengths(self) -> dict[str, int]:
        """How many calls an undisturbed session makes about each file."""
        stage = self._stage()
        ended = processes.supervised(stage.command(*RUN), processes.always)
        stage.remove()
        counts = Counter(file_of(point) for point in ended.points)
        return {file: counts[file] for file in FILES}

    def another(self, place: Path) -> Bench:
        """One like this, elsewhere."""
        return Bench(place)

    def close(self) -> None:
        """End the API."""
        self._api.close()

    def play(self, fault: Fault) -> Verdict:
        """One call fails, or all from there on."""
        stage, disk = self._stage(), Disk(fault)
        ended = processes.supervised(stage.command(*RUN), disk)
        problems = _first_problems(ended, disk, stage.errors())
        return self._again(
            stage, f"{fault.file}: {fault.kind}", str(fault), disk.failed_at_s is not None, problems
        )

    def play_limit(self, size: int) -> Verdict:
        """No file may grow beyond *size* bytes: writes are cut short, then refused."""
        stage = self._stage()

        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        ended = processes.run(stage.command(*RUN), limited)
        problems = (
            [] if ended.code in (0, 6) else [f"exit code {ended.code}: {stage.errors()[-300:]}"]
        )
        return self._again(stage, "a file size limit", f"{size} bytes", ended.code != 0, problems)

    def play_damage(self, damage: Damage) -> Verdict:
        """A second run finds its cache damaged."""
        stage = self._stage()
        processes.run(stage.command(*RUN))
        ruin(stage.home / "cache" / "responses", damage)
        problems: list[str] = []
        for output in ("second.jsonl", "third.jsonl"):
            ended = processes.run(stage.command(*RUN[:3], output, *RUN[4:]))
            if ended.code != 0:
                problems.append(f"exit code {ended.code}: {stage.errors()[-300:]}")
                break
            problems += _wrong(stage.work / output)
        requests = _asked(self._api)
        if not problems and requests.total() > (3 if "flipped" in damage.way else 2) * ROWS:
            problems.append(
                "the cache was not rebuilt"
            )  # flipped bits of an index may hide an entry for good
        stage.remove()
        return Verdict(
            f"cache: {damage.way}", str(damage), True, 3, requests.total(), 0, tuple(problems)
        )

    def _again(
        self, stage: Stage, scenario: str, fault: str, struck: bool, problems: list[str]
    ) -> Verdict:
        """The disk is whole again."""
        first, seen = _asked(self._api), stage.look()
        received = {
            event["question"] for event in self._api.settled() if event["event"] == "delivered"
        }
        names = {
            event["question"]: event["text"]
            for event in self._api.settled()
            if event["event"] == "asked"
        }
        ended = processes.run(stage.command(*RUN))
        if ended.code != 0:
            problems.append(f"the second session: exit code {ended.code}: {stage.errors()[-300:]}")
        both = _asked(self._api)
        problems += [f"{id_} was asked again although its answer had been "
                     f"received" for id_ in sorted(
            names[question] for question in received) if both[id_] > first[id_]]  # fmt: skip
        problems += [f"damaged {what}" for what in seen.damage] + _wrong(stage.output)
        after = stage.look()
        bill = sum(event.get("billed_pico", 0) for event in self._api.settled())
        if (
            not after.spent <= bill <= after.spent + after.unknown
            or not bill <= after.ledger <= bill + after.unknown
        ):
            problems.append(
                f"billed {bill}, journal {after.spent} + {after.unknown}, ledger {after.ledger}"
            )
        kept = stage.output.read_bytes() if stage.output.exists() else b""
        processes.run(stage.command(*RUN))
        if _asked(self._api) != both or stage.output.read_bytes() != kept:
            problems.append("a finished run was not left as it was")
        stage.remove()
        return Verdict(
            scenario, fault, struck, 3, both.total(), both.total() - len(both), tuple(problems)
        )

    def _stage(self) -> Stage:
        self._api.reset()
        stage = Stage(Path(tempfile.mkdtemp(prefix="case-", dir=self._place)), self._api)
        stage.write("in.jsonl", rows(ROWS, max_tokens=MAX_TOKENS))
        return stage


def _first_problems(ended: Ended, disk: Disk, errors: str) -> list[str]:
    """What is wrong with the session on the failing disk."""
    fault, problems = disk.fault, []
    if ended.code not in (0, 6):
        problems.append(f"exit code {ended.code}: {errors[-300:]}")
    if "Traceback" in errors:
        problems.append(f"a traceback: {errors[-300:]}")
    if disk.failed_at_s is None:
        return problems
    if fault.file not in FATAL:
        if ended.code == 6 and not any(point.name == "sendto" for point in ended.points):
            pass  # a log that cannot even be opened: refused, with nothing sent
        elif ended.code != 0:
            problems.append(f"{fault.file} cost the run: exit code {ended.code}: {errors[-300:]}")
    elif fault.for_ever:
        late = [point for point in ended.points if point.name == "sendto"
                and point.at_s > disk.failed_at_s + STOPS_WITHIN_S]  # fmt: skip
        if late:
            problems.append(
                f"{len(late)} requests left more than {STOPS_WITHIN_S} s after the failure"
            )
    return problems


def _asked(api: Api) -> Counter[str]:
    return Counter(event["text"] for event in api.settled() if event["event"] == "asked")


def _wrong(output: Path) -> list[str]:
    """Rows that are missing, twice there, or answered with what was said to another."""
    if not output.exists():
        return ["no output"]
    lines = [json.loads(line) for line in output.read_bytes().splitlines()]
    wanted = [row["id"] for row in rows(ROWS)]
    problems = (
        []
        if sorted(line["id"] for line in lines) == wanted
        else [f"{len(lines)} lines, {ROWS} rows"]
    )
    return problems + [
        f"{line['id']} has a wrong answer"
        for line in lines
        if f"“{line['id']}”" not in line["text"]
    ]
