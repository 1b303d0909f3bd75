"""One case: a scenario, its deaths, and the judge's verdict."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.drills import processes
from tests.drills.judge import Judge, stable
from tests.drills.processes import Ended, Point, Word
from tests.drills.scenarios import IN_FLIGHT, Scenario, Step
from tests.drills.workspace import Api, Seen, Stage


@dataclass(frozen=True)
class Death:
    """How a session is to die; what is not reached does not happen."""

    at: int | None = None
    """Before its durable call of this number."""
    after_s: float | None = None
    """So long after its start."""
    call: str = ""
    """With `strace`: before call number *at* of this name in any thread."""
    by: str = "kernel"


@dataclass(frozen=True)
class Verdict:
    """What became of a case."""

    scenario: str
    deaths: tuple[str, ...]
    """Where the process died, death by death."""
    sessions: int
    requests: int
    resends: int
    bill: int
    unknown: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Calm:
    """An undisturbed run of a scenario."""

    output: bytes
    points: tuple[Point, ...]


class Theatre:
    """Plays cases one after another, in folders below one place, against one API."""

    def __init__(self, place: Path, *, supervised: bool) -> None:
        self._place = place
        self._supervised = supervised
        # A seed of its own: the ids of its messages must differ from those that a
        # rehearsal makes up.
        self.api = Api(place / "api", "--latency", "uniform:0.001,0.004", "--seed", "7")
        self._calm: dict[str, Calm] = {}

    def calm(self, scenario: Scenario) -> Calm:
        """What the scenario leaves when nobody disturbs it."""
        if scenario.name not in self._calm:
            stage, judge = self._stage(), Judge(in_flight=IN_FLIGHT)
            scenario.before(stage, judge, lambda step: self._do(stage, step))
            points = self._do(stage, scenario.step).points
            self._calm[scenario.name] = Calm(stable(stage.output.read_bytes()), points)
            stage.remove()
        return self._calm[scenario.name]

    def play(self, scenario: Scenario, deaths: Sequence[Death]) -> Verdict:
        """Let the scenario's step die as *deaths* say, one session each, then finish,
        then start it once more.
        """
        calm = self.calm(scenario)
        stage, judge = self._stage(), Judge(in_flight=IN_FLIGHT)
        scenario.before(stage, judge, lambda step: self._before(stage, judge, step))
        step, died, sessions = scenario.step, [], 0
        kept = stage.output.read_bytes() if scenario.name == "--fresh" else None
        try:
            for death in deaths:
                ended = self._die(stage, step, death)
                sessions += 1
                if not ended.killed:
                    break
                died.append(_where(ended, death))
                judge.hear(
                    self.api.settled(), stage.look(), where=f"death {len(died)} ({died[-1]})"
                )
                if kept is not None and not _survives(stage, kept, judge, calm.output):
                    judge.problems.append(
                        f"death {len(died)} ({died[-1]}): the results before --fresh are lost"
                    )
                step = replace(step, arguments=step.again or step.arguments)
            else:
                ended = self._do(stage, step)
                sessions += 1
            if ended.code != step.code:
                judge.problems.append(f"the end: exit code {ended.code}: {stage.errors()[-300:]}")
            seen = stage.look()
            judge.hear(self.api.settled(), seen, where="the end")
            self._finish(stage, judge, step, calm, seen)
        finally:
            stage.remove()
        return Verdict(
            scenario.name,
            tuple(died),
            sessions,
            judge.requests,
            judge.resends,
            judge.bill,
            judge.unknown,
            tuple(judge.problems),
        )

    def another(self, place: Path) -> Theatre:
        """One like this, elsewhere; what undisturbed runs leave is known already."""
        other = Theatre(place, supervised=self._supervised)
        other._calm = self._calm
        return other

    def close(self) -> None:
        """End the API."""
        self.api.close()

    def _finish(self, stage: Stage, judge: Judge, step: Step, calm: Calm, seen: Seen) -> None:
        if not stage.output.exists():
            judge.problems.append("the end: no output")
            return
        output = stage.output.read_bytes()
        judge.finished(output, calm.output, seen)
        self._do(stage, replace(step, arguments=step.again or step.arguments))
        judge.resumed(self.api.settled(), stage.output.read_bytes() == output)

    def _stage(self) -> Stage:
        self.api.reset()
        return Stage(Path(tempfile.mkdtemp(prefix="case-", dir=self._place)), self.api)

    def _before(self, stage: Stage, judge: Judge, step: Step) -> None:
        ended = self._do(stage, step)
        if ended.code != step.code:
            judge.problems.append(f"before: exit code {ended.code}: {stage.errors()[-300:]}")
        judge.hear(self.api.settled(), stage.look(), where="before")

    def _do(self, stage: Stage, step: Step) -> Ended:
        command = stage.command(*step.arguments, stdin=step.stdin)
        return (
            processes.supervised(command, processes.always)
            if self._supervised
            else processes.run(command)
        )

    def _die(self, stage: Stage, step: Step, death: Death) -> Ended:
        command = stage.command(*step.arguments, stdin=step.stdin)
        if death.by == "strace":
            return processes.killed_by_strace(command, call=death.call, at=death.at or 1)
        if death.after_s is not None:
            return processes.killed_after(command, death.after_s)
        if death.by == "inside":
            return processes.killed_inside(command, at=death.at or 1)
        return processes.supervised(command, _until(death.at))


def _until(at: int | None) -> Callable[[Point], Word]:
    return lambda point: Word.KILL if point.number == at else Word.ALLOW


def _where(ended: Ended, death: Death) -> str:
    if death.after_s is not None:
        return f"after {death.after_s:.3f} s"
    if ended.points:
        return f"{ended.points[-1].name} {ended.points[-1].place} #{death.at}"
    return f"{death.by} {death.call} #{death.at}"


def _survives(stage: Stage, kept: bytes, judge: Judge, expected: bytes) -> bool:
    """Whether the former results are still in a file; or the new run is far enough to
    have set them aside.
    """
    return any(
        path.read_bytes() == kept for path in stage.work.glob("out.jsonl*") if path.is_file()
    )
