"""How often the cost monitor cries wolf, and how often and how soon it tells a real
spike.

    python -m benchmarks.alerts [RUNS]

Streams of costs in a run's own time, nothing is sent. A false alarm is any alert in an
hour of spend that has no spike in it; a spike is told when an alert comes while it
lasts. `factor alone` is the same without deviations.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

from claudebatch.alerts.settings import SpikeSettings
from claudebatch.alerts.spend_spikes import SpikeDetector
from claudebatch.core.domain import PICO_PER_USD

CENT = PICO_PER_USD // 100
HOUR_S = 3600.0
Stream = Iterator[tuple[float, int]]
"""Moments and costs."""
Make = Callable[[random.Random], Stream]


def spend(
    rng: random.Random, per_s: Callable[[float], float], cost: Callable[[random.Random], float]
) -> Stream:
    """Poisson arrivals at a rate that may change, each with its cost in cents."""
    now = 0.0
    while True:
        now += rng.expovariate(per_s(now))
        yield now, max(1, int(CENT * cost(rng)))


def lognormal(sigma: float) -> Callable[[random.Random], float]:
    """Costs of one kind of row; *sigma* 1: one in six is 2.7 times the median."""
    return lambda rng: rng.lognormvariate(0, sigma)


def mixed(share: float, times: float) -> Callable[[random.Random], float]:
    """Rows of two models."""
    return lambda rng: rng.lognormvariate(0, 0.5) * (times if rng.random() < share else 1)


def ramp(doubling_s: float, to: float) -> Callable[[float], float]:
    """From one a second to *to*."""
    return lambda now: min(to, 2 ** (now / doubling_s))


def late_ramp(now: float) -> float:
    """A limit that others had used is ours again."""
    return min(16.0, 2 ** max(0.0, (now - 600) / 60))


def pauses(now: float) -> float:
    """Ten minutes of work, then five of next to nothing: outages, breaks for a
    limit.
    """
    return 4.0 if now % 900 < 600 else 0.02


CALM: dict[str, Make] = {
    "equal costs": lambda rng: spend(rng, lambda _: 1.0, lambda _: 1.0),
    "log-normal, sigma 0.5": lambda rng: spend(rng, lambda _: 1.0, lognormal(0.5)),
    "log-normal, sigma 1": lambda rng: spend(rng, lambda _: 1.0, lognormal(1.0)),
    "log-normal, sigma 1, 20 a second": lambda rng: spend(rng, lambda _: 20.0, lognormal(1.0)),
    "log-normal, sigma 1.5": lambda rng: spend(rng, lambda _: 1.0, lognormal(1.5)),
    "log-normal, sigma 1.5, 20 a second": lambda rng: spend(rng, lambda _: 20.0, lognormal(1.5)),
    "two models, 1 in 10 rows 20 times as dear": lambda rng: spend(
        rng, lambda _: 1.0, mixed(0.1, 20)
    ),
    "two models, 1 in 50 rows 20 times as dear": lambda rng: spend(
        rng, lambda _: 1.0, mixed(0.02, 20)
    ),
    "ramp, twice as fast every 15 s, to 64 times": lambda rng: spend(
        rng, ramp(15, 64), lognormal(0.5)
    ),
    "ramp, twice as fast every 30 s, to 64 times": lambda rng: spend(
        rng, ramp(30, 64), lognormal(0.5)
    ),
    "ramp, twice as fast every 2 min, to 64 times": lambda rng: spend(
        rng, ramp(120, 64), lognormal(0.5)
    ),
    "ten calm minutes, then twice as fast every minute, to 16 times": lambda rng: spend(
        rng, late_ramp, lognormal(0.5)
    ),
    "sparse: one answer in 5 min": lambda rng: spend(rng, lambda _: 1 / 300, lognormal(0.5)),
    "work and breaks": lambda rng: spend(rng, pauses, lognormal(0.5)),
}
LONG = {"sparse: one answer in 5 min": 100 * HOUR_S}


@dataclass(frozen=True, slots=True)
class Jump:
    """After *at_s*, costs or the pace are *times* what they were, for five minutes."""

    sigma: float
    times: float
    pace: bool
    at_s: float = 1200.0
    lasts_s: float = 300.0
    per_s: float = 1.0

    def stream(self, rng: random.Random) -> Stream:
        """The spend of a run with the jump in it."""

        def now_times(now: float) -> float:
            return self.times if now >= self.at_s else 1.0

        if self.pace:
            return spend(rng, now_times, lognormal(self.sigma))
        return (
            (now, int(cost * now_times(now)))
            for now, cost in spend(rng, lambda _: self.per_s, lognormal(self.sigma))
        )


def first_alert(
    stream: Stream, settings: SpikeSettings, *, since_s: float = 0.0, until_s: float
) -> float | None:
    """When the first alert from *since_s* on comes; None: none until *until_s*."""
    detector = SpikeDetector(settings)
    for row, (now, cost) in zip(count(), stream, strict=False):
        if now >= until_s:
            return None
        if detector.observe(cost, now, row=row) is not None and now >= since_s:
            return now
    return None


def false_alarms(name: str, settings: SpikeSettings, runs: int) -> int:
    """In how many of *runs* there was one."""
    until_s = LONG.get(name, HOUR_S)
    streams = (CALM[name](random.Random(seed)) for seed in range(runs))
    return sum(first_alert(stream, settings, until_s=until_s) is not None for stream in streams)


def told(jump: Jump, settings: SpikeSettings, runs: int) -> list[float]:
    """Seconds until the alert, of the runs in which the spike was told."""
    end_s = jump.at_s + jump.lasts_s
    found = (
        first_alert(jump.stream(random.Random(seed)), settings, since_s=jump.at_s, until_s=end_s)
        for seed in range(runs)
    )
    return sorted(moment - jump.at_s for moment in found if moment is not None)


JUMPS = {
    f"{'pace' if pace else 'cost'} x {times:g}, sigma {sigma:g}": Jump(sigma, times, pace)
    for pace in (False, True)
    for sigma in (0.0, 0.5, 1.0)
    for times in (5.0, 10.0, 30.0)
}
JUMPS |= {
    f"cost x {times:g}, sigma {sigma:g}, in the last third of 900 rows in 16 s": Jump(
        sigma, times, False, at_s=10.7, lasts_s=5.3, per_s=56.0
    )
    for times in (10.0, 75.0)
    for sigma in (0.5, 1.0)
}
OURS = SpikeSettings(floor=0)
FACTOR_ALONE = SpikeSettings(floor=0, deviations=0.0)


def main(runs: int) -> None:
    """Print both tables."""
    print(
        f"| an hour of spend, {runs} times | runs with a false alarm | factor alone "
        f"|\n|---|---|---|"
    )
    for name in CALM:
        print(
            f"| {name} | {false_alarms(name, OURS, runs)} | "
            f"{false_alarms(name, FACTOR_ALONE, runs)} |",
            flush=True,
        )
    print(f"\n| a jump, {runs} times | told | median time to tell |\n|---|---|---|")
    for name, jump in JUMPS.items():
        times = told(jump, OURS, runs)
        middle = f"{times[len(times) // 2]:.0f} s" if times else "-"
        print(f"| {name} | {100 * len(times) / runs:.0f} % | {middle} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
