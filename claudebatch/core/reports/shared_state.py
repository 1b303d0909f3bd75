"""What stands at the shared server, for people who look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from claudebatch.core.reports.shared_left import SharedLeft
from claudebatch.core.reports.shared_money import CapLevel, SharedRun, UntoldSpend


@dataclass(frozen=True, slots=True)
class SharedPool:
    """The limits of one pool as all hosts share them."""

    name: str
    limits: Mapping[str, tuple[float, float]]
    """Requests, input or output tokens: how many may leave now (below 0: a debt), and
    how many a minute. What is not limited is not there.
    """
    paused_s: float
    """Seconds until something leaves again after a 429."""
    most_in_flight: int
    in_flight: Mapping[str, int]
    """Requests by process."""
    waiting: Mapping[str, float]
    """Processes in line, first come, first served: seconds until their turn."""


@dataclass(frozen=True, slots=True)
class SharedAnswers:
    """The answers that all hosts share."""

    answers: int
    size: int
    """Bytes of all of them."""
    claims: int
    """Prompts that a host is asking for, so that others wait."""


@dataclass(frozen=True, slots=True)
class SharedState:
    """All of it, at one moment."""

    server: str
    account: str
    """Empty: that of all who name none."""
    pools: tuple[SharedPool, ...]
    caps: tuple[CapLevel, ...]
    runs: tuple[SharedRun, ...]
    """Those that have spent something today, hold something, or were heard of."""
    answers: SharedAnswers
    grants_in_s: float = 0.0
    """Seconds until a server that has just begun grants money."""
    untold: tuple[UntoldSpend, ...] = ()
    """Where this machine shares caps: what its ledger knows and the server does not."""

    def left_by(self, name: str) -> SharedLeft:
        """What is of the run or the machine *name*."""
        runs = tuple(run for run in self.runs if _is_of(run, name))
        holding = {process for run in runs for process in run.processes}
        flying = {process for pool in self.pools for process in pool.in_flight}
        processes = tuple(
            sorted(each for each in holding | flying if each in holding or _on(each, name))
        )
        counts = (pool.in_flight.get(each, 0) for pool in self.pools for each in processes)
        return SharedLeft(name, runs, processes, sum(counts))


def _is_of(run: SharedRun, name: str) -> bool:
    holds = run.held or run.lost or run.state != "silent"
    mine = run.run.startswith(name) or any(_on(process, name) for process in run.processes)
    return bool(mine and holds)


def _on(process: str, name: str) -> bool:
    return process.partition("/")[0] == name
