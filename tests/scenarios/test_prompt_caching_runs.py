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


def test_answers_that_are_not_streamed_cost_two_latencies_at_the_start():
    job = Job(4, 20, 10, 16, streams=False)
    ours, uncached = run(job), run(job, cached=False)
    assert ours.writes == 4
    assert ours.took_s <= uncached.took_s + 2 * job.latency_s
