"""Whole runs whose rows share beginnings: the short form of
benchmarks/prompt_caching.py.
"""

from __future__ import annotations

import pytest

from tests.support.caching_run import Job, run

JOBS = [
    Job(1, 50, 5, 8),
    Job(4, 50, 30, 8),
    Job(4, 50, 1, 64),
    Job(200, 5, 30, 8),
    Job(200, 5, 5, 64),
]


@pytest.mark.parametrize("job", JOBS, ids=str)
def test_each_beginning_is_written_once_and_no_time_is_lost(job: Job):
    ours, uncached = run(job), run(job, cached=False)
    assert ours.sent == ours.finished == job.beginnings * job.rows
    assert ours.writes <= 1.05 * job.beginnings
    assert ours.cost <= 1.05 * ours.optimum
    slack_s = 0.1 * uncached.took_s if job.beginnings >= job.in_flight / 4 else job.latency_s
    assert ours.took_s <= uncached.took_s + slack_s


# Nobody knows before the first answer that it comes whole, and a second request has to
# show the read: it has no output where answers take longer than streams need to begin.
# Then the pace has its gentle start, which took place meanwhile without a cache.
_START_S = 0.5


@pytest.mark.parametrize(
    ("job", "latencies", "heads"),
    [
        (Job(1, 40, 1, 16, streams=False), 2, 0),
        (Job(4, 20, 1, 16, streams=False), 2, 0),
        (Job(1, 40, 10, 16, streams=False), 1, 1),
        (Job(4, 20, 10, 16, streams=False), 1, 1),
        (Job(4, 5, 10, 64, streams=False), 1, 1),
    ],
    ids=str,
)
def test_answers_that_come_whole_cost_one_of_them_and_one_look_at_the_start(
    job: Job, latencies: int, heads: int
):
    ours, uncached = run(job), run(job, cached=False)
    assert ours.writes == job.beginnings
    assert ours.cost <= 1.05 * ours.optimum
    late_s = ours.took_s - uncached.took_s
    assert late_s <= latencies * job.latency_s + heads * job.head_s + _START_S
