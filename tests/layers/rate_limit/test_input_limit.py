"""Input: what leaves while only earlier runs tell what requests take. Whole runs:
tests/scenarios/second_run.yaml.
"""

from __future__ import annotations

from heapq import heappop, heappush

import pytest

from claudebatch.layers.rate_limit.input_limit import InputBooking, InputLimit
from claudebatch.simulator.limits import SimulatedBucket as ApiBucket

RATE = 60_000
"""A thousand tokens a second."""
EXPECTED = 200.0
MOST = 300.0


def taken(
    counted: int, *, burst_s: float, latency_s: float, until: float, worst_case: float = MOST
) -> float:
    """Tokens that left by then, each request held against the API; answers tell from
    the ninth on.
    """
    api, ours = ApiBucket(RATE, burst_s, 0.0), InputLimit(RATE, now=0.0, share=1.0)
    out: list[tuple[float, int, InputBooking]] = []
    at, sent, answered = 0.0, 0, 0
    while at < until:
        told = answered >= 9
        expects, bound = (float(counted), 0.0) if told else (EXPECTED, worst_case)
        wait = ours.wait_for(expects, at, worst_case=bound)
        if wait <= 0:
            assert api.wait_for(counted, at) == 0, f"refused at {at}"
            api.take(counted, at)
            sent += 1
            heappush(out, (at + latency_s, sent, ours.take(expects, at, worst_case=bound)))
            continue
        at = min(at + max(wait, 1e-6), out[0][0] if out else until)
        while out and out[0][0] <= at:
            ours.settle(heappop(out)[2], counted, at)
            answered += 1
    return float(sent * counted)


@pytest.mark.parametrize("latency_s", [0.2, 3.0, 8.0, 20.0, 60.0])
@pytest.mark.parametrize("counted", [140, 200, 300])
def test_it_is_never_refused_by_a_bucket_of_five_seconds_however_wrong_earlier_runs_were(
    counted: int, latency_s: float
) -> None:
    assert taken(counted, burst_s=5.0, latency_s=latency_s, until=120) > 0.7 * 120_000


def test_without_the_most_it_would_be_refused() -> None:
    with pytest.raises(AssertionError, match="refused at"):
        taken(300, burst_s=5.0, latency_s=20.0, until=120, worst_case=0.0)


def test_whose_answers_come_within_nine_seconds_loses_nothing_where_earlier_runs_were_right() -> (
    None
):
    assert taken(200, burst_s=5.0, latency_s=8.5, until=100) >= 0.98 * 100_000


def test_the_second_picture_is_gone_when_all_that_took_from_it_are_answered() -> None:
    ours = InputLimit(RATE, now=0.0, share=1.0)
    first = ours.take(EXPECTED, 1.0, worst_case=MOST)
    second = ours.take(EXPECTED, 1.3)
    ours.settle(first, 200, 2.0)
    assert ours._worst_case is None
    ours.settle(second, 200, 2.0)
    assert ours.wait_for(EXPECTED, 2.0) == 0


def test_a_limit_that_falls_holds_for_what_is_surely_there_as_well() -> None:
    ours = InputLimit(RATE, now=0.0, share=1.0)
    ours.take(EXPECTED, 1.0, worst_case=3000.0)
    ours.set_rate(RATE / 4, 1.0)
    assert ours.wait_for(1.0, 1.0, worst_case=1100.0) > 0, (
        "4.5 seconds of it are 1,125 tokens, and none of them is sure"
    )
