"""Writes, dollars and time of runs whose rows share beginnings, in virtual time.

    python -m benchmarks.prompt_caching [BEGINNINGS] [--all] [--plain]

Each case plays the engine over the whole stack before an API that caches as the
simulator does, twice: with marks, and without any. An answer begins after a second, or
a quarter of its latency. The optimum writes each beginning once and reads it in all
other rows. Cases of up to 10,000 rows take three minutes of CPU. Those of 100,000 are
played with marks only, in a minute each, and held against the least time that any run
could take: nothing of it grows with the rows that wait.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from tests.support.caching_run import Job, Ran, run

_MOST_ROWS = 10_000


def jobs() -> Iterator[Job]:
    """All cases."""
    for beginnings, rows, latency_s, in_flight in product(
        (1, 4, 200), (5, 50, 500), (1.0, 5.0, 30.0), (8, 64, 256)
    ):
        yield Job(beginnings, rows, latency_s, in_flight)


def line(job: Job, ours: Ran, uncached: Ran | None) -> str:
    """The figures of one case, and whether they are as they should be."""
    if uncached is None:
        # No run is quicker: all slots are busy from the first moment to the last.
        took_s = job.beginnings * job.rows * job.latency_s / job.in_flight
        saved = ""
    else:
        took_s, saved = uncached.took_s, f"{ours.cost / uncached.cost:.2f} of uncached, "
    late_s = ours.took_s - took_s
    most_s = 0.1 * took_s if job.beginnings >= job.in_flight / 4 else job.latency_s
    good = (
        ours.writes <= 1.05 * job.beginnings
        and ours.cost <= 1.05 * ours.optimum
        and late_s <= most_s
    )
    return (
        f"{job.beginnings:4} x {job.rows:3} rows, {job.latency_s:4.0f} s, {job.in_flight:3} in "
        f"flight: {ours.writes / job.beginnings:.2f} writes, {ours.cost / ours.optimum:.3f} of "
        f"the optimum, {saved}{took_s:7.1f} s "
        f"{late_s / job.latency_s:+.2f} latencies  {'ok' if good else 'NOT OK'}"
    )


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("beginnings", type=int, nargs="?", choices=(1, 4, 200))
    parser.add_argument("--all", action="store_true", help="also of 100,000 rows")
    parser.add_argument("--plain", action="store_true", help="at an API that does not stream")
    asked = parser.parse_args()
    for job in (replace(one, streams=not asked.plain) for one in jobs()):
        small = job.beginnings * job.rows <= _MOST_ROWS
        if asked.beginnings in (None, job.beginnings) and (small or asked.all):
            print(line(job, run(job), run(job, cached=False) if small else None), flush=True)


if __name__ == "__main__":
    main()
