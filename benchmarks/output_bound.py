"""How much of a limit of output tokens anybody can use without a 429, where the API's
bucket holds a few answers.

    python -m benchmarks.output_bound [--seeds N] [WORD ...]

Plays the cases of tests/scenarios/output_limit.yaml whose names hold every WORD with
three clients, the same rows, latencies and buckets, and prints their shares of the
ideal. *sight* sees the level of the API's bucket and how fast it falls at every moment,
and knows mean length and latency beforehand; it does not know the answers to come.
*all* knows length and latency of every answer beforehand, too. Both know when they
would be refused, and wait. Each is the best, in each case, of some rules with other
constants; a better rule may exist, so these are figures of what can be had and no proof
that there is no more. The rows leave in their order, for all three.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from statistics import fmean

from claudebatch.engine.engine import Ended
from claudebatch.simulator.latency import parse_latency
from claudebatch.simulator.limits import SimulatedBucket
from tests.scenarios import play as scenarios
from tests.scenarios.api import Seen
from tests.scenarios.figures import FIGURES
from tests.scenarios.scenario import Case, cases

_CASES = Path(scenarios.__file__).with_name("output_limit.yaml")
_LOOKS_PER_ROW = 8
"""How often a waiting client looks, in the mean time between two rows."""
_AHEAD_SHARES = (0.125, 0.25, 0.5, 1.0)
"""Of the mean latency: so far ahead *sight* looks."""
_LEFT_SHARES = (0.05, 0.3, 0.6, 0.9)
"""Of what the bucket holds: so much must be left then."""


@dataclass
class World:
    """One run: the rows to come, the API's bucket, and what is on its way."""

    case: Case
    rows: Sequence[tuple[int, float]]
    """Output tokens and latency of each."""
    api: SimulatedBucket
    seen: Seen = field(default_factory=Seen)
    out: list[tuple[float, float]] = field(default_factory=list)
    """When each answer on its way ends, and its tokens a second; at its end: its
    tokens.
    """

    @property
    def at_end(self) -> bool:
        """How output counts."""
        return self.case.server.output_at_end

    def send(self, at: float) -> None:
        """The next row leaves."""
        tokens, latency_s = self.rows[len(self.seen.admitted)]
        self.seen.admitted.append((at, 100))
        self.seen.made.append((at, at + latency_s, tokens))
        heappush(self.out, (at + latency_s, tokens if self.at_end else tokens / latency_s))
        if not self.at_end:
            self.api.drain(tokens, latency_s, at)

    def look(self, at: float) -> float:
        """Time has passed; returns what is in the bucket."""
        while self.out and self.out[0][0] <= at:
            end, units = heappop(self.out)
            if self.at_end:
                self.api.take(units, end)
            self.seen.produced.append((end, 0))
        return self.api.level(at)


Rule = Callable[[World, float, float], bool]
"""Whether the next row may leave, with that level at that moment; it is above zero."""


def sight(ahead_s: float, left: float, mean: float, mean_s: float) -> Rule:
    """Looks *ahead_s* ahead, as if all went on as it goes now, and leaves so many
    tokens.
    """

    def may(world: World, at: float, level: float) -> bool:
        falls = len(world.out) * mean / mean_s if world.at_end else world.api._drained_per_s
        return level + (world.api.rate - falls) * ahead_s >= left

    return may


def everything(left: float) -> Rule:
    """Sees all that will be in the bucket while the next answer comes, and leaves so
    many tokens.
    """

    def may(world: World, at: float, level: float) -> bool:
        tokens, latency_s = world.rows[len(world.seen.admitted)]
        mine = (at + latency_s, float(tokens) if world.at_end else tokens / latency_s)
        return _lowest(world, at, level, mine) >= left

    return may


def _lowest(world: World, at: float, level: float, mine: tuple[float, float]) -> float:
    lowest, rate, capacity = level, world.api.rate, world.api.capacity
    ends = sorted([*world.out, mine])
    falls = 0.0 if world.at_end else sum(per_s for _, per_s in ends)
    for end, units in ends:
        level = min(capacity, level + (end - at) * (rate - falls))
        if world.at_end:
            level -= units
        else:
            falls -= units
        at, lowest = end, min(lowest, level)
    return lowest


def drive(case: Case, rows: Sequence[tuple[int, float]], rule: Rule) -> float:
    """The share of the ideal; no request is refused."""
    limit = case.server.otpm or 0
    world = World(case, rows, SimulatedBucket(limit, case.server.burst_s, 0.0))
    tick = fmean(tokens for tokens, _ in rows) / (limit / 60) / _LOOKS_PER_ROW
    at = 0.0
    while len(world.seen.admitted) < len(rows):
        level = world.look(at)
        idle = not world.out and level >= world.api.capacity
        if level >= 1 and (idle or rule(world, at, level)):
            world.send(at)
        else:
            at += tick
    last = max(end for _, end, _ in world.seen.made)
    world.look(last)
    world.seen.produced = sorted((end, tokens) for _, end, tokens in world.seen.made)
    return FIGURES["share"](scenarios.Played(case, world.seen, Ended(), len(rows), last))


def rows_of(case: Case, seed: int) -> list[tuple[int, float]]:
    """As the scenario itself draws them."""
    drawn = scenarios._Play(case, seed)
    latency = parse_latency(case.server.latency)
    rng = random.Random(0)
    rng.setstate(drawn.api_rng.getstate())
    found = []
    for _, tokens in drawn.tokens:
        rng.random()  # whether there is a fault
        found.append((tokens, latency.draw(rng)))
    return found


def best(case: Case, drawn: Sequence[Sequence[tuple[int, float]]], rules: Iterator[Rule]) -> float:
    """The worst share over the seeds, of the rule that is best at that."""
    return max(min(drive(case, rows, rule) for rows in drawn) for rule in rules)


def line(case: Case, seeds: int) -> str:
    """The three shares of one case."""
    drawn = [rows_of(case, seed) for seed in range(seeds)]
    holds = (case.server.otpm or 0) / 60 * case.server.burst_s
    mean = fmean(tokens for tokens, _ in drawn[0])
    mean_s = fmean(latency_s for _, latency_s in drawn[0])
    lefts = [share * holds for share in _LEFT_SHARES]
    seeing = best(
        case,
        drawn,
        (sight(ahead * mean_s, left, mean, mean_s) for ahead in _AHEAD_SHARES for left in lefts),
    )
    knowing = best(case, drawn, (everything(left) for left in (-holds, *lefts[:3])))
    played = [scenarios.play(case, seed) for seed in range(seeds)]
    ours = min(FIGURES["share"](one) for one in played)
    refused = sum(len(one.seen.refused) for one in played)
    return f"{case.name}: sight {seeing:.1%} · all {knowing:.1%} · ours {ours:.1%}, {refused} 429s"


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    wanted = parser.parse_args()
    for case in cases(_CASES, more=True):
        if all(word in case.name for word in wanted.words):
            print(line(case, wanted.seeds), flush=True)


if __name__ == "__main__":
    main()
